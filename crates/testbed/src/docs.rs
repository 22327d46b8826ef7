//! Tables in `docs/` that are made from the program. A test compares each with what it should be; with `UPDATE_DOCS=1` it makes it so.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::shared;

/// Where a page is.
pub fn page(name: &str) -> PathBuf {
    shared::root().join("docs").join(name)
}

/// The text of a page.
pub fn read(name: &str) -> String {
    let path = page(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether the tables are to be made anew.
pub fn is_update() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

/// What stands between the two comments of that name in a text.
pub fn table<'a>(text: &'a str, name: &str) -> &'a str {
    let between = |text: &'a str| {
        let rest = text.split_once(&format!("<!-- {name}:begin -->\n"))?.1;
        Some(rest.split_once(&format!("<!-- {name}:end -->"))?.0)
    };
    between(text).unwrap_or_else(|| panic!("no <!-- {name}:begin --> and end"))
}

/// The cells of a table's rows, without its heading.
pub fn rows(table: &str) -> Vec<Vec<&str>> {
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").collect()).skip(1).collect()
}

/// Compares a table with what it should be, or makes it so. `package` is whose test this is.
pub fn check(package: &str, name: &str, of: &str, expected: &str) {
    let text = read(name);
    let found = table(&text, of);
    if found == expected {
        return;
    }
    if is_update() {
        let start = found.as_ptr() as usize - text.as_ptr() as usize;
        let whole = [&text[..start], expected, &text[start + found.len()..]].concat();
        std::fs::write(page(name), whole).unwrap();
        return;
    }
    let lines: BTreeSet<&str> = found.lines().collect();
    let wanted: BTreeSet<&str> = expected.lines().collect();
    let gone: Vec<_> = lines.difference(&wanted).map(|line| format!("- {line}")).collect();
    let new: Vec<_> = wanted.difference(&lines).map(|line| format!("+ {line}")).collect();
    panic!(
        "docs/{name} is not what the program says of its {of}:\n{}\n{}\n\
         Run UPDATE_DOCS=1 cargo test -p {package} --test docs, and look at the difference.",
        gone.join("\n"),
        new.join("\n")
    );
}

/// Text for a cell.
pub fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

/// A code span, in which only the column's border has to be escaped.
pub fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", text.replace('|', "\\|")) }
}
