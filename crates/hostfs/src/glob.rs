//! Shell patterns in paths, as Go's `filepath.Glob` has them: `*`, `?`, `[a-z]`, `[^a-z]` and `\` within one path element.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::dir::{Dir, Names};

/// The paths that match a pattern, in order of name, element by element; a path without any of the characters `*?[\` is itself.
///
/// Nothing is returned if nothing matches, if the pattern is malformed, or for directories that cannot be read.
pub fn glob(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    let mut tested = false;
    for component in pattern.components() {
        let Component::Normal(element) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        if !element.as_bytes().iter().any(|b| b"*?[\\".contains(b)) {
            found.iter_mut().for_each(|path| path.push(element));
            continue;
        }
        let Some(tokens) = tokens(element) else { return Vec::new() };
        let mut next = Vec::new();
        for path in &found {
            let dir = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            let mut names = Names::new();
            if Dir::open(dir).and_then(|dir| dir.names(&mut names)).is_ok() {
                next.extend(names.iter().filter(|name| matches(&tokens, name)).map(|name| path.join(name)));
            }
        }
        found = next;
        tested = true;
    }
    if tested {
        found.retain(|path| path.symlink_metadata().is_ok());
    }
    found
}

enum Token {
    Star,
    Any,
    Char(char),
    /// Ranges, ends included, and whether they are excluded.
    Class(Vec<(char, char)>, bool),
}

/// The parts of a pattern; `None` if it is malformed.
fn tokens(pattern: &OsStr) -> Option<Vec<Token>> {
    let pattern = pattern.to_string_lossy();
    let mut chars = pattern.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' => Token::Char(chars.next()?),
            '[' => {
                let excluded = chars.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                loop {
                    if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
                        break;
                    }
                    let mut end_of_range = || match chars.next()? {
                        '-' | ']' => None,
                        '\\' => chars.next(),
                        c => Some(c),
                    };
                    let low = end_of_range()?;
                    let high = if chars.next_if_eq(&'-').is_some() {
                        match chars.next()? {
                            '-' | ']' => return None,
                            '\\' => chars.next()?,
                            c => c,
                        }
                    } else {
                        low
                    };
                    ranges.push((low, high));
                }
                Token::Class(ranges, excluded)
            }
            c => Token::Char(c),
        });
    }
    Some(tokens)
}

/// Time is at most the product of both lengths: only the last star is ever tried again.
fn matches(tokens: &[Token], name: &OsStr) -> bool {
    let name: Vec<char> = name.to_string_lossy().chars().collect();
    let (mut token, mut at) = (0, 0);
    let mut star = None;
    while at < name.len() {
        let fits = match tokens.get(token) {
            Some(Token::Star) => {
                star = Some((token, at));
                token += 1;
                continue;
            }
            Some(Token::Any) => true,
            Some(Token::Char(c)) => *c == name[at],
            Some(Token::Class(ranges, excluded)) => {
                ranges.iter().any(|&(low, high)| (low..=high).contains(&name[at])) != *excluded
            }
            None => false,
        };
        if fits {
            (token, at) = (token + 1, at + 1);
        } else if let Some((star_token, star_at)) = star {
            star = Some((star_token, star_at + 1));
            (token, at) = (star_token + 1, star_at + 1);
        } else {
            return false;
        }
    }
    tokens[token..].iter().all(|token| matches!(token, Token::Star))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_go_s() {
        for (pattern, name, expected) in [
            ("*", "", Some(true)),
            ("*", ".hidden", Some(true)),
            ("a*b*c", "aXbYbZc", Some(true)),
            ("a*b*c", "aXbYbZ", Some(false)),
            ("*_extra", "a_extra", Some(true)),
            ("?", "\u{e9}", Some(true)),
            ("?", "", Some(false)),
            ("[a-c]x", "bx", Some(true)),
            ("[^a-c]x", "bx", Some(false)),
            ("[^a-c]x", "dx", Some(true)),
            ("[!a]", "!", Some(true)),
            ("[\\]a]", "]", Some(true)),
            ("[a\\-z]", "-", Some(true)),
            ("\\*", "*", Some(true)),
            ("\\*", "a", Some(false)),
            ("**", "abc", Some(true)),
            ("abc", "ab", Some(false)),
            ("[", "a", None),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[a-]", "-", None),
            ("[x-", "x", None),
            ("a\\", "a", None),
        ] {
            let found = tokens(OsStr::new(pattern)).map(|tokens| matches(&tokens, OsStr::new(name)));
            assert_eq!(found, expected, "{pattern} {name}");
        }
    }

    #[test]
    fn paths_in_order() {
        let tmp = tempfile::tempdir().unwrap();
        for dir in ["b/x", "a/x", "a/y", "c"] {
            std::fs::create_dir_all(tmp.path().join(dir)).unwrap();
        }
        let found = |pattern: &str| -> Vec<String> {
            let paths = glob(&tmp.path().join(pattern));
            paths.iter().map(|p| p.strip_prefix(tmp.path()).unwrap().display().to_string()).collect()
        };
        assert_eq!(found("*"), ["a", "b", "c"]);
        assert_eq!(found("*/x"), ["a/x", "b/x"]);
        assert_eq!(found("[ab]/*/"), ["a/x", "a/y", "b/x"]);
        assert_eq!(found("a/../c"), ["a/../c"]);
        assert_eq!(found("none"), ["none"]);
        assert!(found("none*").is_empty() && found("none/*").is_empty() && found("[").is_empty());
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = tokens(OsStr::new(&"*a".repeat(50))).unwrap();
        assert!(!matches(&pattern, OsStr::new(&"a".repeat(49))));
        assert!(!matches(&pattern, OsStr::new(&format!("{}b", "a".repeat(200)))));
    }
}
