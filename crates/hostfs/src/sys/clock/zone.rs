//! The local time zone: its abbreviation and its offset from UTC at a given time.
//!
//! Read here and not by localtime_r(3), whose time_t is 32 bits wide on 32-bit hosts and which must not run beside setenv(3). The rules are
//! those of tzset(3) and Go: `TZ` names a file or, failing that, is a POSIX zone; without it the zone is `/etc/localtime`'s; what
//! cannot be read is UTC. Formats: RFC 9636 (TZif), and POSIX.1 "TZ variable", which is also the footer of a TZif file and rules after its
//! last transition. A zone file that is replaced while the process runs is noticed.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::file::Buf;
use crate::scan;

const DIRECTORIES: [&str; 3] = ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];
const UTC: &[u8] = b"UTC";

/// The zone of this process.
#[derive(Debug)]
pub struct LocalZone {
    /// The zone file; `None` if there is none to watch.
    file: Option<PathBuf>,
    /// Which file `zone` was read from; `None` before the first read, or if there was none.
    stamp: Option<Stamp>,
    zone: Option<Zone>,
    buf: Buf,
}

/// What tells one version of a file from another.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let stat = rustix::fs::stat(path).ok()?;
        Some(Stamp {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as i64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        })
    }
}

impl LocalZone {
    /// The zone that `TZ` names, or the system's.
    pub fn from_env() -> Self {
        Self::of(std::env::var_os("TZ").as_ref().map(|tz| tz.as_bytes()))
    }

    /// The zone of a value of `TZ`; `None` is the system's.
    fn of(tz: Option<&[u8]>) -> Self {
        let none = LocalZone { file: None, stamp: None, zone: None, buf: Buf::new() };
        let Some(tz) = tz else {
            return LocalZone { file: Some("/etc/localtime".into()), ..none };
        };
        let name = tz.strip_prefix(b":").unwrap_or(tz);
        if name.is_empty() {
            return none;
        }
        let name_as_path = Path::new(std::ffi::OsStr::from_bytes(name));
        // An absolute path stays as it is when joined.
        let file =
            DIRECTORIES.iter().map(|dir| Path::new(dir).join(name_as_path)).find(|file| file.is_file());
        let zone = if file.is_none() { Rules::parse(name).map(Zone::of_rules) } else { None };
        LocalZone { file, zone, ..none }
    }

    /// The abbreviation and the offset in seconds east of UTC that are in force at a time, given in seconds since 1970.
    pub fn at(&mut self, time: i64) -> (&[u8], i32) {
        if let Some(file) = &self.file {
            let stamp = Stamp::of(file);
            if stamp != self.stamp {
                self.zone = crate::file::read(file, &mut self.buf).ok().and_then(Zone::parse);
                self.stamp = stamp;
            }
        }
        self.zone.as_ref().map_or((UTC, 0), |zone| zone.at(time))
    }
}

/// A zone: what was in force from which time on, and the rules for ever after.
#[derive(Debug)]
struct Zone {
    /// Times at which another kind of local time begins, with its index in `kinds`.
    transitions: Vec<(i64, u8)>,
    kinds: Vec<Kind>,
    rules: Option<Rules>,
}

/// A kind of local time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    name: Vec<u8>,
    /// Seconds east of UTC.
    offset: i32,
    daylight: bool,
}

impl Zone {
    fn of_rules(rules: Rules) -> Self {
        Zone { transitions: Vec::new(), kinds: Vec::new(), rules: Some(rules) }
    }

    fn parse(file: &[u8]) -> Option<Self> {
        let (first, rest) = Header::parse(file)?;
        if first.version == 0 {
            return Self::parse_block(&first, rest, 4).map(|(zone, _)| zone);
        }
        // The first block has 32-bit times, for readers of version 1; the second one has all.
        let (second, rest) = Header::parse(rest.get(first.block_length(4)?..)?)?;
        let (mut zone, footer) = Self::parse_block(&second, rest, 8)?;
        let footer = footer.strip_prefix(b"\n")?;
        let footer = scan::split_once(footer, b'\n')?.0;
        zone.rules = Rules::parse(footer);
        Some(zone)
    }

