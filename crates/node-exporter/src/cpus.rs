//! CPU numbers: the kernel's lists of them, and their order as label values.

use hostfs::scan;

/// A key that puts numbers into the order of their digits, which is that of label values: 0, 1, 10, 11, 2.
pub(crate) fn label_order(number: u32) -> (u64, u32) {
    const MOST_DIGITS: u32 = 10;
    let digits = number.checked_ilog10().unwrap_or(0) + 1;
    (u64::from(number) * 10u64.pow(MOST_DIGITS - digits), digits)
}

/// The number in `cpu12`; `None` for anything else.
pub(crate) fn number(name: &[u8]) -> Option<u32> {
    scan::unsigned(name.strip_prefix(b"cpu")?)?.try_into().ok()
}

/// The number in `CPU12`, the form of table headings.
pub(crate) fn heading(name: &[u8]) -> Option<u32> {
    scan::unsigned(name.strip_prefix(b"CPU")?)?.try_into().ok()
}

/// Whether a list such as `0-3,8` holds a number; `None` if it is no list. An empty one holds none.
pub(crate) fn list_holds(list: &[u8], number: u32) -> Option<bool> {
    let mut holds = false;
    for (first, last) in ranges(list) {
        holds |= (first?..=last?).contains(&number);
    }
    Some(holds)
}

/// The first and last numbers of the ranges of a list; `None` in the place of what is no number.
pub(crate) fn ranges(list: &[u8]) -> impl Iterator<Item = (Option<u32>, Option<u32>)> {
    let number = |digits| scan::unsigned(digits).and_then(|n| u32::try_from(n).ok());
    list.trim_ascii().split(|&b| b == b',').filter(|part| !part.is_empty()).map(move |part| {
        let (first, last) = scan::split_once(part, b'-').unwrap_or((part, part));
        (number(first), number(last))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_the_order_of_their_digits() {
        let mut numbers: Vec<u32> = (0..1200).chain([u32::MAX, u32::MAX / 10, 1_000_000_000]).collect();
        let mut texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        numbers.sort_by_key(|&n| label_order(n));
        texts.sort();
        assert_eq!(numbers.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
    }

    #[test]
    fn lists_and_names() {
        for (n, holds) in [(0, true), (3, true), (4, false), (8, true), (9, false)] {
            assert_eq!(list_holds(b"0-3,8\n", n), Some(holds), "{n}");
        }
        assert_eq!(list_holds(b"\n", 0), Some(false));
        for bad in ["x", "1-", "-1", "1-2-3", "99999999999"] {
            assert_eq!(list_holds(bad.as_bytes(), 1), None, "{bad}");
        }
        assert_eq!((number(b"cpu12"), number(b"cpufreq"), number(b"cpu")), (Some(12), None, None));
        assert_eq!((heading(b"CPU3"), heading(b"cpu3")), (Some(3), None));
    }
}
