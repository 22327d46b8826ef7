//! Which files a program opens in a scrape, as strace sees it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::process::Exporter;

/// What a program asked for by path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asked {
    /// The absolute path as the program gave it, links and all.
    pub path: PathBuf,
    /// Where the descriptor led, if it was opened: the path without links.
    pub opened: Option<PathBuf>,
}

/// Everything that `binary` asks for by path from its start to the end of the second of two scrapes; the second list is one
/// scrape's alone. `None` if strace is not there or may not trace.
pub fn asked(binary: &Path, args: &[impl AsRef<OsStr>], cwd: &Path) -> Option<(Vec<Asked>, Vec<Asked>)> {
    let works = std::process::Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    if !works.is_ok_and(|status| status.success()) {
        return None;
    }
    // strace writes when it likes, so what belongs to which scrape is told by another run with one less.
    let (one, two) = (asked_in(1, binary, args, cwd), asked_in(2, binary, args, cwd));
    let mut before = HashMap::<Asked, usize>::new();
    one.into_iter().for_each(|asked| *before.entry(asked).or_default() += 1);
    let is_new = |asked: &&Asked| match before.get_mut(*asked).filter(|n| **n > 0) {
        Some(n) => {
            *n -= 1;
            false
        }
        None => true,
    };
    let scrape = two.iter().filter(is_new).cloned().collect();
    Some((two, scrape))
}

/// Everything that `binary` asks for by path from its start to the end of so many scrapes.
fn asked_in(scrapes: usize, binary: &Path, args: &[impl AsRef<OsStr>], cwd: &Path) -> Vec<Asked> {
    let out = tempfile::NamedTempFile::new().unwrap();
    let strace: Vec<&OsStr> = [
        "strace",
        "-f",
        "-y",
        "-qq",
        "-s",
        "4096",
        "-e",
        "trace=%file,open,openat,readlinkat",
        "-e",
        "signal=none",
        "-o",
    ]
    .into_iter()
    .map(OsStr::new)
    .chain([out.path().as_os_str()])
    .collect();
    let exporter = Exporter::start_under(&strace, binary, args, cwd);
    let own = format!("/proc/{}/", exporter.pid());
    let mut client = exporter.client();
    for _ in 0..scrapes {
        assert_eq!(client.get("/metrics", &[]).status, 200);
    }
    // Ends strace too, which then has written everything.
    drop(exporter);
    let mut all = calls(&std::fs::read(out.path()).unwrap(), cwd);
    // Two runs are two processes; what they ask about themselves is the same.
    let as_self = |path: &mut PathBuf| {
        if let Ok(rest) = path.strip_prefix(&own) {
            *path = Path::new("/proc/self").join(rest);
        }
    };
    for asked in &mut all {
        as_self(&mut asked.path);
        asked.opened.as_mut().map(as_self);
    }
    all
}

fn calls(trace: &[u8], cwd: &Path) -> Vec<Asked> {
    let mut pending = HashMap::<Vec<u8>, Vec<u8>>::new();
    let mut all = Vec::new();
    for line in trace.split(|&b| b == b'\n') {
        // "PID call(…) = result"; a call that another thread interrupts comes in two pieces.
        let Some(blank) = line.iter().position(|&b| b == b' ') else { continue };
        let (pid, call) = (&line[..blank], line[blank..].trim_ascii_start());
        if let Some(start) = call.strip_suffix(b" <unfinished ...>") {
            pending.insert(pid.to_owned(), start.to_owned());
        } else if let Some(at) = find(call, b" resumed>").filter(|_| call.starts_with(b"<... ")) {
            if let Some(mut whole) = pending.remove(pid) {
                whole.extend_from_slice(&call[at + b" resumed>".len()..]);
                all.extend(asked_by(&whole, cwd));
            }
        } else {
            all.extend(asked_by(call, cwd));
        }
    }
    all
}

fn asked_by(call: &[u8], cwd: &Path) -> Option<Asked> {
    let open = call.iter().position(|&b| b == b'(')?;
    let arguments = &call[open + 1..];
    let quote = arguments.iter().position(|&b| b == b'"')?;
    let (path, length) = unquote(&arguments[quote + 1..])?;
    // openat(AT_FDCWD</root>, "path" or openat(7</sys/class/net>, "path".
    let dir = between(&arguments[..quote], b'<', b'>').map_or(cwd, |dir| Path::new(OsStr::from_bytes(dir)));
    let path = dir.join(OsString::from_vec(path));
    let result = &arguments[quote + 1 + length..];
    let equals = result.windows(3).rposition(|w| w == b" = ")?;
    let opened = call[..open].starts_with(b"open").then(|| between(&result[equals..], b'<', b'>')).flatten();
    Some(Asked { path, opened: opened.map(|path| PathBuf::from(OsStr::from_bytes(path))) })
}

/// Reads a string as strace quotes it, up to its closing quote: the bytes, and how much of `text` it took.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut bytes = Vec::new();
    let mut i = 0;
    loop {
        match *text.get(i)? {
            b'"' => return Some((bytes, i + 1)),
            b'\\' => {
                i += 1;
                match *text.get(i)? {
                    b'n' => bytes.push(b'\n'),
                    b't' => bytes.push(b'\t'),
                    b'r' => bytes.push(b'\r'),
                    b'v' => bytes.push(11),
                    b'f' => bytes.push(12),
                    b'0'..=b'7' => {
                        let digits =
                            text[i..].iter().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
                        let code = text[i..i + digits].iter().fold(0u32, |n, b| n * 8 + u32::from(b - b'0'));
                        bytes.push(code as u8);
                        i += digits - 1;
                    }
                    other => bytes.push(other),
                }
            }
            other => bytes.push(other),
        }
        i += 1;
    }
}

fn between(text: &[u8], open: u8, close: u8) -> Option<&[u8]> {
    let start = text.iter().position(|&b| b == open)? + 1;
    let end = text.iter().rposition(|&b| b == close)?;
    text.get(start..end)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read() {
        let trace = br#"10 openat(AT_FDCWD</root>, "/proc/stat", O_RDONLY|O_CLOEXEC) = 5</proc/stat>
10 openat(AT_FDCWD</root>, "node/x", O_RDONLY <unfinished ...>
11 readlinkat(AT_FDCWD</root>, "/sys/class/\303\251\n", 0xc0, 128) = 42
10 <... openat resumed>) = -1 ENOENT (No such file or directory)
11 newfstatat(3</sys>, "kernel", {st_mode=S_IFDIR}, 0) = 0
11 openat(7</sys/class/net>, "lo/mtu", O_RDONLY) = 8</sys/devices/virtual/net/lo/mtu>
"#;
        let found = calls(trace, Path::new("/root"));
        let asked =
            |path: &str, opened: Option<&str>| Asked { path: path.into(), opened: opened.map(Into::into) };
        assert_eq!(
            found,
            [
                asked("/proc/stat", Some("/proc/stat")),
                asked("/sys/class/\u{e9}\n", None),
                asked("/root/node/x", None),
                asked("/sys/kernel", None),
                asked("/sys/class/net/lo/mtu", Some("/sys/devices/virtual/net/lo/mtu")),
            ]
        );
    }
}
