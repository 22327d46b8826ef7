//! Records what the tests compare with: `record vm [EXPORTER]` takes this machine's files into `vm.tree`, as far as the original or the
//! other exporter opens them; `record answers` has the original answer over that tree and over the made-up big host. Run it where the original is; look at the difference before it is committed.

#![allow(clippy::unwrap_used, reason = "a tool for developers: it ends with what went wrong")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use testbed::process::Exporter;
use testbed::tree::{Host, Tree};
use testbed::{bighost, recorded, shared, strace, tree};

fn main() -> ExitCode {
    let original =
        shared::peer("node_exporter").expect("the original: set PEERS_DIR, or be root with ../shared");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    match std::env::args().nth(1).as_deref() {
        Some("vm") => {
            let other = std::env::args_os().nth(2).map(PathBuf::from);
            let exporters: Vec<PathBuf> = [original].into_iter().chain(other).collect();
            fs::write(fixtures.join("vm.tree"), vm(&exporters).to_text()).unwrap();
        }
        Some("answers") => {
            let answer = |tree: &Tree, args: &[&str]| {
                let host = Host::new(tree);
                let exporter = Exporter::start(&original, args, &host.path(""));
                let answer = exporter.scrape();
                eprint!(
                    "{}",
                    exporter.log().lines().filter(|l| l.contains("=ERROR")).collect::<Vec<_>>().join("\n")
                );
                let mut answer = recorded::comparable(&answer);
                // Its texts are the original's own, and not compared.
                answer.families.iter_mut().for_each(|family| family.help.clear());
                answer.to_text()
            };
            let vm = answer(tree::vm(), &recorded::vm_args());
            fs::write(fixtures.join("vm.prom"), vm).unwrap();
            let big = answer(&bighost::tree(), &recorded::big_args());
            fs::write(fixtures.join("big.prom.gz"), testbed::http::gzip(big.as_bytes())).unwrap();
        }
        _ => {
            eprintln!("record vm [EXPORTER] | record answers");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What the exporters ask for on this machine.
fn vm(exporters: &[PathBuf]) -> Tree {
    let args: Vec<&str> = recorded::vm_args().into_iter().filter(|arg| !arg.starts_with("--path.")).collect();
    let asked = exporters
        .iter()
        .flat_map(|exporter| strace::asked(exporter, &args, Path::new("/")).expect("strace works").0);
    let mut recorder = Recorder { tree: Tree::new() };
    for top in ["proc", "sys", "udev", "rootfs"] {
        recorder.tree.dir(top);
    }
    for asked in asked {
        recorder.record(&asked.path);
    }
    // What netlink answers in place of.
    for path in ["/etc/os-release", "/usr/lib/os-release", "/proc/self/mountinfo"] {
        recorder.record(Path::new(path));
    }
    // The original reads these in random order up to the first that fails.
    for disk in fs::read_dir("/sys/block").unwrap() {
        for file in fs::read_dir(disk.unwrap().path().join("queue")).into_iter().flatten() {
            recorder.record(&file.unwrap().path());
        }
    }
    let mut tree = recorder.tree;
    // What runs here, and what is mounted below /mnt, is nobody's business.
    let mounts = fs::read_to_string("/proc/1/mountinfo").unwrap();
    let mounts: Vec<&str> = mounts.split_inclusive('\n').filter(|line| !line.contains(" /mnt/")).collect();
    for mount in mounts.iter().filter_map(|line| line.split(' ').nth(4)) {
        tree.dir(format!("rootfs{mount}").trim_end_matches('/'));
    }
    tree.file("proc/1/mountinfo", mounts.concat());
    for (pid, comm, threads) in [(1, "init", 2), (2, "kthreadd", 1), (77, "odd) R 1 (name", 3)] {
        for tid in pid..pid + threads {
            let state = if tid == 78 { 'D' } else { 'S' };
            let stat = format!(
                "{tid} ({comm}) {state} 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 23 4096 5 18446744073709551615 \
                 1 1 0 0 0 0 0 4096 1256 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
            );
            if tid == pid {
                tree.file(format!("proc/{pid}/stat"), stat.clone());
            }
            tree.file(format!("proc/{pid}/task/{tid}/stat"), stat);
        }
    }
    tree
}

struct Recorder {
    tree: Tree,
}

/// Where a path of this machine stands in a tree; `None` if it does not belong there.
fn place(path: &Path) -> Option<Vec<u8>> {
    let tops = [("/proc", "proc"), ("/sys", "sys"), ("/run/udev/data", "udev")];
    let inside = |(from, to): &(&str, &str)| {
        let rest = path.strip_prefix(from).ok()?;
        Some(if rest == Path::new("") { PathBuf::from(to) } else { Path::new(to).join(rest) })
    };
    let release = ["/etc/os-release", "/usr/lib/os-release"].map(Path::new);
    let place = tops.iter().find_map(inside);
    let place = place.or_else(|| {
        release.contains(&path).then(|| Path::new("rootfs").join(path.strip_prefix("/").unwrap()))
    });
    place.map(|place| place.as_os_str().as_bytes().to_owned())
}

impl Recorder {
    /// Takes what stands at a path, and every symbolic link on the way there.
    fn record(&mut self, path: &Path) {
        let mut at = PathBuf::from("/");
        let mut rest: Vec<PathBuf> = components(path);
        while let Some(component) = rest.pop() {
            if component == Path::new("..") {
                at.pop();
                continue;
            }
            at.push(&component);
            if matches!(at.to_str(), Some("/proc/self" | "/proc/thread-self")) {
                self.tree.link(place(&at).unwrap(), "1");
                at = PathBuf::from("/proc/1");
                continue;
            }
            if is_of_a_process(&at) {
                return;
            }
            let Ok(metadata) = at.symlink_metadata() else { return };
            if metadata.is_symlink() {
                let Ok(target) = fs::read_link(&at) else { return };
                if target.is_absolute() {
                    return;
                }
                if let Some(place) = place(&at) {
                    self.tree.link(place, target.as_os_str().as_bytes());
                }
                at.pop();
                rest.extend(components(&target));
            }
        }
        let (Some(place), Ok(metadata)) = (place(&at), at.metadata()) else { return };
        if metadata.is_dir() {
            self.tree.dir(place);
            if !at.starts_with("/proc") {
                self.list(&at);
            }
        } else if let Ok(contents) = fs::read(&at) {
            self.tree.file(place, scrubbed(&at, contents));
        }
    }

    /// Takes a directory's links and directories; its files only when somebody asks for them.
    fn list(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let Some(place) = place(&path).filter(|place| self.tree.get(place).is_none()) else { continue };
            if kind.is_dir() {
                self.tree.dir(place);
            } else if kind.is_symlink()
                && let Ok(target) = fs::read_link(&path)
                && !target.is_absolute()
            {
                self.tree.link(place, target.as_os_str().as_bytes());
            }
        }
    }
}

/// Whether a path belongs to a process; what is the machine's or its network's is taken from process 1.
fn is_of_a_process(path: &Path) -> bool {
    let mut names = path.components().map(Component::as_os_str).skip(1);
    let (top, pid, file) = (names.next(), names.next(), names.next());
    let is_pid = pid.is_some_and(|pid| pid.as_bytes().iter().all(u8::is_ascii_digit));
    let machines = ["net", "mountinfo", "cgroup"].map(OsStr::new);
    top == Some(OsStr::new("proc"))
        && is_pid
        && (pid.unwrap() != "1" || file.is_some_and(|f| !machines.contains(&f)))
}

/// A path's components, the first one last.
fn components(path: &Path) -> Vec<PathBuf> {
    let kept = |component: &Component<'_>| matches!(component, Component::Normal(_) | Component::ParentDir);
    path.components().filter(kept).map(|c| PathBuf::from(c.as_os_str())).rev().collect()
}

/// Serial numbers are nobody's business.
fn scrubbed(path: &Path, contents: Vec<u8>) -> Vec<u8> {
    let name = path.file_name().map_or(&b""[..], OsStr::as_bytes);
    if path.starts_with("/sys/devices/virtual/dmi")
        && (name.ends_with(b"_serial") || name.ends_with(b"_uuid"))
    {
        return b"0123-4567\n".to_vec();
    }
    contents
}
