//! A Docker engine: the one that runs, or one that is started for the test and ends with it; and containers of a static busybox in it.
//!
//! No registry is needed: the image is made from this machine's `busybox`, which must be a static one.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The image's name.
pub const IMAGE: &str = "testbed-busybox:2";

/// The path of busybox within the image.
pub const BUSYBOX: &str = "/bin/busybox";

const USUAL: &str = "/var/run/docker.sock";

/// How long an engine may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Docker engine. What was made in it through this value is removed in the end.
#[derive(Debug)]
pub struct Engine {
    socket: PathBuf,
    prefix: String,
    own: Option<(Child, tempfile::TempDir)>,
}

impl Engine {
    /// The engine that answers at the usual socket, or a new one; or else why there is none.
    pub fn find() -> Result<Self, String> {
        if !Path::new(BUSYBOX).is_file() {
            return Err("there is no /bin/busybox (Debian: busybox-static)".into());
        }
        if Command::new("docker").arg("--version").output().is_err() {
            return Err("there is no docker command (Debian: docker.io)".into());
        }
        let prefix = format!("testbed{}", std::process::id());
        let mut engine = Engine { socket: USUAL.into(), prefix, own: None };
        if !engine.answers() {
            engine.start()?;
        }
        engine.import()?;
        Ok(engine)
    }

    fn start(&mut self) -> Result<(), String> {
        if !is_root() {
            return Err("no engine answers, and only root may start one".into());
        }
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = |name: &str| dir.path().join(name);
        self.socket = path("docker.sock");
        let log = std::fs::File::create(path("log")).map_err(|error| error.to_string())?;
        // The engine ends with this process, whatever ends it.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "dockerd", "--host"])
            .arg(format!("unix://{}", self.socket.display()))
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("no engine answers, and none can be started: {error}"))?;
        let log = path("log");
        self.own = Some((child, dir));
        let start = Instant::now();
        while !self.answers() {
            let (child, _) = self.own.as_mut().expect("it was just put there");
            if start.elapsed() > PATIENCE || !matches!(child.try_wait(), Ok(None)) {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(3).collect();
                return Err(format!("no engine answers, and dockerd does not start: {}", last.join(" / ")));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn answers(&self) -> bool {
        self.command(&["version", "--format", "{{.Server.Version}}"])
            .output()
            .is_ok_and(|output| output.status.success())
    }

    fn import(&self) -> Result<(), String> {
        if self.try_docker(&["image", "inspect", IMAGE]).is_ok() {
            return Ok(());
        }
        let root = tempfile::tempdir().map_err(|error| error.to_string())?;
        let bin = root.path().join("bin");
        std::fs::create_dir(&bin)
            .and_then(|()| std::fs::copy(BUSYBOX, bin.join("busybox")))
            .and_then(|_| std::os::unix::fs::symlink("busybox", bin.join("sh")))
            .map_err(|error| format!("an image of busybox: {error}"))?;
        let mut tar = Command::new("tar")
            .arg("-C")
            .arg(root.path())
            .args(["-c", "bin"])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("tar: {error}"))?;
        let stdout = tar.stdout.take().expect("it is piped");
        let output = self
            .command(&["import", "-", IMAGE])
            .stdin(stdout)
            .output()
            .map_err(|error| error.to_string())?;
        let _ = tar.wait();
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(self.address()).args(args);
        command
    }

    /// Its address: `unix:///var/run/docker.sock`.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The process id of the daemon, as far as it can be told.
    pub fn pid(&self) -> Option<u32> {
        if let Some((child, _)) = &self.own {
            return Some(child.id());
        }
        let pid = std::fs::read_to_string("/var/run/docker.pid").ok()?.trim().parse().ok()?;
        Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
    }

    /// Runs `docker` with these arguments.
    ///
    /// # Errors
    /// What it wrote on standard error.
    pub fn try_docker(&self, args: &[&str]) -> Result<String, String> {
        let output = self.command(args).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(format!("docker {args:?}: {}", String::from_utf8_lossy(&output.stderr)))
        }
    }

    /// As [`try_docker`](Self::try_docker); an error ends the test.
    pub fn docker(&self, args: &[&str]) -> String {
        self.try_docker(args).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The name of a container as the engine has it.
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Starts a container of busybox in the background, which runs `script`. Returns its id.
    pub fn run(&self, name: &str, options: &[&str], script: &str) -> String {
        let name = self.name(name);
        let mut args = vec!["run", "--detach", "--name", &name];
        args.extend(options);
        // A shell that finds its commands in busybox itself.
        args.extend([IMAGE, BUSYBOX, "sh", "-c", script]);
        self.docker(&args)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Ok(ids) =
            self.try_docker(&["ps", "--all", "--quiet", "--filter", &format!("name={}-", self.prefix)])
        {
            for ids in ids.lines().collect::<Vec<_>>().chunks(50) {
                let mut args = vec!["rm", "--force", "--volumes"];
                args.extend(ids);
                // What cannot be removed stays behind; the test's outcome is another matter.
                let _ = self.try_docker(&args);
            }
        }
        if let Some((child, _)) = &mut self.own {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}
