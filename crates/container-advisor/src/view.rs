//! What can be seen of the machine from where this process runs: in a container much of it may be the container's own.

use std::path::Path;

use hostfs::Buf;

use crate::identity;

/// The first namespace of cgroups, whose number the kernel fixes: PROC_CGROUP_INIT_INO.
const FIRST_NAMESPACE: &str = "cgroup:[4026531835]";

/// Where this process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct View {
    /// Whether it is in a container.
    pub is_container: bool,
    /// Whether `/proc` knows this process by another number than the process itself does, and so is that of the machine around.
    pub is_outer_proc: bool,
    /// Whether process 1 in `/proc` is this very process.
    pub is_first_process: bool,
    /// Whether `/proc` is the container's own: process 1 there is in the same cgroup as this one.
    pub is_own_proc: bool,
    /// Whether `/` is the container's own.
    pub is_own_root: bool,
}

impl View {
    /// Looks around. `proc` and `rootfs` are what stands for the machine's `/proc` and `/`.
    pub fn new(proc: &Path, rootfs: &Path) -> Self {
        let mut buf = Buf::new();
        let mut read = |path: &Path| {
            hostfs::read(path, &mut buf)
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .unwrap_or_default()
        };
        let is_container = is_container(
            &read(Path::new("/proc/self/cgroup")),
            std::fs::read_link("/proc/self/ns/cgroup").is_ok_and(|to| to.as_os_str() != FIRST_NAMESPACE),
            ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists()),
        );
        let is_outer_proc = numbers(&read(&proc.join("self/status"))) > 1;
        let is_first_process = std::fs::read_link(proc.join("self")).is_ok_and(|pid| pid.as_os_str() == "1");
        let first = read(&proc.join("1/cgroup"));
        let is_with_first = !first.is_empty() && first == read(&proc.join("self/cgroup"));
        View {
            is_container,
            is_outer_proc,
            is_first_process,
            is_own_proc: is_container && !is_outer_proc && (is_first_process || is_with_first),
            is_own_root: is_container && rootfs == Path::new("/"),
        }
    }

    /// Whether the numbers of processes that cgroups list are those of the machine's `/proc`.
    pub fn shares_processes(&self) -> bool {
        !self.is_outer_proc && !self.is_own_proc
    }
}

/// Whether this process is in a container: its cgroup is one's, or it has a namespace of cgroups of its own and is at its top, or left a
/// runtime's mark. The mark alone says little: disks of virtual machines are made from images too.
fn is_container(own_cgroup: &str, has_namespace: bool, is_marked: bool) -> bool {
    let paths = || own_cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths().any(|path| identity::of(path.as_bytes()).is_some())
        || (has_namespace && (is_marked || paths().any(|path| path == "/")))
}

/// In how many namespaces of processes, from that of the `/proc` inwards, a process has a number: NSpid of its `status`.
fn numbers(status: &str) -> usize {
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    pids.map_or(0, |pids| pids.split_ascii_whitespace().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_container_or_not() {
        let id = "7f0d150c719b611570c879a9110d8863b885e232367940af688e86db4ce440ad";
        assert!(is_container(&format!("12:pids:/docker/{id}\n0::/\n"), false, false));
        assert!(is_container("0::/\n", true, false));
        assert!(is_container("0::/x\n", true, true));
        assert!(!is_container("0::/\n", false, true));
        assert!(!is_container("0::/system.slice/x.service\n", true, false));
        assert!(!is_container("", false, false));
    }

    #[test]
    fn a_process_may_have_several_numbers() {
        assert_eq!(numbers("Name:\tx\nNSpid:\t4711\t1\n"), 2);
        assert_eq!((numbers("NSpid:\t4711\n"), numbers("")), (1, 0));
    }

    #[test]
    fn numbers_of_processes_hold_within_one_namespace() {
        let shares = |is_outer_proc, is_own_proc| {
            View { is_outer_proc, is_own_proc, ..View::default() }.shares_processes()
        };
        assert_eq!((shares(false, false), shares(true, false), shares(false, true)), (true, false, false));
    }

    #[test]
    fn a_recorded_tree_is_no_container() {
        let dir = tempfile::tempdir().unwrap();
        let view = View::new(&dir.path().join("proc"), dir.path());
        assert!(view.shares_processes() && !view.is_own_root);
    }
}