    /// Reads a data block with times of `width` bytes; gives what follows it.
    fn parse_block<'a>(header: &Header, block: &'a [u8], width: usize) -> Option<(Self, &'a [u8])> {
        let (block, footer) = block.split_at_checked(header.block_length(width)?)?;
        let (times, block) = block.split_at_checked(header.times * width)?;
        let (indices, block) = block.split_at_checked(header.times)?;
        let (kinds, block) = block.split_at_checked(header.kinds * 6)?;
        let names = block.get(..header.names)?;
        let kinds: Option<Vec<Kind>> = kinds
            .chunks_exact(6)
            .map(|kind| {
                let name = names.get(usize::from(kind[5])..)?;
                let end = name.iter().position(|&b| b == 0)?;
                let offset = i32::from_be_bytes(kind[..4].try_into().ok()?);
                Some(Kind { name: name[..end].to_vec(), offset, daylight: kind[4] != 0 })
            })
            .collect();
        let kinds = kinds.filter(|kinds| !kinds.is_empty())?;
        let transitions: Vec<(i64, u8)> = times
            .chunks_exact(width)
            .map(|time| match time.try_into() {
                Ok(eight) => i64::from_be_bytes(eight),
                Err(_) => i64::from(i32::from_be_bytes([time[0], time[1], time[2], time[3]])),
            })
            .zip(indices.iter().copied())
            .collect();
        let sound = transitions.iter().all(|&(_, kind)| usize::from(kind) < kinds.len())
            && transitions.is_sorted_by(|a, b| a.0 < b.0);
        sound.then_some((Zone { transitions, kinds, rules: None }, footer))
    }

    fn at(&self, time: i64) -> (&[u8], i32) {
        let after = self.transitions.partition_point(|&(from, _)| from <= time);
        if after == self.transitions.len()
            && let Some(rules) = &self.rules
        {
            return rules.at(time);
        }
        let kind = match after.checked_sub(1) {
            Some(last) => self.kinds.get(usize::from(self.transitions[last].1)),
            None => self.kinds.iter().find(|kind| !kind.daylight).or(self.kinds.first()),
        };
        kind.map_or((UTC, 0), |kind| (&kind.name, kind.offset))
    }
}

/// The counts at the head of a TZif block.
struct Header {
    version: u8,
    ut_indicators: usize,
    standard_indicators: usize,
    leaps: usize,
    times: usize,
    kinds: usize,
    names: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        const LENGTH: usize = 44;
        let (header, rest) = bytes.split_at_checked(LENGTH)?;
        let rest_of_header = header.strip_prefix(b"TZif")?;
        let count = |i: usize| {
            let at = 20 + 4 * i;
            let bytes = header.get(at..at + 4)?.try_into().ok()?;
            // No zone has more; a sum of such counts cannot overflow.
            usize::try_from(u32::from_be_bytes(bytes)).ok().filter(|&n| n <= 0xffff)
        };
        let header = Header {
            version: rest_of_header[0],
            ut_indicators: count(0)?,
            standard_indicators: count(1)?,
            leaps: count(2)?,
            times: count(3)?,
            kinds: count(4)?,
            names: count(5)?,
        };
        Some((header, rest))
    }

    fn block_length(&self, width: usize) -> Option<usize> {
        let Header { ut_indicators, standard_indicators, leaps, times, kinds, names, .. } = *self;
        Some(
            times * (width + 1)
                + kinds * 6
                + names
                + leaps * (width + 4)
                + standard_indicators
                + ut_indicators,
        )
    }
}

/// A POSIX zone, such as `CET-1CEST,M3.5.0,M10.5.0/3`.
#[derive(Debug, PartialEq, Eq)]
struct Rules {
    standard: Kind,
    daylight: Option<Daylight>,
}

