//! Kernel parameters that the flags name: `/proc/sys/<name with slashes>`, see sysctl(8).
//!
//! `include` exports numbers: one value as it is, more than one by `index`, or as a family each if the flag names the fields. `include-info`
//! exports words as labels. A definition that can never give anything is refused at the start.

use std::time::Instant;

use exporter::text::{LabelValue, Number};
use exporter::{Collector, Entry, Error, Flag, FlagError, Flags, Kind, Text};
use hostfs::{Arena, Buf, File, Span, scan};

use crate::paths;

const INCLUDE: &str = "collector.sysctl.include";
const INCLUDE_INFO: &str = "collector.sysctl.include-info";

pub(crate) const ENTRY: Entry = Entry {
    name: "sysctl",
    on: false,
    help: "Kernel parameters from /proc/sys that the flags name.",
    flags: &[
        Flag::list(INCLUDE, "Parameter to export as a number: name, or name:a,b to name several numbers."),
        Flag::list(INCLUDE_INFO, "Parameter to export as labels, a series for each word."),
    ],
    new: |flags| {
        let (numbers, infos) = definitions(flags)?;
        Ok(Box::new(Sysctl { numbers, infos, buf: Buf::new(), words: Arena::new(), info: Vec::new() }))
    },
};

struct Sysctl {
    numbers: Vec<Numeric>,
    infos: Vec<Info>,
    buf: Buf,
    words: Arena,
    /// Position in `infos`, index, word.
    info: Vec<(usize, u64, Span)>,
}

/// A parameter of numbers, as one flag wants it.
#[derive(Debug, PartialEq)]
struct Definition {
    name: String,
    /// One family of all values, or one for each.
    families: Vec<String>,
    help: Vec<String>,
    is_mapped: bool,
}

struct Numeric {
    definition: Definition,
    file: File,
    /// All numbers of the parameter, or none.
    values: Vec<Number>,
}

/// A parameter of words.
struct Info {
    name: String,
    file: File,
}

fn definitions(flags: &Flags) -> Result<(Vec<Numeric>, Vec<Info>), FlagError> {
    let file = |name: &str| paths::proc(flags).file("sys").path().join(name.replace('.', "/"));
    let mut numbers: Vec<Numeric> = Vec::new();
    for text in flags.list(INCLUDE) {
        let wrong = |why: &str| FlagError::new(format!("--{INCLUDE}={text}: {why}"));
        let definition = numeric(text).map_err(wrong)?;
        if numbers.iter().any(|known| known.definition == definition) {
            continue;
        }
        let taken = |family| numbers.iter().any(|known| known.definition.families.contains(family));
        if definition.families.iter().any(taken) {
            return Err(wrong("makes a metric that another parameter makes already"));
        }
        let file = File::new(file(&definition.name));
        numbers.push(Numeric { definition, file, values: Vec::new() });
    }
    let mut infos: Vec<Info> = Vec::new();
    for text in flags.list(INCLUDE_INFO) {
        let wrong = |why| FlagError::new(format!("--{INCLUDE_INFO}={text}: {why}"));
        let name = parameter(text).map_err(wrong)?;
        if text.contains(':') {
            return Err(wrong("fields can be named for numbers alone"));
        }
        if !infos.iter().any(|known| known.name == name) {
            infos.push(Info { name: name.to_owned(), file: File::new(file(name)) });
        }
    }
    Ok((numbers, infos))
}

/// The name of a parameter, which stays below `/proc/sys`.
fn parameter(text: &str) -> Result<&str, &'static str> {
    let name = text.split(':').next().unwrap_or_default();
    if name.split(['.', '/']).any(str::is_empty) {
        return Err("must begin with a parameter's name, such as kernel.threads-max");
    }
    Ok(name)
}

