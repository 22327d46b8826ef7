//! Scans kernel text by bytes: lines, fields and numbers, with no UTF-8 check and no allocation.
//!
//! Numbers are checked: one that does not fit its type, or that has anything else in it, is `None`, never a wrong value.
//! A table's last line counts only when a newline ends it ([`lines`]); a cut number is no number.

/// The complete lines of a table, without their newlines. What follows the last newline is dropped: it may be cut.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let complete = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
    bytes[..complete].split_inclusive(|&b| b == b'\n').map(|line| &line[..line.len() - 1])
}

/// All lines of a table, the last one with or without a newline: for the few files whose last line may lack it.
pub fn lines_loose(bytes: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    bytes.split_inclusive(|&b| b == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// The fields of a line, split at runs of ASCII white space.
pub fn fields(line: &[u8]) -> Fields<'_> {
    Fields { rest: line }
}

/// Iterator of [`fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The next field as an unsigned decimal number; `None` if it is missing or no such number.
    pub fn next_u64(&mut self) -> Option<u64> {
        self.next().and_then(unsigned)
    }

    /// What is left of the line, white space at both ends removed.
    pub fn rest(&self) -> &'a [u8] {
        self.rest.trim_ascii()
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|b| !b.is_ascii_whitespace())?;
        let rest = &self.rest[start..];
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        self.rest = &rest[end..];
        Some(&rest[..end])
    }
}

/// A decimal number: digits only, at least one, not beyond `u64`.
#[inline]
pub fn unsigned(field: &[u8]) -> Option<u64> {
    if field.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for &b in field {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// A decimal number with an optional sign, not beyond `i64`.
pub fn signed(field: &[u8]) -> Option<i64> {
    match field.split_first()? {
        (b'-', digits) => 0i64.checked_sub_unsigned(unsigned(digits)?),
        (b'+', digits) => unsigned(digits)?.try_into().ok(),
        _ => unsigned(field)?.try_into().ok(),
    }
}

/// A hexadecimal number, with or without `0x`, not beyond `u64`.
pub fn hex(field: &[u8]) -> Option<u64> {
    let digits = field.strip_prefix(b"0x").or_else(|| field.strip_prefix(b"0X")).unwrap_or(field);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for &b in digits {
        let digit = (b as char).to_digit(16)?;
        value = value.checked_mul(16)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// A decimal number with a sign, a fraction or an exponent: finite ones only.
pub fn float(field: &[u8]) -> Option<f64> {
    if !field.iter().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    std::str::from_utf8(field).ok()?.parse().ok().filter(|v: &f64| v.is_finite())
}

/// The one number of an attribute such as `mtu`, white space around it removed.
pub fn value(bytes: &[u8]) -> Option<u64> {
    unsigned(bytes.trim_ascii())
}

/// As [`value`], with an optional sign.
pub fn signed_value(bytes: &[u8]) -> Option<i64> {
    signed(bytes.trim_ascii())
}

/// Splits at the first `at`, which belongs to neither part.
pub fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let i = bytes.iter().position(|&b| b == at)?;
    Some((&bytes[..i], &bytes[i + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_whole_and_in_range_or_none() {
        assert_eq!(unsigned(b"18446744073709551615"), Some(u64::MAX));
        for bad in ["", "18446744073709551616", "-1", "+1", "1 ", "0x1", "1.5", "99999999999999999999999"] {
            assert_eq!(unsigned(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(signed(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(signed(b"9223372036854775808"), None);
        assert_eq!(signed(b"--1"), None);
        assert_eq!(
            (hex(b"0xff"), hex(b"00049279"), hex(b"xyz"), hex(b"0x")),
            (Some(255), Some(0x49279), None, None)
        );
        assert_eq!(hex(b"10000000000000000"), None);
        assert_eq!(
            (float(b"0.21"), float(b"-1e3"), float(b"inf"), float(b"1e999")),
            (Some(0.21), Some(-1e3), None, None)
        );
        assert_eq!((value(b" 1500\n"), signed_value(b"-1\n"), value(b"\n")), (Some(1500), Some(-1), None));
    }

    #[test]
    fn a_line_that_is_not_ended_does_not_count() {
        assert_eq!(lines(b"a\nb\nc").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(lines(b"abc").count(), 0);
        assert_eq!(lines(b"\n\n").collect::<Vec<_>>(), [b"", b""]);
        assert_eq!(lines_loose(b"a\nc").collect::<Vec<_>>(), [b"a", b"c"]);
        assert_eq!(lines_loose(b"a\n").collect::<Vec<_>>(), [b"a"]);
    }

    proptest! {
        #[test]
        fn fields_agree_with_the_standard_library(text in "[ \ta-z0-9\\x0b\\x0c]{0,40}") {
            let expected: Vec<&[u8]> = text.split_ascii_whitespace().map(str::as_bytes).collect();
            // ASCII white space does not hold the vertical tab, in both.
            prop_assert_eq!(fields(text.as_bytes()).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn unsigned_agrees_with_the_standard_library(n: u64) {
            prop_assert_eq!(unsigned(n.to_string().as_bytes()), Some(n));
        }
    }
}
