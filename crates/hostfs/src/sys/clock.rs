//! The wall clock, the kernel's time keeping (adjtimex(2)), the local time zone and uname(2).
//!
//! Times are 64 bits wide on 32-bit hosts too: rustix asks with clock_gettime64, the zone files' 64-bit tables are read, and
//! of adjtimex's answer the only field that ends in 2038, its time of day, is not used.

use rustix::io::Errno;
pub use rustix::system::{Uname, uname};

mod zone;

pub use zone::{LocalZone, days_to};

/// The wall clock: seconds since 1970, which are negative before, and nanoseconds from there on.
pub fn now() -> (i64, u32) {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    (time.tv_sec, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What adjtimex(2) says, in the kernel's units, see its manual page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeKeeping {
    /// The call's result, `TIME_OK` (0) to `TIME_ERROR` (5).
    pub state: i32,
    /// Status bits, `STA_*`.
    pub status: i32,
    /// Offset from the reference clock, in microseconds, with `STA_NANO` in nanoseconds.
    pub offset: i64,
    /// Frequency adjustment, in 2^-16 parts per million.
    pub freq: i64,
    /// Maximum error, in microseconds.
    pub maxerror: i64,
    /// Estimated error, in microseconds.
    pub esterror: i64,
    /// Time constant of the phase-locked loop.
    pub constant: i64,
    /// Microseconds between clock ticks.
    pub tick: i64,
    /// Frequency of the pulse per second, in 2^-16 parts per million.
    pub ppsfreq: i64,
    /// Jitter of the pulse per second, in microseconds, with `STA_NANO` in nanoseconds.
    pub jitter: i64,
    /// Binary logarithm of the calibration interval, in seconds.
    pub shift: i32,
    /// Stability of the pulse per second, in 2^-16 parts per million.
    pub stabil: i64,
    /// How often the jitter limit was exceeded.
    pub jitcnt: i64,
    /// Calibration intervals.
    pub calcnt: i64,
    /// Calibration errors.
    pub errcnt: i64,
    /// How often the stability limit was exceeded.
    pub stbcnt: i64,
    /// Offset of International Atomic Time, in seconds.
    pub tai: i32,
}

impl TimeKeeping {
    /// The state of a clock that is not synchronized.
    pub const TIME_ERROR: i32 = 5;
    /// The status bit that says that `offset` and `jitter` are nanoseconds.
    pub const STA_NANO: i32 = 0x2000;
}

/// Reads the kernel's time keeping; nothing is set.
///
/// # Errors
/// EPERM or EACCES where a seccomp filter forbids the call.
#[allow(unsafe_code)]
pub fn adjtimex() -> Result<TimeKeeping, Errno> {
    // SAFETY: `timex` is a C struct of integers, for which all zeros is a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a `timex` that lives for the call; modes of 0 means that it is only written to.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 {
        return Err(std::io::Error::last_os_error()
            .raw_os_error()
            .map_or(Errno::INVAL, Errno::from_raw_os_error));
    }
    // The C longs are 32 bits wide on 32-bit hosts.
    Ok(TimeKeeping {
        state,
        status: timex.status,
        offset: timex.offset as i64,
        freq: timex.freq as i64,
        maxerror: timex.maxerror as i64,
        esterror: timex.esterror as i64,
        constant: timex.constant as i64,
        tick: timex.tick as i64,
        ppsfreq: timex.ppsfreq as i64,
        jitter: timex.jitter as i64,
        shift: timex.shift,
        stabil: timex.stabil as i64,
        jitcnt: timex.jitcnt as i64,
        calcnt: timex.calcnt as i64,
        errcnt: timex.errcnt as i64,
        stbcnt: timex.stbcnt as i64,
        tai: timex.tai,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_the_standard_librarys() {
        let std = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
        assert!((now().0 - std).abs() <= 1 && now().1 < 1_000_000_000);
    }

    #[test]
    fn adjtimex_tells_the_tick() {
        match adjtimex() {
            // 1/100 s, which the kernel lets vary by a tenth: a wrong layout of the struct would not give that.
            Ok(keeping) => assert!((9000..=11000).contains(&keeping.tick), "{keeping:?}"),
            Err(errno) => assert!(matches!(errno, Errno::PERM | Errno::ACCESS), "{errno}"),
        }
    }
}
