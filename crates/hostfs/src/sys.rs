//! System calls that are not file reads, each behind a safe function; the workspace's only `unsafe` is here.

use rustix::io::Errno;

pub mod clock;
pub mod disk;

/// The size of a memory page, in bytes.
pub fn page_size() -> u64 {
    rustix::param::page_size() as u64
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
