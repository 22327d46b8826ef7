//! The mount table: `/proc/<pid>/mountinfo`, see proc_pid_mountinfo(5).
//!
//! Fields are separated by single spaces, so a field may be empty (`mount -t tmpfs "" /mnt`). After the mount options come any
//! number of optional fields, then a lone `-`, then type, source and the superblock's options. The kernel writes space, tab,
//! newline, backslash and `#` inside a name as a backslash and three octal digits; [`unescape`] takes that back. Names are bytes.
//!
//! [`parse`] borrows from what was read and allocates nothing.

use std::path::{Path, PathBuf};

use crate::arena::{Arena, Span};
use crate::error::Result;
use crate::file::{Buf, Root, read_with_cap};
use crate::{Errno, scan};

/// The longest table that is read, in bytes: some 80,000 mounts, or fewer overlays with long options.
const CAP: usize = 16 << 20;

/// The mount table of process 1, which is that of the host, or our own where that one is hidden (hidepid).
///
/// No descriptor is kept: it would pin a mount namespace.
#[derive(Debug)]
pub struct Table {
    first: PathBuf,
    own: PathBuf,
}

impl Table {
    /// The table below a procfs.
    pub fn new(proc: &Root) -> Self {
        Table { first: proc.join("1/mountinfo"), own: proc.join("self/mountinfo") }
    }

    /// Where the table is looked for first.
    pub fn path(&self) -> &Path {
        &self.first
    }

    /// The table as it is now, for [`parse`].
    ///
    /// # Errors
    /// Neither table can be read.
    pub fn read<'b>(&self, buf: &'b mut Buf) -> Result<&'b [u8]> {
        match read_with_cap(&self.first, CAP, buf) {
            Ok(_) => Ok(buf.bytes()),
            Err(error) if error.is_gone() || matches!(error.errno(), Some(Errno::ACCESS | Errno::PERM)) => {
                read_with_cap(&self.own, CAP, buf)
            }
            Err(error) => Err(error),
        }
    }
}

/// One line of the table. Texts are as the kernel wrote them, escapes included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mount<'a> {
    /// The mount's number; it may be given out again after an unmount.
    pub id: u64,
    /// The number of the mount below which this one hangs.
    pub parent: u64,
    /// The major number of the filesystem's device.
    pub major: u64,
    /// The minor number of the filesystem's device.
    pub minor: u64,
    /// The directory of the filesystem that is mounted.
    pub root: &'a [u8],
    /// Where it is mounted.
    pub point: &'a [u8],
    /// The options of this mount.
    pub options: &'a [u8],
    /// The filesystem's type, with a subtype after a dot.
    pub fstype: &'a [u8],
    /// What is mounted: a device, a share, or a word that the user chose.
    pub source: &'a [u8],
    /// The options of the filesystem, common to all its mounts.
    pub super_options: &'a [u8],
}

impl Mount<'_> {
    /// Whether writes are refused: by this mount, by its filesystem, or because the filesystem was shut off after an error.
    pub fn is_readonly(&self) -> bool {
        let has = |options: &[u8], option: &[u8]| options.split(|&b| b == b',').any(|o| o == option);
        has(self.options, b"ro") || has(self.super_options, b"ro") || has(self.super_options, b"emergency_ro")
    }
}

/// The mounts of a table, in its order; `None` stands for a line that is not of the form described above.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = Option<Mount<'_>>> + Clone {
    scan::lines(bytes).map(line)
}

fn line(line: &[u8]) -> Option<Mount<'_>> {
    let mut fields = line.split(|&b| b == b' ');
    let id = scan::unsigned(fields.next()?)?;
    let parent = scan::unsigned(fields.next()?)?;
    let (major, minor) = scan::split_once(fields.next()?, b':')?;
    let (major, minor) = (scan::unsigned(major)?, scan::unsigned(minor)?);
    let (root, point, options) = (fields.next()?, fields.next()?, fields.next()?);
    fields.find(|&field| field == b"-")?;
    let (fstype, source, super_options) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Mount { id, parent, major, minor, root, point, options, fstype, source, super_options })
}

/// The directory that stands for `/`: where the mount points are, as seen from here.
#[derive(Debug)]
pub struct RootFs {
    /// Without slashes at its end.
    path: Vec<u8>,
}

impl RootFs {
    /// Takes the root's path; whether it exists shows later.
    pub fn new(root: &Root) -> Self {
        let mut path = root.path().as_os_str().as_encoded_bytes().to_vec();
        while path.ends_with(b"/") {
            path.pop();
        }
        RootFs { path }
    }

    /// The mount point without the root, if it is there or below; this is how it is told.
    pub fn below<'a>(&self, point: &'a [u8]) -> &'a [u8] {
        match point.strip_prefix(&self.path[..]) {
            Some(b"") => b"/",
            Some(rest @ [b'/', ..]) => rest,
            _ => point,
        }
    }

    /// The path of a mount point without the root, with a NUL at its end.
    pub fn path(&self, below: &[u8], texts: &mut Arena) -> Span {
        texts.push_all(self.path.iter().chain(below).chain(b"\0").copied())
    }
}

/// Whether a server or a daemon has to answer for the filesystem, by its type or by the form of its source.
pub fn is_remote(fstype: &[u8], source: &[u8]) -> bool {
    const TYPES: [&[u8]; 14] = [
        b"fuse",
        b"nfs",
        b"cifs",
        b"smb",
        b"9p",
        b"ceph",
        b"afs",
        b"autofs",
        b"lustre",
        b"gpfs",
        b"beegfs",
        b"virtiofs",
        b"coda",
        b"orangefs",
    ];
    TYPES.iter().any(|prefix| fstype.starts_with(prefix) && fstype != b"fusectl")
        || source.starts_with(b"//")
        || source.windows(2).any(|pair| pair == b":/")
}

