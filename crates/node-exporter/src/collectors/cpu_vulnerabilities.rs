//! What the CPUs are vulnerable to: the files of `/sys/devices/system/cpu/vulnerabilities`, see the kernel's
//! Documentation/ABI/testing/sysfs-devices-system-cpu. Each is a line that begins with the state and goes on with the mitigation.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use exporter::text::LabelValue;
use exporter::{Collector, Entry, Error, Kind, Text};
use hostfs::{Arena, Buf, Dir, Names, Span, scan};

use crate::paths;

pub(crate) const ENTRY: Entry = Entry {
    name: "cpu_vulnerabilities",
    on: false,
    help: "Vulnerabilities of the CPUs from /sys/devices/system/cpu/vulnerabilities.",
    flags: &[],
    new: |flags| {
        Ok(Box::new(CpuVulnerabilities {
            base: paths::sys(flags).join("devices/system/cpu/vulnerabilities"),
            names: Names::new(),
            found: Vec::new(),
            texts: Arena::new(),
            scratch: Vec::new(),
            buf: Buf::new(),
        }))
    },
};

const NOT_AFFECTED: &str = "not affected";
const UNKNOWN: &str = "unknown";
/// How a line may begin, in capitals or small letters.
const STATES: [&str; 4] = [NOT_AFFECTED, "vulnerable", "mitigation", UNKNOWN];

struct CpuVulnerabilities {
    base: PathBuf,
    names: Names,
    found: Vec<(Span, Span, &'static str)>,
    texts: Arena,
    scratch: Vec<u8>,
    buf: Buf,
}

impl CpuVulnerabilities {
    /// Reads all files; gives the first problem that did not stop it.
    fn read(&mut self) -> hostfs::Result<Option<hostfs::Error>> {
        let CpuVulnerabilities { base, names, found, texts, scratch, buf } = self;
        found.clear();
        texts.clear();
        let dir = match Dir::open(base) {
            Ok(dir) => dir,
            Err(error) if error.is_gone() => return Ok(None),
            Err(error) => return Err(error),
        };
        dir.names(names)?;
        let mut problem = None;
        for name in names.iter() {
            let bytes = match dir.attribute(name, buf) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(error) => {
                    problem.get_or_insert(error);
                    continue;
                }
            };
            scratch.clear();
            match scan::lines(bytes).next().and_then(|line| parse(line.trim_ascii(), scratch)) {
                Some(state) => found.push((texts.push(name.as_bytes()), texts.push(scratch), state)),
                None => {
                    problem.get_or_insert_with(|| dir.malformed(name, "a line of a state and a mitigation"));
                }
            }
        }
        Ok(problem)
    }
}

impl Collector for CpuVulnerabilities {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let problem = self.read()?;
        let mut family = out.family(
            "node_cpu_vulnerabilities_info",
            Kind::Gauge,
            "State and mitigation of a vulnerability of the CPUs; always 1.",
        );
        for &(codename, mitigation, state) in &self.found {
            let text = |span: Span| LabelValue::from(&self.texts[span]);
            let labels =
                [("codename", text(codename)), ("mitigation", text(mitigation)), ("state", state.into())];
            family.sample(&labels, 1u64);
        }
        drop(family);
        problem.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Gives the state and appends the mitigation; `None` for an empty line.
fn parse(line: &[u8], mitigation: &mut Vec<u8>) -> Option<&'static str> {
    if line.is_empty() {
        return None;
    }
    let begins =
        |state: &&str| line.get(..state.len()).is_some_and(|l| l.eq_ignore_ascii_case(state.as_bytes()));
    let Some(state) = STATES.into_iter().find(begins) else {
        // Such as "KVM: Mitigation: …", kept whole.
        mitigation.extend_from_slice(line);
        return Some(UNKNOWN);
    };
    if state != NOT_AFFECTED {
        for (index, word) in scan::fields(line).skip(1).enumerate() {
            if index > 0 {
                mitigation.push(b' ');
            }
            mitigation.extend_from_slice(word);
        }
    }
    Some(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn states_and_mitigations() {
        let base = "sys/devices/system/cpu/vulnerabilities";
        let tree = Tree::new(&[]);
        for (name, text) in [
            ("a", "Not affected\n"),
            ("b", "Vulnerable\n"),
            ("c", "Vulnerable: Clear CPU  buffers attempted, no microcode\n"),
            ("d", "Mitigation: PTI\n"),
            ("e", "Unknown: No mitigations\n"),
            ("f", "KVM: Mitigation: VMX disabled\n"),
        ] {
            tree.write(&format!("{base}/{name}"), text);
        }
        assert_eq!(
            tree.samples(&ENTRY, &[]),
            "node_cpu_vulnerabilities_info{codename=\"a\",mitigation=\"\",state=\"not affected\"} 1\n\
             node_cpu_vulnerabilities_info{codename=\"b\",mitigation=\"\",state=\"vulnerable\"} 1\n\
             node_cpu_vulnerabilities_info{codename=\"c\",mitigation=\"Clear CPU buffers attempted, no microcode\",state=\"vulnerable\"} 1\n\
             node_cpu_vulnerabilities_info{codename=\"d\",mitigation=\"PTI\",state=\"mitigation\"} 1\n\
             node_cpu_vulnerabilities_info{codename=\"e\",mitigation=\"No mitigations\",state=\"unknown\"} 1\n\
             node_cpu_vulnerabilities_info{codename=\"f\",mitigation=\"KVM: Mitigation: VMX disabled\",state=\"unknown\"} 1\n"
        );
    }

    #[test]
    fn a_line_that_is_cut_or_empty_is_left_out_and_told() {
        for text in ["", "\n", "Mitiga"] {
            let tree = Tree::new(&[("sys/devices/system/cpu/vulnerabilities/mds", text)]);
            let (samples, error) = tree.collect(&ENTRY, &[]);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{text:?}");
        }
        assert_eq!(Tree::new(&[]).samples(&ENTRY, &[]), "");
    }
}