fn numeric(text: &str) -> Result<Definition, &'static str> {
    let name = parameter(text)?;
    let mut family = b"node_sysctl_".to_vec();
    sanitize_into(&mut family, name.as_bytes());
    let family = String::from_utf8_lossy(&family).into_owned();
    let Some((_, fields)) = text.split_once(':') else {
        return Ok(Definition {
            name: name.to_owned(),
            families: vec![family],
            help: vec![format!("Kernel parameter {name}.")],
            is_mapped: false,
        });
    };
    let fields: Vec<&str> = fields.split(',').collect();
    if fields.len() < 2 {
        return Err("a parameter of one number has no fields: name two or more, or none");
    }
    let mut families = Vec::new();
    for field in &fields {
        let field = field.replace(|c: char| !c.is_ascii_alphanumeric() && c != ':', "_");
        families.push(format!("{family}_{field}"));
    }
    if families.iter().enumerate().any(|(i, family)| families[..i].contains(family)) {
        return Err("names a field twice");
    }
    let help = (0..fields.len()).map(|i| format!("Kernel parameter {name}, number {i}.")).collect();
    Ok(Definition { name: name.to_owned(), families, help, is_mapped: true })
}

/// Appends `text` with each run of bytes that cannot stand in a metric's name, and the underscores around it, made one underscore.
pub(super) fn sanitize_into(out: &mut Vec<u8>, text: &[u8]) {
    let is_good = |b: &u8| b.is_ascii_alphanumeric();
    let mut rest = text;
    while let Some(first) = rest.first() {
        if is_good(first) {
            out.push(*first);
            rest = &rest[1..];
            continue;
        }
        let underscores = rest.iter().take_while(|&&b| b == b'_').count();
        let bad = rest[underscores..].iter().take_while(|b| !is_good(b) && **b != b'_').count();
        let end = underscores + bad;
        if bad == 0 {
            out.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        } else {
            out.push(b'_');
            rest = &rest[end + rest[end..].iter().take_while(|&&b| b == b'_').count()..];
        }
    }
}

impl Sysctl {
    /// Reads all parameters; what cannot be read is left out, and the first error told.
    fn read(&mut self) -> Result<(), Error> {
        let mut result = Ok(());
        let mut keep = |error: Error| {
            if result.is_ok() {
                result = Err(error);
            }
        };
        for Numeric { definition, file, values } in &mut self.numbers {
            values.clear();
            let bytes = match file.read(&mut self.buf) {
                Ok(bytes) => bytes,
                Err(error) => {
                    keep(Error::or_no_data(&error));
                    continue;
                }
            };
            let mut is_bad = false;
            values.extend(scan::fields(bytes).map_while(|field| {
                let number = number(field);
                is_bad = number.is_none();
                number
            }));
            // Of more than one number, those that no newline ends are cut.
            if is_bad || values.is_empty() || (values.len() > 1 && !bytes.ends_with(b"\n")) {
                values.clear();
                keep(file.malformed("numbers and a newline").into());
            } else if definition.is_mapped && values.len() != definition.families.len() {
                values.clear();
                keep(file.malformed("as many numbers as the flag names fields").into());
            }
        }
        self.drop_doubtful();
        self.words.clear();
        self.info.clear();
        for (i, Info { file, .. }) in self.infos.iter_mut().enumerate() {
            let before = self.info.len();
            match file.read(&mut self.buf) {
                Ok(bytes) => {
                    for (index, word) in (0..).zip(scan::fields(bytes)) {
                        self.info.push((i, index, self.words.push(word)));
                    }
                    if self.info.len() == before {
                        keep(file.malformed("words").into());
                    }
                }
                Err(error) => keep(Error::or_no_data(&error)),
            }
        }
        result
    }

    /// A parameter that does not have the numbers that one flag names has been cut: it is not told under another flag either.
    fn drop_doubtful(&mut self) {
        for i in 0..self.numbers.len() {
            let Numeric { definition, values, .. } = &self.numbers[i];
            if !definition.is_mapped || !values.is_empty() {
                continue;
            }
            for j in 0..self.numbers.len() {
                if self.numbers[j].file.path() == self.numbers[i].file.path() {
                    self.numbers[j].values.clear();
                }
            }
        }
    }
}