/// The bytes of a name, escapes taken back; a backslash before anything but three octal digits stands for itself.
pub fn unescape(name: &[u8]) -> Unescape<'_> {
    Unescape { rest: name }
}

/// Keeps a name with its escapes taken back.
pub fn unescape_into(name: &[u8], arena: &mut Arena) -> Span {
    if name.contains(&b'\\') { arena.push_all(unescape(name)) } else { arena.push(name) }
}

/// Iterator of [`unescape`].
#[derive(Debug, Clone)]
pub struct Unescape<'a> {
    rest: &'a [u8],
}

impl Iterator for Unescape<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if let [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] = self.rest {
            self.rest = rest;
            return Some(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
        }
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(line: &str) -> Mount<'_> {
        let mut mounts = parse(line.as_bytes());
        let mount = mounts.next().unwrap().unwrap();
        assert!(mounts.next().is_none());
        mount
    }

    #[test]
    fn a_line_with_any_number_of_optional_fields() {
        for optional in ["", "shared:1 ", "shared:1 master:2 ", "master:7 propagate_from:2 unbindable new:9 "]
        {
            let line =
                format!("36 35 98:0 /mnt1 /mnt2 rw,noatime {optional}- ext3 /dev/root rw,errors=continue\n");
            assert_eq!(
                one(&line),
                Mount {
                    id: 36,
                    parent: 35,
                    major: 98,
                    minor: 0,
                    root: b"/mnt1",
                    point: b"/mnt2",
                    options: b"rw,noatime",
                    fstype: b"ext3",
                    source: b"/dev/root",
                    super_options: b"rw,errors=continue",
                },
                "{optional}"
            );
        }
    }

    #[test]
    fn our_own_table_stands_in_for_a_hidden_one() {
        let dir = tempfile::tempdir().unwrap();
        let (table, mut buf) = (Table::new(&Root::new(dir.path())), Buf::new());
        assert!(table.read(&mut buf).unwrap_err().is_gone());
        std::fs::create_dir(dir.path().join("self")).unwrap();
        std::fs::write(dir.path().join("self/mountinfo"), "own\n").unwrap();
        assert_eq!(table.read(&mut buf).unwrap(), b"own\n");
        std::fs::create_dir(dir.path().join("1")).unwrap();
        std::fs::write(dir.path().join("1/mountinfo"), "first\n").unwrap();
        assert_eq!(table.read(&mut buf).unwrap(), b"first\n");
    }

    #[test]
    fn an_empty_source_and_a_later_column_do_no_harm() {
        let mount = one("1 2 0:5 / /a rw - tmpfs  rw,x new column\n");
        assert_eq!((mount.source, mount.super_options), (&b""[..], &b"rw,x"[..]));
        assert_eq!(one("1 2 0:5 / /- rw - fuse.- - rw\n").source, b"-");
    }

    #[test]
    fn what_is_no_mount_is_told() {
        for bad in [
            "\n",
            "1\n",
            "1 2 0:5 / /a rw tmpfs tmpfs rw\n",
            "1 2 0:5 / /a rw - tmpfs tmpfs\n",
            "1 2 05 / /a rw - tmpfs tmpfs rw\n",
            "x 2 0:5 / /a rw - tmpfs tmpfs rw\n",
            "1 2 0:-5 / /a rw - tmpfs tmpfs rw\n",
        ] {
            assert_eq!(parse(bad.as_bytes()).collect::<Vec<_>>(), [None], "{bad:?}");
        }
        assert_eq!(parse(b"1 2 0:5 / /a rw - tmpfs tmpfs rw").count(), 0, "a cut line");
    }

    #[test]
    fn read_only_is_a_whole_option() {
        let readonly = |options: &str, super_options: &str| {
            one(&format!("1 2 8:1 / / {options} - ext4 /dev/sda1 {super_options}\n")).is_readonly()
        };
        assert!(readonly("ro,relatime", "rw") && readonly("relatime,ro", "rw") && readonly("rw", "ro"));
        assert!(readonly("rw", "rw,emergency_ro") && !readonly("rw,emergency_ro", "rw"));
        assert!(!readonly("rw,relatime", "rw,errors=remount-ro,nouuid_ro,ro=1"));
    }

    #[test]
    fn every_escape_of_the_kernel_is_taken_back() {
        let mut arena = Arena::new();
        for (name, bytes) in [
            (&b"/a\\040b\\011c\\012d\\134e\\043f"[..], &b"/a b\tc\nd\\e#f"[..]),
            (b"/cass\xe9\\040\xff", b"/cass\xe9 \xff"),
            (b"\\134040", b"\\040"),
            (b"\\377\\400\\18", b"\xff\\400\\18"),
            (b"/end\\04", b"/end\\04"),
            (b"", b""),
        ] {
            let span = unescape_into(name, &mut arena);
            assert_eq!(&arena[span], bytes, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn names_survive_the_kernels_escaping(name: Vec<u8>) {
            let mut escaped = Vec::new();
            for &b in &name {
                if matches!(b, b' ' | b'\t' | b'\n' | b'\\' | b'#') {
                    escaped.extend_from_slice(format!("\\{b:03o}").as_bytes());
                } else {
                    escaped.push(b);
                }
            }
            prop_assert_eq!(unescape(&escaped).collect::<Vec<_>>(), name);
        }

        #[test]
        fn any_bytes_are_parsed_without_panic(bytes: Vec<u8>) {
            parse(&bytes).for_each(drop);
        }
    }
}
