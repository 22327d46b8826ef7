//! Times as Go writes them in JSON: RFC 3339, in UTC, with as many digits after the second as there are.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use exporter::log::civil;
use serde::{Serialize, Serializer};

/// A time; the year 1, Go's zero, if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(Option<Duration>);

impl Time {
    /// A time of the clock.
    pub fn at(time: SystemTime) -> Self {
        Time(time.duration_since(UNIX_EPOCH).ok())
    }

    /// Seconds since 1970. So large a number has no more than six digits after the point, so that is what there is of them.
    pub fn of_seconds(seconds: Option<f64>) -> Self {
        let seconds = seconds.filter(|seconds| (0.0..1e11).contains(seconds));
        Time(seconds.map(|seconds| {
            Duration::from_secs(seconds as u64)
                + Duration::from_micros((seconds.fract() * 1e6).round() as u64)
        }))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(since) = self.0 else { return f.write_str("0001-01-01T00:00:00Z") };
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        let (mut fraction, mut width) = (since.subsec_nanos(), 9);
        if fraction != 0 {
            while fraction % 10 == 0 {
                (fraction, width) = (fraction / 10, width - 1);
            }
            write!(f, ".{fraction:0width$}")?;
        }
        f.write_str("Z")
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// When a process was started, as `ps` writes it: the time of day, in UTC, or the day if that is long ago.
pub fn started(start: f64, now: f64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = start.max(0.0) as u64;
    if now - start < 86_400.0 {
        return format!("{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60);
    }
    let (year, month, day) = civil(seconds / 86_400);
    if now - start > 365.0 * 86_400.0 {
        return year.to_string();
    }
    let month = usize::try_from(month).ok().and_then(|month| MONTHS.get(month.checked_sub(1)?));
    format!("{}{day:02}", month.copied().unwrap_or_default())
}

/// CPU time as `ps` writes it: `[days-]hours:minutes:seconds`.
pub fn spent(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match seconds / 86_400 {
        0 => clock,
        days => format!("{days}-{clock}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_writes_them() {
        let text = |nanos| Time::at(UNIX_EPOCH + Duration::from_nanos(nanos)).to_string();
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(1_795_186_862_550_555_020), "2026-11-20T15:01:02.55055502Z");
        assert_eq!(text(951_825_600_000_000_001), "2000-02-29T12:00:00.000000001Z");
        assert_eq!(
            Time::of_seconds(Some(1_795_186_690.359_546_4)).to_string(),
            "2026-11-20T14:58:10.359546Z"
        );
        assert_eq!(Time::of_seconds(Some(1_795_186_690.0)).to_string(), "2026-11-20T14:58:10Z");
    }

    #[test]
    fn no_time_is_the_year_1() {
        let none = "0001-01-01T00:00:00Z";
        assert_eq!(Time::at(UNIX_EPOCH - Duration::from_secs(1)).to_string(), none);
        for seconds in [None, Some(-1.0), Some(f64::NAN), Some(f64::INFINITY), Some(1e300)] {
            assert_eq!(Time::of_seconds(seconds).to_string(), none, "{seconds:?}");
        }
    }

    #[test]
    fn as_ps_writes_them() {
        let now = 1_795_186_690.0;
        assert_eq!(started(now - 60.0, now), "14:57");
        assert_eq!(started(now - 86_400.0, now), "Nov19");
        assert_eq!(started(951_825_600.0, now), "2000");
        assert_eq!(
            (spent(0.9), spent(3661.0), spent(90_061.0)),
            ("00:00:00".into(), "01:01:01".into(), "1-01:01:01".into())
        );
    }
}
