//! The operating system's name and version: `/etc/os-release`, else `/usr/lib/os-release`, below `--path.rootfs`. See os-release(5).
//!
//! Lines of shell assignments. The file is no kernel's, so it may lack its last newline, and may be edited by hand; a line that is
//! no assignment is passed over.

use std::path::PathBuf;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::sys::clock::days_to;
use hostfs::{Arena, Buf, Gone, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "os",
    on: true,
    help: "Name and version of the operating system from os-release.",
    flags: &[],
    new: |flags| {
        let files = FILES.map(|file| paths::rootfs(flags).join(file));
        Ok(Box::new(Os { files, buf: Buf::new(), release: Release::default() }))
    },
};

const FILES: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// Keys whose values become labels of `node_os_info`, in the order of the labels.
const KEYS: [(&[u8], &str); 12] = [
    (b"BUILD_ID", "build_id"),
    (b"ID", "id"),
    (b"ID_LIKE", "id_like"),
    (b"IMAGE_ID", "image_id"),
    (b"IMAGE_VERSION", "image_version"),
    (b"NAME", "name"),
    (b"PRETTY_NAME", "pretty_name"),
    (b"VARIANT", "variant"),
    (b"VARIANT_ID", "variant_id"),
    (b"VERSION", "version"),
    (b"VERSION_CODENAME", "version_codename"),
    (b"VERSION_ID", "version_id"),
];
const ID: usize = 1;
const ID_LIKE: usize = 2;
const NAME: usize = 5;
const VERSION_ID: usize = 11;

struct Os {
    files: [PathBuf; FILES.len()],
    buf: Buf,
    release: Release,
}

#[derive(Default)]
struct Release {
    values: [Span; KEYS.len()],
    support_end: Span,
    texts: Arena,
    /// Where one value is put together.
    value: Vec<u8>,
}

impl Collector for Os {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let mut found = false;
        for file in &self.files {
            if let Some(bytes) = hostfs::read(file, &mut self.buf).gone_is_none()? {
                if !self.release.parse(bytes) {
                    return Err(hostfs::Error::malformed(file, "lines of the form NAME=value").into());
                }
                found = true;
                break;
            }
        }
        if !found {
            return Err(Error::NoData("no os-release file".into()));
        }

        let text = |span: Span| LabelValue::from(&self.release.texts[span]);
        let values = self.release.values;
        let mut labels = [("", LabelValue::Int(0)); KEYS.len()];
        for ((label, (_, name)), value) in labels.iter_mut().zip(KEYS).zip(values) {
            *label = (name, text(value));
        }
        out.family(
            "node_os_info",
            Kind::Gauge,
            "Names of the operating system, see os-release(5); always 1.",
        )
        .sample(&labels, 1u64);
        if let Some(days) = date(self.release.texts[self.release.support_end].trim_ascii()) {
            out.single(
                "node_os_support_end_timestamp_seconds",
                Kind::Gauge,
                "Time at which support for this release ends, in seconds since 1970.",
                days.saturating_mul(86_400),
            );
        }
        if let Some(version) = version(&self.release.texts[values[VERSION_ID]]) {
            out.family("node_os_version", Kind::Gauge, "Version of the operating system, as major.minor.")
                .sample(
                    &[
                        ("id", text(values[ID])),
                        ("id_like", text(values[ID_LIKE])),
                        ("name", text(values[NAME])),
                    ],
                    version,
                );
        }
        Ok(())
    }
}

impl Release {
    /// Whether there is any assignment.
    fn parse(&mut self, bytes: &[u8]) -> bool {
        self.values = [Span::default(); KEYS.len()];
        self.support_end = Span::default();
        self.texts.clear();
        let mut any = false;
        let ended = bytes.ends_with(b"\n");
        let mut lines = scan::lines_loose(bytes).peekable();
        while let Some(line) = lines.next() {
            let line = line.trim_ascii();
            let line = line.strip_prefix(b"export ").unwrap_or(line).trim_ascii_start();
            let Some((key, text)) = scan::split_once(line, b'=') else { continue };
            if line.starts_with(b"#") || !key.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_') {
                continue;
            }
            // A last line with neither a newline nor a closing quote may be cut.
            let may_be_cut =
                !ended && lines.peek().is_none() && !text.ends_with(b"\"") && !text.ends_with(b"'");
            if may_be_cut || !unquote(text, &mut self.value) {
                continue;
            }
            any = true;
            let slot = match KEYS.iter().position(|(name, _)| *name == key) {
                Some(i) => &mut self.values[i],
                None if key == b"SUPPORT_END" => &mut self.support_end,
                None => continue,
            };
            *slot = self.texts.push(&self.value);
        }
        any
    }
}

/// The value of a shell assignment: quotes and backslashes resolved, up to the first white space outside of quotes. False if a quote is
/// not closed.
fn unquote(text: &[u8], value: &mut Vec<u8>) -> bool {
    value.clear();
    let mut quote = None;
    let mut bytes = text.iter().copied();
    while let Some(b) = bytes.next() {
        match (quote, b) {
            (Some(open), b) if b == open => quote = None,
            (None, b'"' | b'\'') => quote = Some(b),
            (None, b) if b.is_ascii_whitespace() => break,
            // Between double quotes a backslash stays, but for those that shield one of four.
            (Some(b'"') | None, b'\\') => match bytes.next() {
                Some(next) => {
                    if quote.is_some() && !matches!(next, b'"' | b'\\' | b'$' | b'`') {
                        value.push(b'\\');
                    }
                    value.push(next);
                }
                None => return false,
            },
            (_, b) => value.push(b),
        }
    }
    quote.is_none()
}

