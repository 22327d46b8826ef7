//! System calls that are not file reads, each behind a safe function; the workspace's only `unsafe` is here.

use rustix::io::Errno;

pub mod clock;
pub mod disk;

/// The size of a memory page, in bytes.
pub fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// Gives memory that was freed back to the system. The C library keeps it, for ever in the heaps of threads, after one large allocation
/// whatever its size; this takes it a millisecond or so.
#[allow(unsafe_code)]
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes no pointer, works on free memory only, and takes the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has the calling thread step back behind all others: lowest CPU priority (nice 19), and block I/O only when nobody else wants any
/// (the idle class of ioprio_set(2), for schedulers that know it). Neither needs a privilege; what is refused stays as it was.
#[allow(unsafe_code)]
pub fn lower_this_thread() {
    const WHO_PROCESS: libc::c_long = 1;
    const CLASS_IDLE: libc::c_long = 3 << 13;
    let _ = rustix::process::setpriority_process(None, 19);
    // SAFETY: the call takes three integers, no pointer, and 0 stands for the calling thread.
    unsafe {
        libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0 as libc::c_long, CLASS_IDLE);
    }
}

/// What an error number means, in the words that Go's syscall package uses, which node_exporter puts into labels.
pub fn describe(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM => "operation not permitted",
        Errno::NOENT => "no such file or directory",
        Errno::SRCH => "no such process",
        Errno::INTR => "interrupted system call",
        Errno::IO => "input/output error",
        Errno::NXIO => "no such device or address",
        Errno::BADF => "bad file descriptor",
        Errno::AGAIN => "resource temporarily unavailable",
        Errno::NOMEM => "cannot allocate memory",
        Errno::ACCESS => "permission denied",
        Errno::BUSY => "device or resource busy",
        Errno::NODEV => "no such device",
        Errno::NOTDIR => "not a directory",
        Errno::ISDIR => "is a directory",
        Errno::INVAL => "invalid argument",
        Errno::NFILE => "too many open files in system",
        Errno::MFILE => "too many open files",
        Errno::NOTTY => "inappropriate ioctl for device",
        Errno::SPIPE => "illegal seek",
        Errno::NAMETOOLONG => "file name too long",
        Errno::NOSYS => "function not implemented",
        Errno::LOOP => "too many levels of symbolic links",
        Errno::NODATA => "no data available",
        Errno::OVERFLOW => "value too large for defined data type",
        Errno::OPNOTSUPP => "operation not supported",
        Errno::NOTCONN => "transport endpoint is not connected",
        Errno::TIMEDOUT => "connection timed out",
        Errno::CONNREFUSED => "connection refused",
        Errno::HOSTDOWN => "host is down",
        Errno::HOSTUNREACH => "no route to host",
        Errno::STALE => "stale NFS file handle",
        Errno::REMOTEIO => "remote I/O error",
        Errno::CONNABORTED => "software caused connection abort",
        Errno::CONNRESET => "connection reset by peer",
        Errno::NOBUFS => "no buffer space available",
        _ => "unknown error",
    }
}

/// The listening sockets that systemd handed over, in the order of the socket unit; none if it handed none to this process.
///
/// Source: sd_listen_fds(3): descriptors from 3 on, as many as `LISTEN_FDS` says, for the process that `LISTEN_PID` names.
#[allow(unsafe_code)]
pub fn inherited_listeners() -> Vec<std::net::TcpListener> {
    use std::os::fd::{BorrowedFd, FromRawFd, RawFd};
    use std::sync::atomic::{AtomicBool, Ordering};
    const FIRST: RawFd = 3;
    static TAKEN: AtomicBool = AtomicBool::new(false);

    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(std::process::id()) || TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").and_then(|n| RawFd::try_from(n).ok()).unwrap_or(0).min(1024);
    let mut listeners = Vec::new();
    for raw in FIRST..FIRST + count {
        // SAFETY: the borrow ends in this statement; a descriptor that is not open gives EBADF.
        let open =
            rustix::io::fcntl_setfd(unsafe { BorrowedFd::borrow_raw(raw) }, rustix::io::FdFlags::CLOEXEC);
        if open.is_ok() {
            // SAFETY: the caller of this process passed ownership on, and `TAKEN` has it taken once.
            listeners.push(unsafe { std::net::TcpListener::from_raw_fd(raw) });
        }
    }
    listeners
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_calling_thread_is_lowered() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        let lowered = std::thread::spawn(move || {
            super::lower_this_thread();
            priority()
        });
        assert_eq!((lowered.join().unwrap(), priority()), (19, before));
    }
}