/// Decimal, or hexadecimal with `0x`, as the flags of sunrpc.
fn number(field: &[u8]) -> Option<Number> {
    if field.starts_with(b"0x") {
        return scan::hex(field).map(Number::U);
    }
    scan::unsigned(field).map(Number::U).or_else(|| scan::signed(field).map(Number::I))
}

impl Collector for Sysctl {
    fn collect(&mut self, out: &mut Text, _deadline: Instant) -> Result<(), Error> {
        let result = self.read();
        for Numeric { definition: Definition { families, help, is_mapped, .. }, values, .. } in &self.numbers
        {
            if *is_mapped {
                for ((family, help), value) in families.iter().zip(help).zip(values) {
                    out.single(family, Kind::Untyped, help, *value);
                }
                continue;
            }
            let mut family = out.family(&families[0], Kind::Untyped, &help[0]);
            for (index, value) in (0u64..).zip(values) {
                match values.len() {
                    1 => family.sample(&[], *value),
                    _ => family.sample(&[("index", index.into())], *value),
                }
            }
            family.sort();
        }
        let mut info = out.family(
            "node_sysctl_info",
            Kind::Gauge,
            "A word of a kernel parameter, by its position; always 1.",
        );
        for &(i, index, word) in &self.info {
            let labels: [(&str, LabelValue<'_>); 3] = [
                ("index", index.into()),
                ("name", (&self.infos[i].name).into()),
                ("value", (&self.words[word]).into()),
            ];
            info.sample(&labels, 1u64);
        }
        info.sort();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    fn tree() -> Tree {
        Tree::new(&[
            ("proc/sys/fs/file-nr", "1024\t0\t1631329\n"),
            ("proc/sys/kernel/threads-max", "7801"),
            ("proc/sys/kernel/shmmax", "18446744073692774399\n"),
            ("proc/sys/kernel/bad", "1 x -3\n"),
            ("proc/sys/kernel/cut", "1 -3"),
            ("proc/sys/kernel/words", "b \"a\"\n"),
            ("proc/sys/sunrpc/rpc_debug", "0x0010\n"),
            ("proc/sys/kernel/empty", "\n"),
        ])
    }

    #[test]
    fn one_number_or_several_or_named_ones() {
        assert_eq!(
            tree().samples(
                &ENTRY,
                &[
                    "--collector.sysctl.include=fs.file-nr",
                    "--collector.sysctl.include=fs.file-nr:total,cur-rent,max",
                    "--collector.sysctl.include=kernel.threads-max",
                    "--collector.sysctl.include=kernel.threads-max",
                    "--collector.sysctl.include=kernel/shmmax",
                    "--collector.sysctl.include=sunrpc.rpc_debug",
                    "--collector.sysctl.include-info=kernel.words",
                    "--collector.sysctl.include-info=fs.file-nr",
                ]
            ),
            "node_sysctl_fs_file_nr{index=\"0\"} 1024\n\
             node_sysctl_fs_file_nr{index=\"1\"} 0\n\
             node_sysctl_fs_file_nr{index=\"2\"} 1.631329e+06\n\
             node_sysctl_fs_file_nr_total 1024\n\
             node_sysctl_fs_file_nr_cur_rent 0\n\
             node_sysctl_fs_file_nr_max 1.631329e+06\n\
             node_sysctl_kernel_threads_max 7801\n\
             node_sysctl_kernel_shmmax 1.8446744073692774e+19\n\
             node_sysctl_sunrpc_rpc_debug 16\n\
             node_sysctl_info{index=\"0\",name=\"fs.file-nr\",value=\"1024\"} 1\n\
             node_sysctl_info{index=\"0\",name=\"kernel.words\",value=\"b\"} 1\n\
             node_sysctl_info{index=\"1\",name=\"fs.file-nr\",value=\"0\"} 1\n\
             node_sysctl_info{index=\"1\",name=\"kernel.words\",value=\"\\\"a\\\"\"} 1\n\
             node_sysctl_info{index=\"2\",name=\"fs.file-nr\",value=\"1631329\"} 1\n"
        );
    }

    #[test]
    fn a_parameter_that_cannot_be_read_costs_itself_and_is_told() {
        for flag in [
            "include=kernel.bad",
            "include=kernel.cut",
            "include=kernel.empty",
            "include=kernel.missing",
            "include=fs.file-nr:a,b",
            "include-info=kernel.empty",
        ] {
            let flag = format!("--collector.sysctl.{flag}");
            let (samples, error) =
                tree().collect(&ENTRY, &[&flag, "--collector.sysctl.include=kernel.threads-max"]);
            assert_eq!(samples, "node_sysctl_kernel_threads_max 7801\n", "{flag}");
            assert!(error.is_some(), "{flag}");
        }
        assert_eq!(tree().samples(&ENTRY, &[]), "");
    }

    #[test]
    fn a_parameter_is_told_by_all_flags_or_by_none() {
        let flags = ["--collector.sysctl.include=fs.file-nr", "--collector.sysctl.include=fs.file-nr:a,b,c"];
        let tree = tree();
        let mut collector = tree.collector(&ENTRY, &flags);
        let (whole, error) = crate::testing::collect(&mut *collector);
        assert!(error.is_none() && whole.lines().count() == 6, "{whole}");
        let text = "1024\t0\t1631329";
        for end in 0..text.len() {
            tree.write("proc/sys/fs/file-nr", &text[..end]);
            let (samples, error) = crate::testing::collect(&mut *collector);
            assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{end}: {samples}");
        }
        tree.write("proc/sys/fs/file-nr", "1024\t0\0\t1631329\n");
        let (samples, error) = crate::testing::collect(&mut *collector);
        assert!(samples.is_empty() && matches!(error, Some(Error::Failed(_))), "{samples}");
        tree.write("proc/sys/fs/file-nr", format!("{text}\n"));
        assert_eq!(crate::testing::collect(&mut *collector), (whole, None));
    }

    #[test]
    fn definitions_that_give_nothing_are_refused() {
        for (flag, why) in [
            ("include=", "must begin with a parameter's name, such as kernel.threads-max"),
            ("include=..a", "must begin with a parameter's name, such as kernel.threads-max"),
            ("include=a:b", "a parameter of one number has no fields: name two or more, or none"),
            ("include=a:b,b", "names a field twice"),
            ("include=a-b", "makes a metric that another parameter makes already"),
            ("include-info=a:b,c", "fields can be named for numbers alone"),
        ] {
            let args = [format!("--collector.sysctl.{flag}"), "--collector.sysctl.include=a.b".to_owned()];
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let args = [args[1], args[0]];
            let flags: Vec<Flag> = paths::FLAGS.iter().chain(ENTRY.flags).copied().collect();
            let error = definitions(&Flags::for_test(&flags, &args)).err().map(|e| e.to_string());
            assert_eq!(error, Some(format!("--collector.sysctl.{flag}: {why}")));
        }
    }

    #[test]
    fn names_are_made_of_letters_digits_and_underscores() {
        for (text, expected) in [
            ("fs.file-nr", "fs_file_nr"),
            ("a_.-_b", "a_b"),
            ("a__b", "a__b"),
            ("-x", "_x"),
            ("__.é", "_"),
            ("a.-_.b", "a__b"),
            ("", ""),
        ] {
            let mut name = Vec::new();
            sanitize_into(&mut name, text.as_bytes());
            assert_eq!(String::from_utf8(name).unwrap(), expected, "{text:?}");
        }
    }
}