#[derive(Debug, PartialEq, Eq)]
struct Daylight {
    kind: Kind,
    start: Change,
    end: Change,
}

/// When, in each year, the clock changes.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    day: Day,
    /// Seconds of local time after midnight of that day; may be negative or beyond the day.
    time: i32,
}

#[derive(Debug, PartialEq, Eq)]
enum Day {
    /// The day 1 to 365, the 29th of February never counted.
    Julian(i32),
    /// The day 0 to 365, the 29th of February counted.
    Zero(i32),
    /// A month, a week (5 is the last), and a weekday (0 is Sunday).
    Weekday(i32, i32, i32),
}

const DAY: i64 = 86_400;

impl Rules {
    fn parse(text: &[u8]) -> Option<Self> {
        let mut scanner = Scanner { rest: text };
        let standard = Kind { name: scanner.name()?, offset: -scanner.time(24)?, daylight: false };
        if scanner.rest.is_empty() {
            return Some(Rules { standard, daylight: None });
        }
        let name = scanner.name()?;
        let offset = match scanner.rest.first() {
            None | Some(b',') => standard.offset + 3600,
            Some(_) => -scanner.time(24)?,
        };
        let (start, end) = if scanner.rest.is_empty() {
            // No rules given: those of the United States, as everywhere.
            let at_two = |month, week| Change { day: Day::Weekday(month, week, 0), time: 7200 };
            (at_two(3, 2), at_two(11, 1))
        } else {
            (scanner.change()?, scanner.change()?)
        };
        let daylight = Daylight { kind: Kind { name, offset, daylight: true }, start, end };
        scanner.rest.is_empty().then_some(Rules { standard, daylight: Some(daylight) })
    }

    fn at(&self, time: i64) -> (&[u8], i32) {
        let kind = match &self.daylight {
            Some(daylight) if self.is_daylight(daylight, time) => &daylight.kind,
            _ => &self.standard,
        };
        (&kind.name, kind.offset)
    }

    fn is_daylight(&self, daylight: &Daylight, time: i64) -> bool {
        let year = year_of(time.saturating_add(self.standard.offset.into()).div_euclid(DAY));
        let start = daylight.start.in_year(year).saturating_sub(self.standard.offset.into());
        let end = daylight.end.in_year(year).saturating_sub(daylight.kind.offset.into());
        // South of the equator the end comes first.
        if start < end { (start..end).contains(&time) } else { !(end..start).contains(&time) }
    }
}

impl Change {
    /// Seconds of local time since 1970.
    fn in_year(&self, year: i64) -> i64 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let day = match self.day {
            Day::Zero(day) => days_to(year, 1, 1) + i64::from(day),
            Day::Julian(day) => days_to(year, 1, 1) + i64::from(day) - i64::from(!(leap && day > 59)),
            Day::Weekday(month, week, weekday) => {
                let first = days_to(year, month.into(), 1);
                let next = if month == 12 {
                    days_to(year + 1, 1, 1)
                } else {
                    days_to(year, i64::from(month) + 1, 1)
                };
                // 1970 began on a Thursday.
                let first_weekday = (first + 4).rem_euclid(7);
                let day =
                    first + (i64::from(weekday) - first_weekday).rem_euclid(7) + 7 * i64::from(week - 1);
                if day < next { day } else { day - 7 }
            }
        };
        day.saturating_mul(DAY).saturating_add(self.time.into())
    }
}

