//! The kernel's clock discipline, from adjtimex(2): what NTP steers, and how well.

use std::time::Instant;

use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::Errno;
use hostfs::sys::clock::{self, TimeKeeping};

pub(crate) const ENTRY: Entry = Entry {
    name: "timex",
    on: true,
    help: "Clock offset, error and synchronization from adjtimex(2).",
    flags: &[],
    new: |_| Ok(Box::new(Timex)),
};

struct Timex;

impl Collector for Timex {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let keeping = clock::adjtimex().map_err(|errno| {
            let reason = hostfs::Error::os("adjtimex", errno).into();
            if matches!(errno, Errno::PERM | Errno::ACCESS) {
                Error::NoData(reason)
            } else {
                Error::Failed(reason)
            }
        })?;
        write(&keeping, out);
        Ok(())
    }
}

fn write(keeping: &TimeKeeping, out: &mut Text) {
    const MICRO: f64 = 1e6;
    const NANO: f64 = 1e9;
    /// Frequencies come in 2^-16 parts per million.
    const FREQUENCY: f64 = 1e6 * 65_536.0;

    let fine = if keeping.status & TimeKeeping::STA_NANO == 0 { MICRO } else { NANO };
    let k = keeping;
    for (name, kind, help, value) in [
        (
            "node_timex_estimated_error_seconds",
            Kind::Gauge,
            "Estimated error of the clock, in seconds.",
            k.esterror as f64 / MICRO,
        ),
        (
            "node_timex_frequency_adjustment_ratio",
            Kind::Gauge,
            "Speed at which the clock is made to run; 1 is its own.",
            1.0 + k.freq as f64 / FREQUENCY,
        ),
        (
            "node_timex_loop_time_constant",
            Kind::Gauge,
            "Time constant of the phase-locked loop.",
            k.constant as f64,
        ),
        (
            "node_timex_maxerror_seconds",
            Kind::Gauge,
            "Greatest error that the clock may have, in seconds.",
            k.maxerror as f64 / MICRO,
        ),
        (
            "node_timex_offset_seconds",
            Kind::Gauge,
            "Offset between the clock and its reference, in seconds.",
            k.offset as f64 / fine,
        ),
        (
            "node_timex_pps_calibration_total",
            Kind::Counter,
            "Calibration intervals of the pulse per second.",
            k.calcnt as f64,
        ),
        (
            "node_timex_pps_error_total",
            Kind::Counter,
            "Calibration errors of the pulse per second.",
            k.errcnt as f64,
        ),
        (
            "node_timex_pps_frequency_hertz",
            Kind::Gauge,
            "Frequency of the pulse per second, in hertz.",
            k.ppsfreq as f64 / FREQUENCY,
        ),
        (
            "node_timex_pps_jitter_seconds",
            Kind::Gauge,
            "Jitter of the pulse per second, in seconds.",
            k.jitter as f64 / fine,
        ),
        (
            "node_timex_pps_jitter_total",
            Kind::Counter,
            "Times that the jitter limit of the pulse per second was exceeded.",
            k.jitcnt as f64,
        ),
        (
            "node_timex_pps_shift_seconds",
            Kind::Gauge,
            "Calibration interval of the pulse per second, as a power of two of seconds.",
            k.shift.into(),
        ),
        (
            "node_timex_pps_stability_exceeded_total",
            Kind::Counter,
            "Times that the stability limit of the pulse per second was exceeded.",
            k.stbcnt as f64,
        ),
        (
            "node_timex_pps_stability_hertz",
            Kind::Gauge,
            "Mean frequency change of the pulse per second, in hertz.",
            k.stabil as f64 / FREQUENCY,
        ),
        ("node_timex_status", Kind::Gauge, "Status bits of the clock, STA_*.", k.status.into()),
        (
            "node_timex_sync_status",
            Kind::Gauge,
            "Whether the clock is synchronized to a reliable server.",
            f64::from(u8::from(k.state != TimeKeeping::TIME_ERROR)),
        ),
        (
            "node_timex_tai_offset_seconds",
            Kind::Gauge,
            "Offset of International Atomic Time from UTC, in seconds.",
            k.tai.into(),
        ),
        (
            "node_timex_tick_seconds",
            Kind::Gauge,
            "Time between two ticks of the clock, in seconds.",
            k.tick as f64 / MICRO,
        ),
    ] {
        out.single(name, kind, help, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(keeping: &TimeKeeping) -> String {
        let mut out = Text::new();
        write(keeping, &mut out);
        (0..out.len()).map(|i| std::str::from_utf8(out.samples(i)).unwrap()).collect()
    }

    #[test]
    fn units_follow_the_status() {
        let keeping = TimeKeeping {
            state: 0,
            status: 0x2001,
            offset: -2_500_000,
            freq: 1_048_576,
            maxerror: 500_000,
            esterror: 120,
            constant: 7,
            tick: 10_000,
            ppsfreq: -65_536,
            jitter: 1000,
            shift: 4,
            stabil: 65_536,
            jitcnt: 1,
            calcnt: 2,
            errcnt: 3,
            stbcnt: 4,
            tai: 37,
        };
        assert_eq!(
            samples(&keeping),
            "node_timex_estimated_error_seconds 0.00012\n\
             node_timex_frequency_adjustment_ratio 1.000016\n\
             node_timex_loop_time_constant 7\n\
             node_timex_maxerror_seconds 0.5\n\
             node_timex_offset_seconds -0.0025\n\
             node_timex_pps_calibration_total 2\n\
             node_timex_pps_error_total 3\n\
             node_timex_pps_frequency_hertz -1e-06\n\
             node_timex_pps_jitter_seconds 1e-06\n\
             node_timex_pps_jitter_total 1\n\
             node_timex_pps_shift_seconds 4\n\
             node_timex_pps_stability_exceeded_total 4\n\
             node_timex_pps_stability_hertz 1e-06\n\
             node_timex_status 8193\n\
             node_timex_sync_status 1\n\
             node_timex_tai_offset_seconds 37\n\
             node_timex_tick_seconds 0.01\n"
        );
        let micro = samples(&TimeKeeping { state: 5, status: 0x40, ..keeping });
        assert!(micro.contains("node_timex_offset_seconds -2.5\n"), "{micro}");
        assert!(micro.contains("node_timex_pps_jitter_seconds 0.001\n"), "{micro}");
        assert!(micro.contains("node_timex_sync_status 0\n"), "{micro}");
    }
}
