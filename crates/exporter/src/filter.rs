//! Include and exclude patterns of devices, mount points, fields and chips.
//!
//! Patterns are RE2-like and unanchored, as the originals': `\d`, `\w` and `\s` are ASCII, matching is linear in time. Unicode classes
//! (`\p{…}`) and `\Q…\E` are not supported, and are refused at the start.

use std::borrow::Cow;

use regex_lite::Regex;

use crate::flags::{FlagError, Flags};

/// The length in bytes from which on a pattern's memory is not worth keeping: nobody asks the same of it again and again.
const LONG: usize = 64;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn new(pattern: &str) -> Result<Self, String> {
        Regex::new(pattern).map(Pattern).map_err(|error| error.to_string().replace('\n', " "))
    }

    /// Whether it matches anywhere in `name`; bytes that are not UTF-8 count as U+FFFD, as they do in the label.
    pub fn is_match(&self, name: impl AsRef<[u8]>) -> bool {
        let name = lossy(name.as_ref());
        // A regex keeps the memory it matches with, which for a list of a hundred fields is 90 KB. A copy shares all but that.
        if self.0.as_str().len() > LONG { self.0.clone().is_match(&name) } else { self.0.is_match(&name) }
    }
}

fn lossy(name: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(name)
}

/// What an include and an exclude flag leave of the names on a machine.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    include: Option<Pattern>,
    exclude: Option<Pattern>,
}

impl Filter {
    /// From a pair of flags, either of which may be unset (empty): a name passes if it matches `include` and does not match `exclude`.
    ///
    /// # Errors
    /// A pattern that does not compile.
    pub fn both(flags: &Flags, include: &str, exclude: &str) -> Result<Self, FlagError> {
        Ok(Filter { include: flags.pattern(include)?, exclude: flags.pattern(exclude)? })
    }

    /// As [`both`](Self::both), for a pair of which only one may be given: an include that is given stands in for the exclude's default.
    ///
    /// # Errors
    /// A pattern that does not compile, or both flags given, neither of them empty.
    pub fn either(flags: &Flags, include: &str, exclude: &str) -> Result<Self, FlagError> {
        if flags.text(include).is_empty() {
            return Ok(Filter { include: None, exclude: flags.pattern(exclude)? });
        }
        if flags.is_given(exclude) && !flags.text(exclude).is_empty() {
            return Err(flags.error(
                include,
                format!("cannot be combined with {}: give one of them", flags.spelled(exclude)),
            ));
        }
        Ok(Filter { include: flags.pattern(include)?, exclude: None })
    }

    /// Whether `name` passes.
    pub fn passes(&self, name: impl AsRef<[u8]>) -> bool {
        let name = name.as_ref();
        self.include.as_ref().is_none_or(|p| p.is_match(name))
            && !self.exclude.as_ref().is_some_and(|p| p.is_match(name))
    }
}

/// Remembers what a test said of each name, so that a pattern runs once per name and not once per scrape.
///
/// It holds the names of one machine's devices or fields; it starts anew when it has grown past what any machine has at once.
#[derive(Debug, Default)]
pub struct Memo {
    known: std::collections::HashMap<Vec<u8>, bool>,
}

impl Memo {
    const MOST: usize = 16_384;

    /// What `test` says, or said before, of `name`.
    pub fn check(&mut self, name: &[u8], test: impl FnOnce(&[u8]) -> bool) -> bool {
        if let Some(&known) = self.known.get(name) {
            return known;
        }
        if self.known.len() >= Self::MOST {
            self.known.clear();
        }
        let passes = test(name);
        self.known.insert(name.to_owned(), passes);
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Flag;

    const FLAGS: &[Flag] =
        &[Flag::text("x.include", "", "Included."), Flag::text("x.exclude", "^(lo|veth.*)$", "Excluded.")];

    fn either(args: &[&str]) -> Result<Filter, FlagError> {
        Filter::either(&Flags::for_test(FLAGS, args), "x.include", "x.exclude")
    }

    #[test]
    fn an_include_stands_in_for_the_default_exclude() {
        let default = either(&[]).unwrap();
        assert!(default.passes("eth0") && !default.passes("lo") && !default.passes("veth1"));
        let include = either(&["--x.include=^lo$"]).unwrap();
        assert!(include.passes("lo") && !include.passes("eth0"));
        let none = either(&["--x.exclude="]).unwrap();
        assert!(none.passes("lo"));
        assert!(either(&["--x.exclude=", "--x.include=lo"]).is_ok());
        assert_eq!(
            either(&["--x.exclude=a", "--x.include=lo"]).unwrap_err().to_string(),
            "--x.include=lo: cannot be combined with --x.exclude: give one of them"
        );
    }

    #[test]
    fn both_patterns_can_apply_at_once() {
        let flags = Flags::for_test(FLAGS, &["--x.include=e"]);
        let filter = Filter::both(&flags, "x.include", "x.exclude").unwrap();
        assert!(filter.passes("eth0") && !filter.passes("veth0") && !filter.passes("lo"));
    }

    #[test]
    fn patterns_of_real_compose_files_compile_and_match() {
        let mounts = Pattern::new("^/(sys|proc|dev|host|etc)($$|/)").unwrap();
        assert!(mounts.is_match("/etc/hosts") && mounts.is_match("/proc") && !mounts.is_match("/data"));
        assert!(
            Pattern::new(r"^\d+$").unwrap().is_match("123")
                && !Pattern::new(r"^\d+$").unwrap().is_match("\u{663}")
        );
        assert!(Pattern::new("caf.").unwrap().is_match(b"caf\xe9"));
        assert!(!Pattern::new("(").unwrap_err().contains('\n'));
    }

    #[test]
    fn a_memo_asks_once() {
        let mut memo = Memo::default();
        assert!(memo.check(b"a", |_| true));
        assert!(memo.check(b"a", |_| panic!("asked twice")));
    }
}