/// Days from 1970 to a date of the Gregorian calendar.
pub fn days_to(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March put the leap day at the end.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The year of a day counted from 1970.
fn year_of(day: i64) -> i64 {
    // The mean length of a year is near enough for a guess that is at most one off.
    let guess = 1970 + (day.clamp(-1 << 40, 1 << 40) * 400).div_euclid(146_097);
    if day < days_to(guess, 1, 1) {
        guess - 1
    } else if day >= days_to(guess + 1, 1, 1) {
        guess + 1
    } else {
        guess
    }
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    fn take(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn name(&mut self) -> Option<Vec<u8>> {
        let quoted = self.take(b'<');
        let length = if quoted {
            self.rest.iter().position(|&b| b == b'>')?
        } else {
            self.rest.iter().position(|b| !b.is_ascii_alphabetic()).unwrap_or(self.rest.len())
        };
        let (name, rest) = self.rest.split_at(length);
        let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-');
        if name.len() < 3 || !name.iter().all(fits) {
            return None;
        }
        self.rest = &rest[usize::from(quoted)..];
        Some(name.to_vec())
    }

    fn number(&mut self, most: i32) -> Option<i32> {
        let length = self.rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(length);
        let number = scan::unsigned(digits).and_then(|n| i32::try_from(n).ok()).filter(|&n| n <= most)?;
        self.rest = rest;
        Some(number)
    }

    /// `[+-]hh[:mm[:ss]]`, in seconds.
    fn time(&mut self, most_hours: i32) -> Option<i32> {
        let negative = self.take(b'-');
        if !negative {
            self.take(b'+');
        }
        let mut seconds = self.number(most_hours)? * 3600;
        if self.take(b':') {
            seconds += self.number(59)? * 60;
            if self.take(b':') {
                seconds += self.number(59)?;
            }
        }
        Some(if negative { -seconds } else { seconds })
    }

    /// `,day[/time]`.
    fn change(&mut self) -> Option<Change> {
        if !self.take(b',') {
            return None;
        }
        let day = if self.take(b'J') {
            Day::Julian(self.number(365).filter(|&n| n > 0)?)
        } else if self.take(b'M') {
            let month = self.number(12).filter(|&n| n > 0)?;
            let week = self.take(b'.').then(|| self.number(5))?.filter(|&n| n > 0)?;
            Day::Weekday(month, week, self.take(b'.').then(|| self.number(6))??)
        } else {
            Day::Zero(self.number(365)?)
        };
        let time = if self.take(b'/') { self.time(167)? } else { 7200 };
        Some(Change { day, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tz: &str, time: i64) -> (String, i32) {
        let rules = Rules::parse(tz.as_bytes()).unwrap();
        let (name, offset) = rules.at(time);
        (String::from_utf8(name.to_vec()).unwrap(), offset)
    }

    fn is(name: &str, offset: i32) -> (String, i32) {
        (name.to_owned(), offset)
    }

    #[test]
    fn days_and_years() {
        assert_eq!((days_to(1970, 1, 1), days_to(2000, 3, 1), days_to(1969, 12, 31)), (0, 11_017, -1));
        for year in [-401, 0, 1600, 1899, 1970, 1972, 2000, 2026, 2038, 2100, 9999] {
            assert_eq!(year_of(days_to(year, 1, 1)), year);
            assert_eq!(year_of(days_to(year, 12, 31)), year);
        }
        let _no_overflow = (year_of(i64::MAX), year_of(i64::MIN));
    }

    #[test]
    fn posix_rules_change_at_the_second() {
        const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
        // 2026-03-29 01:00 UTC and 2026-10-25 01:00 UTC.
        assert_eq!(at(BERLIN, 1_774_745_999), is("CET", 3600));
        assert_eq!(at(BERLIN, 1_774_746_000), is("CEST", 7200));
        assert_eq!(at(BERLIN, 1_792_889_999), is("CEST", 7200));
        assert_eq!(at(BERLIN, 1_792_890_000), is("CET", 3600));
        // Beyond 2038: 2050-07-01.
        assert_eq!(at(BERLIN, 2_540_246_400), is("CEST", 7200));
        const SYDNEY: &str = "AEST-10AEDT,M10.1.0,M4.1.0/3";
        assert_eq!(at(SYDNEY, 1_767_225_600), is("AEDT", 39_600), "2026-01-01");
        assert_eq!(at(SYDNEY, 1_782_864_000), is("AEST", 36_000), "2026-07-01");
        assert_eq!(at("<-03>3", 0), is("-03", -10_800));
        assert_eq!(at("<+0530>-5:30", 0), is("+0530", 19_800));
        assert_eq!(at("EST5EDT,0/0,J365/25", 1_767_225_600), is("EDT", -14_400), "daylight time all year");
        assert_eq!(at("EST5EDT", 1_782_864_000), is("EDT", -14_400));
        let (_no_overflow, _) = (at(BERLIN, i64::MAX), at(BERLIN, i64::MIN));
    }

    #[test]
    fn what_is_no_posix_zone_is_refused() {
        for bad in [
            "",
            "X",
            "CET",
            "CET-1CEST,",
            "CET-1CEST,M3",
            "CET-1CEST,M13.5.0,M10.5.0",
            "CET-25",
            "<CET",
            "CET-1 ",
        ] {
            assert_eq!(Rules::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    /// A TZif file: standard time until 1000, daylight time until 2000, standard time until the footer's rules begin.
    fn tzif() -> Vec<u8> {
        let mut file = Vec::new();
        for width in [4, 8] {
            file.extend_from_slice(b"TZif2");
            file.resize(file.len() + 15, 0);
            for count in [0u32, 0, 0, 2, 2, 8] {
                file.extend_from_slice(&count.to_be_bytes());
            }
            for time in [1000u64, 2000] {
                file.extend_from_slice(&time.to_be_bytes()[8 - width..]);
            }
            file.extend_from_slice(&[1, 0]);
            for (offset, daylight, name) in [(3600u32, 0, 0), (7200, 1, 4)] {
                file.extend_from_slice(&offset.to_be_bytes());
                file.extend_from_slice(&[daylight, name]);
            }
            file.extend_from_slice(b"AAA\0BBB\0");
        }
        file.extend_from_slice(b"\nNEW-3\n");
        file
    }

    #[test]
    fn transitions_then_the_footer() {
        let zone = Zone::parse(&tzif()).unwrap();
        assert_eq!(zone.at(999), (&b"AAA"[..], 3600));
        assert_eq!(zone.at(1000), (&b"BBB"[..], 7200));
        assert_eq!(zone.at(2000), (&b"NEW"[..], 10_800));
    }

    #[test]
    fn a_cut_file_is_no_zone_and_no_panic() {
        let file = tzif();
        for length in 0..file.len() {
            assert!(Zone::parse(&file[..length]).is_none(), "{length}");
        }
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] = 0xff;
            let _no_panic = Zone::parse(&damaged).map(|zone| zone.at(1500).1);
        }
    }

    #[test]
    fn a_zone_file_that_is_replaced_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("localtime");
        let mut zone = LocalZone::of(Some(b":/nonexistent/zone"));
        assert_eq!(zone.at(0), (UTC, 0));
        zone.file = Some(path.clone());
        assert_eq!(zone.at(1500), (UTC, 0), "no file yet");
        std::fs::write(&path, tzif()).unwrap();
        assert_eq!(zone.at(1500), (&b"BBB"[..], 7200));
        std::fs::write(&path, [&tzif()[..tzif().len() - 7], b"\nOTHERS-4\n"].concat()).unwrap();
        assert_eq!(zone.at(2500), (&b"OTHERS"[..], 14_400));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(zone.at(2500), (UTC, 0));
    }

    #[test]
    fn tz_names_a_file_or_is_the_rule_itself() {
        assert_eq!(LocalZone::of(Some(b"")).at(0), (UTC, 0));
        assert_eq!(LocalZone::of(Some(b"ABC-2")).at(0), (&b"ABC"[..], 7200));
        assert_eq!(LocalZone::of(Some(b"no such zone")).at(0), (UTC, 0));
        if Path::new("/usr/share/zoneinfo/Asia/Kolkata").is_file() {
            assert_eq!(LocalZone::of(Some(b"Asia/Kolkata")).at(1_782_864_000), (&b"IST"[..], 19_800));
            assert_eq!(
                LocalZone::of(Some(b":/usr/share/zoneinfo/America/New_York")).at(2_540_246_400),
                (&b"EDT"[..], -14_400)
            );
        }
    }
}
