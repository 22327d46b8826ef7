//! Which cgroups are containers: by the last part of the path, as the runtimes name them.
//!
//! | path ends in | runtime |
//! |---|---|
//! | `docker-<id>.scope`, or `<id>` alone | Docker, unless its parents say otherwise |
//! | `libpod-<id>.scope`, `libpod-<id>` | Podman |
//! | `cri-containerd-<id>.scope`, `nerdctl-<id>.scope`, `<id>` below `kubepods` or `kubelet` | containerd |
//! | `crio-<id>.scope`, `crio-<id>` | CRI-O |
//!
//! An id is 64 hexadecimal digits. Helper processes (`libpod-conmon-<id>.scope`, `crio-conmon-<id>.scope`) are no containers.

use crate::metadata::Runtime;

/// The length of a container's id.
pub const ID: usize = 64;

/// The id in the path of a container's cgroup, and who runs it by the look of the path; `None` if it is another cgroup.
pub fn of(path: &[u8]) -> Option<(&str, Runtime)> {
    let (parents, last) = match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&b""[..], path),
    };
    let last = last.strip_suffix(b".scope").unwrap_or(last);
    let (prefix, id) = last.split_at_checked(last.len().checked_sub(ID)?)?;
    if !id.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let below = |name: &[u8]| parents.split(|&b| b == b'/').any(|part| part.starts_with(name));
    let runtime = match prefix {
        b"docker-" => Runtime::Docker,
        b"libpod-" => Runtime::Podman,
        b"crio-" => Runtime::Crio,
        b"cri-containerd-" | b"nerdctl-" => Runtime::Containerd,
        b"" if below(b"kubepods") || below(b"kubelet") => Runtime::Containerd,
        b"" => Runtime::Docker,
        _ => return None,
    };
    Some((std::str::from_utf8(id).ok()?, runtime))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtimes_names() {
        let id = "7f0d150c719b611570c879a9110d8863b885e232367940af688e86db4ce440ad";
        for (path, runtime) in [
            ("/docker/ID", Some(Runtime::Docker)),
            ("/system.slice/docker-ID.scope", Some(Runtime::Docker)),
            ("/custom/slice1/ID", Some(Runtime::Docker)),
            ("/docker/ID/docker/ID", Some(Runtime::Docker)),
            ("/machine.slice/libpod-ID.scope", Some(Runtime::Podman)),
            ("/libpod_parent/libpod-ID", Some(Runtime::Podman)),
            ("/kubepods.slice/kubepods-burstable.slice/cri-containerd-ID.scope", Some(Runtime::Containerd)),
            ("/kubepods/burstable/pod1/ID", Some(Runtime::Containerd)),
            ("/kubelet.slice/kubelet-kubepods.slice/ID", Some(Runtime::Containerd)),
            ("/kubepods.slice/crio-ID.scope", Some(Runtime::Crio)),
            ("/machine.slice/libpod-ID.scope/container", None),
            ("/machine.slice/libpod-conmon-ID.scope", None),
            ("/crio-conmon-ID.scope", None),
            ("/machine.slice/machine-libpod_pod_ID.slice", None),
            ("/docker/IDx", None),
            ("/docker/xID", None),
            ("/docker", None),
            ("/", None),
            ("", None),
        ] {
            let path = path.replace("ID", id);
            assert_eq!(of(path.as_bytes()), runtime.map(|runtime| (id, runtime)), "{path}");
        }
        assert_eq!(of("/docker/\u{e9}\u{e9}ID".replace("ID", &id[2..]).as_bytes()), None);
        assert_eq!(of(format!("/docker/{}", id.to_uppercase()).as_bytes()), None);
    }
}
