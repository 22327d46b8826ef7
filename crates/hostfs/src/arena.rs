//! Byte strings of one scrape in one allocation, which the next scrape takes over.

use std::ops::Index;

/// Holds byte strings until it is cleared; [`push`](Self::push) gives a handle that is as small as a number and may be copied.
#[derive(Debug, Default)]
pub struct Arena {
    bytes: Vec<u8>,
}

/// A byte string in an [`Arena`]. The default is the empty string of any arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Whether the string is empty.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

impl Arena {
    /// An empty arena; nothing is allocated before the first push.
    pub const fn new() -> Self {
        Arena { bytes: Vec::new() }
    }

    /// Forgets the strings and keeps the memory. Handles from before are void.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Keeps a copy of `bytes`.
    pub fn push(&mut self, bytes: &[u8]) -> Span {
        let start = self.position();
        self.bytes.extend_from_slice(bytes);
        Span { start, end: self.position() }
    }

    /// Keeps a copy of the bytes that an iterator gives.
    pub fn push_all(&mut self, bytes: impl IntoIterator<Item = u8>) -> Span {
        let start = self.position();
        self.bytes.extend(bytes);
        Span { start, end: self.position() }
    }

    fn position(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("files are capped at megabytes")
    }
}

impl Index<Span> for Arena {
    type Output = [u8];

    fn index(&self, span: Span) -> &[u8] {
        &self.bytes[span.start as usize..span.end as usize]
    }
}