/// The leading `major[.minor]` of a version, unless it is 0.
fn version(text: &[u8]) -> Option<f64> {
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let major = digits(text);
    let mut length = major;
    if major > 0 && text.get(major) == Some(&b'.') {
        let minor = digits(&text[major + 1..]);
        length = if minor > 0 { major + 1 + minor } else { major };
    }
    scan::float(&text[..length]).filter(|&version| version > 0.0)
}

/// Days from 1970 to a date of the form 2029-05-31.
fn date(text: &[u8]) -> Option<i64> {
    let number = |at: std::ops::Range<usize>, in_range: std::ops::RangeInclusive<i64>| {
        let number = i64::try_from(scan::unsigned(text.get(at)?)?).ok()?;
        in_range.contains(&number).then_some(number)
    };
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let (year, month) = (number(0..4, 0..=9999)?, number(5..7, 1..=12)?);
    let next_month = if month == 12 { days_to(year + 1, 1, 1) } else { days_to(year, month + 1, 1) };
    let day = number(8..10, 1..=next_month - days_to(year, month, 1))?;
    Some(days_to(year, month, day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    fn info(labels: &str) -> String {
        let value = |label: &str| {
            labels
                .split(';')
                .find_map(|part| part.strip_prefix(label)?.strip_prefix('='))
                .unwrap_or_default()
                .to_owned()
        };
        let labels: Vec<String> =
            KEYS.iter().map(|(_, label)| format!("{label}=\"{}\"", value(label))).collect();
        format!("node_os_info{{{}}} 1\n", labels.join(","))
    }

    #[test]
    fn etc_comes_first() {
        let tree = Tree::new(&[
            (
                "rootfs/etc/os-release",
                "NAME=\"Fedora Linux\"\n# A comment=1\nID=fedora\nID_LIKE='rhel centos'\n\nVERSION_ID=42.1.7\n\
                 SUPPORT_END=2026-05-13\nPRETTY_NAME=\"Fedora \\\"42\\\" \\n\"\nVARIANT_ID=a b\n",
            ),
            ("rootfs/usr/lib/os-release", "ID=other\n"),
        ]);
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            info(
                "id=fedora;id_like=rhel centos;name=Fedora Linux;pretty_name=Fedora \\\"42\\\" \\\\n;variant_id=a;version_id=42.1.7"
            ) + "node_os_support_end_timestamp_seconds 1.7786304e+09\n\
                   node_os_version{id=\"fedora\",id_like=\"rhel centos\",name=\"Fedora Linux\"} 42.1\n"
        );
        tree.remove("rootfs/etc/os-release");
        assert_eq!(tree.samples(&ENTRY, &[]), info("id=other"));
    }

    #[test]
    fn versions_and_dates() {
        for (text, expected) in [
            ("12", Some(12.0)),
            ("20.04.1", Some(20.04)),
            ("3.", Some(3.0)),
            ("n/a", None),
            ("", None),
            ("0", None),
            ("v2", None),
        ] {
            assert_eq!(version(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(date(b"1970-01-02"), Some(1));
        assert_eq!(date(b"2028-02-29"), Some(21_243));
        for bad in [
            "2027-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "26-01-01",
            "2026-1-01",
            "2026/01/01",
            "soon",
            "",
        ] {
            assert_eq!(date(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_bad_date_costs_itself() {
        let tree = Tree::new(&[("rootfs/etc/os-release", "ID=x\nSUPPORT_END=never\n")]);
        assert_eq!(tree.samples(&ENTRY, &[]), info("id=x"));
    }

    #[test]
    fn a_last_line_without_newline_counts_if_it_is_quoted() {
        let of = |text| Tree::new(&[("rootfs/etc/os-release", text)]).samples(&ENTRY, &[]);
        assert_eq!(of("ID=x\nNAME=\"A B\""), info("id=x;name=A B"));
        for cut in ["ID=x\nNAME=\"A", "ID=x\nNAME=A", "ID=x\nNAME="] {
            assert_eq!(of(cut), info("id=x"), "{cut:?}");
        }
    }

    #[test]
    fn hostile_bytes_are_escaped() {
        let tree = Tree::new(&[]);
        tree.write("rootfs/etc/os-release", b"ID=\"a\xff\"\n");
        assert_eq!(tree.samples(&ENTRY, &[]), info("id=a\u{fffd}"));
    }

    #[test]
    fn no_file_is_no_data_and_a_file_of_something_else_fails() {
        assert!(matches!(Tree::new(&[]).collect(&ENTRY, &[]).1, Some(Error::NoData(_))));
        for bad in ["", "\n", "hello\n", "# ID=x\n", "a b=c\n", "ID=\"x\n"] {
            let (samples, error) = Tree::new(&[("rootfs/etc/os-release", bad)]).collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{bad:?}: {samples}");
        }
    }
}
