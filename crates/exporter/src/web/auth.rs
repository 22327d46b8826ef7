//! Passwords for everything that is served, from a file as Apache's `htpasswd` writes it:
//! <https://httpd.apache.org/docs/2.4/misc/password_encryptions.html>.
//!
//! Taken are bcrypt (`$2a$`, `$2b$`, `$2y$`), MD5 (`$apr1$`, `$1$`) and `{SHA}`; what is weaker still is refused at the start. The file is
//! read again when it changes; while it cannot be read, nobody is let in.
//!
//! A hash is slow on purpose, and is computed off the event loop, one at a time. The password that was last right is kept beside the
//! user's hash, so that a scraper pays once: there is one place per user, it is compared whole, and it goes when the file is read anew.
//! Whoever is wrong pays for the dearest hash in the file, so that the time does not tell which users there are, if all are as dear.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::alphabet::{self, Alphabet};
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use md5::{Digest, Md5};
use sha1::Sha1;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::{Page, text};

/// The most bytes of the file.
const FILE_BYTES: u64 = 1024 * 1024;
/// The most bytes of a password: hashing a longer one would cost by its length.
const PASSWORD_BYTES: usize = 1024;
/// The most that `htpasswd` makes; each step doubles the time, and this one takes seconds.
const MOST_COST: u32 = 17;
/// What bcrypt reads of a password and the zero at its end.
const BCRYPT_BYTES: usize = 72;

const STANDARD: GeneralPurpose = engine(&alphabet::STANDARD);
const BCRYPT: GeneralPurpose = engine(&alphabet::BCRYPT);

const fn engine(alphabet: &Alphabet) -> GeneralPurpose {
    // 22 digits hold 132 bits, of which a salt needs 128.
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(alphabet, config)
}

/// Lets those in who know a password.
pub struct Auth {
    path: PathBuf,
    challenge: HeaderValue,
    known: Mutex<Known>,
    /// One hash at a time, whoever asks.
    turn: Arc<Semaphore>,
}

/// What was last read.
struct Known {
    stamp: Option<Stamp>,
    /// `None` if it could not be read or understood.
    users: Option<Arc<Users>>,
}

/// Differs when the file does.
#[derive(PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

struct Users {
    by_name: HashMap<Vec<u8>, Arc<User>>,
    dearest: Hash,
}

struct User {
    hash: Hash,
    /// The last password that was right.
    proved: Mutex<Option<Vec<u8>>>,
}

#[derive(Clone, PartialEq, Eq)]
enum Hash {
    Bcrypt { cost: u32, salt: [u8; 16], digest: [u8; 23] },
    Md5 { magic: &'static [u8], salt: Vec<u8>, digest: [u8; 22] },
    Sha1([u8; 20]),
}

impl Auth {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with the file, with its line, or with the realm.
    pub fn open(path: &Path, realm: &str) -> Result<Self, String> {
        let quoted = realm.replace('\\', r"\\").replace('"', r#"\""#);
        let challenge = HeaderValue::from_bytes(format!("Basic realm=\"{quoted}\"").as_bytes())
            .map_err(|_| "the realm that goes with it has a control character".to_owned())?;
        let (stamp, users) = read(path)?;
        let known = Mutex::new(Known { stamp: Some(stamp), users: Some(Arc::new(users?)) });
        Ok(Auth { path: path.to_owned(), challenge, known, turn: Arc::new(Semaphore::new(1)) })
    }

    /// Whether the request comes from someone who knows a password; if not, what to answer.
    pub(super) async fn check(&self, headers: &HeaderMap) -> Result<(), Page> {
        let Some(users) = self.users() else {
            return Err(text(StatusCode::INTERNAL_SERVER_ERROR, "500 cannot read who may come in\n"));
        };
        if let Some((name, password)) = credentials(headers)
            && self.verify(&users, &name, password).await
        {
            return Ok(());
        }
        let mut page = text(StatusCode::UNAUTHORIZED, "401 Unauthorized\n");
        page.headers_mut().insert(header::WWW_AUTHENTICATE, self.challenge.clone());
        Err(page)
    }

    /// The users, read again if the file has changed.
    fn users(&self) -> Option<Arc<Users>> {
        let mut known = lock(&self.known);
        let stamp = std::fs::metadata(&self.path).as_ref().map(Stamp::of).ok();
        if stamp.is_some() && stamp == known.stamp {
            return known.users.clone();
        }
        let had = known.users.is_some();
        let (stamp, users) = match read(&self.path) {
            Ok((stamp, users)) => (Some(stamp), users),
            Err(why) => (None, Err(why)),
        };
        known.stamp = stamp;
        known.users = match users {
            Ok(users) => {
                crate::log!(Info, "read who may come in again", file = self.path.display());
                Some(Arc::new(users))
            }
            Err(why) => {
                if had {
                    let file = self.path.display();
                    crate::log!(
                        Error,
                        "cannot read who may come in: nobody is let in",
                        file = file,
                        err = why
                    );
                }
                None
            }
        };
        known.users.clone()
    }

    async fn verify(&self, users: &Arc<Users>, name: &[u8], password: Vec<u8>) -> bool {
        let user = users.by_name.get(name).cloned();
        let proved = |password: &[u8]| user.as_ref().is_some_and(|user| user.is_proved_by(password));
        if proved(&password) {
            return true;
        }
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else { return false };
        // Someone with the same password may have had the turn before.
        if proved(&password) {
            return true;
        }
        let users = Arc::clone(users);
        let work = move || {
            let _turn = turn;
            users.verify(user.as_deref(), password)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or(false)
    }
}

impl Users {
    fn verify(&self, user: Option<&User>, password: Vec<u8>) -> bool {
        if let Some(user) = user
            && user.hash.is_of(&password)
        {
            *lock(&user.proved) = Some(password);
            return true;
        }
        if user.is_none_or(|user| user.hash.cost() < self.dearest.cost()) {
            black_box(self.dearest.is_of(&password));
        }
        false
    }
}

impl User {
    fn is_proved_by(&self, password: &[u8]) -> bool {
        lock(&self.proved).as_ref().is_some_and(|proved| proved.ct_eq(password).into())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// User and password of a request; `None` if it has none, or some that can never be right.
fn credentials(headers: &HeaderMap) -> Option<(Vec<u8>, Vec<u8>)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut name = STANDARD.decode(encoded.trim()).ok()?;
    let colon = name.iter().position(|&b| b == b':')?;
    let password = name[colon + 1..].to_vec();
    name.truncate(colon);
    // bcrypt repeats the password with the zero at its end: one with a zero inside could stand for a shorter one.
    let possible = password.len() <= PASSWORD_BYTES && !password.contains(&0);
    possible.then_some((name, password))
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What the file says, and the stamp of what was read even if that makes no sense.
fn read(path: &Path) -> Result<(Stamp, Result<Users, String>), String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    // A pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err("is no file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let stamp = Stamp::of(&file.metadata().map_err(failed)?);
    let mut bytes = Vec::new();
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    let users = if bytes.len() as u64 > FILE_BYTES {
        Err(format!("is longer than {FILE_BYTES} bytes"))
    } else {
        parse(&bytes)
    };
    Ok((stamp, users))
}

fn parse(bytes: &[u8]) -> Result<Users, String> {
    let mut by_name = HashMap::new();
    let mut dearest: Option<Hash> = None;
    for (i, line) in bytes.split(|&b| b == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let wrong = |why: &str| format!("line {}: {why}", i + 1);
        // As Apache has it, a third field is of no interest.
        let mut fields = line.splitn(3, |&b| b == b':');
        let (Some(name), Some(hash)) = (fields.next().filter(|name| !name.is_empty()), fields.next()) else {
            return Err(wrong("must be user:hash, as htpasswd writes it"));
        };
        let hash = Hash::parse(hash).map_err(wrong)?;
        if dearest.as_ref().is_none_or(|dearest| dearest.cost() < hash.cost()) {
            dearest = Some(hash.clone());
        }
        let user = Arc::new(User { hash, proved: Mutex::new(None) });
        if by_name.insert(name.to_vec(), user).is_some() {
            return Err(wrong("this user has a line above"));
        }
    }
    let dearest = dearest.ok_or("has no user in it")?;
    Ok(Users { by_name, dearest })
}

impl Hash {
    fn parse(text: &[u8]) -> Result<Self, &'static str> {
        if let Some(rest) = [b"$2a$", b"$2b$", b"$2y$"].iter().find_map(|prefix| text.strip_prefix(*prefix)) {
            return Hash::bcrypt(rest);
        }
        for magic in [&b"$apr1$"[..], b"$1$"] {
            if let Some(rest) = text.strip_prefix(magic) {
                return Hash::md5(magic, rest).ok_or("the MD5 hash is malformed");
            }
        }
        if let Some(rest) = text.strip_prefix(b"{SHA}") {
            let digest = STANDARD.decode(rest).ok().and_then(|digest| digest.try_into().ok());
            return digest.map(Hash::Sha1).ok_or("the SHA hash is malformed");
        }
        Err(
            "plain passwords, crypt and other kinds of hashes are not supported: make this line anew with htpasswd -B",
        )
    }

    /// `10$`, 22 digits of salt, 31 digits of the hash.
    fn bcrypt(text: &[u8]) -> Result<Self, &'static str> {
        let malformed = "the bcrypt hash is malformed";
        let [tens @ b'0'..=b'9', ones @ b'0'..=b'9', b'$', rest @ ..] = text else { return Err(malformed) };
        let cost = u32::from(tens - b'0') * 10 + u32::from(ones - b'0');
        let decoded = |digits: &[u8]| BCRYPT.decode(digits).map_err(|_| malformed);
        if rest.len() != 53 || !(4..=31).contains(&cost) {
            return Err(malformed);
        }
        if cost > MOST_COST {
            return Err("the bcrypt hash costs more than any that htpasswd makes: make it anew with -C 12");
        }
        let salt = decoded(&rest[..22])?.try_into().map_err(|_| malformed)?;
        let digest = decoded(&rest[22..])?.try_into().map_err(|_| malformed)?;
        Ok(Hash::Bcrypt { cost, salt, digest })
    }

    /// A salt of up to 8 bytes, `$`, 22 digits.
    fn md5(magic: &'static [u8], text: &[u8]) -> Option<Self> {
        let end = text.iter().position(|&b| b == b'$').filter(|&end| end <= 8)?;
        let digest: [u8; 22] = text[end + 1..].try_into().ok()?;
        digest.iter().all(|b| MD5_DIGITS.contains(b)).then(|| Hash::Md5 {
            magic,
            salt: text[..end].to_vec(),
            digest,
        })
    }

    fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Hash::Bcrypt { cost, salt, digest } => {
                let mut key = password.to_vec();
                key.push(0);
                key.truncate(BCRYPT_BYTES);
                // The last of its 24 bytes has never been part of the text.
                bcrypt::bcrypt(*cost, *salt, &key)[..23].ct_eq(digest).into()
            }
            Hash::Md5 { magic, salt, digest } => md5_crypt(magic, salt, password).ct_eq(digest).into(),
            Hash::Sha1(digest) => Sha1::digest(password)[..].ct_eq(digest).into(),
        }
    }

    /// Grows with the time that a hash takes.
    fn cost(&self) -> u32 {
        match self {
            Hash::Sha1(_) => 0,
            Hash::Md5 { .. } => 1,
            Hash::Bcrypt { cost, .. } => *cost,
        }
    }
}

const MD5_DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Poul-Henning Kamp's MD5-based crypt, of which Apache's differs in the magic word alone.
fn md5_crypt(magic: &[u8], salt: &[u8], password: &[u8]) -> [u8; 22] {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut outer = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for i in (0..password.len()).step_by(inner.len()) {
        outer.update(&inner[..inner.len().min(password.len() - i)]);
    }
    let mut bits = password.len();
    while bits != 0 {
        // Its bits choose between a zero and the first byte: odd, but that is how it has been since 1994.
        outer.update(if bits & 1 == 1 { &[0] } else { &password[..1] });
        bits >>= 1;
    }
    let mut digest = outer.finalize();
    for round in 0..1000 {
        let mut next = Md5::new();
        let (first, last) = if round % 2 == 1 { (password, &digest[..]) } else { (&digest[..], password) };
        next.update(first);
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(last);
        digest = next.finalize();
    }
    let mut text = [0; 22];
    let groups = [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)];
    let groups =
        groups.map(|(a, b, c)| [digest[a], digest[b], digest[c]]).into_iter().chain([[0, 0, digest[11]]]);
    for (digits, [a, b, c]) in text.chunks_mut(4).zip(groups) {
        let mut bits = u32::from_be_bytes([0, a, b, c]);
        for digit in digits {
            *digit = MD5_DIGITS[(bits & 63) as usize];
            bits >>= 6;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with crypt(3) and openssl passwd.
    const SECRET: [(&str, &str); 4] = [
        ("b", "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"),
        ("m", "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"),
        ("o", "$1$xy$mkJt1Ht8AivD6sawHd.Cf1"),
        ("s", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),
    ];

    fn is_of(hash: &str, password: impl AsRef<[u8]>) -> bool {
        Hash::parse(hash.as_bytes()).ok().unwrap().is_of(password.as_ref())
    }

    #[test]
    fn hashes_of_other_programs() {
        let long = "a longer password of 40 bytes or so, yes";
        for (hash, password) in SECRET.map(|(_, hash)| (hash, "secret")).into_iter().chain([
            ("$2a$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq", ""),
            ("$2y$05$abcdefghijklmnopqrstuujf8SX2ahXLwp9w/B.Y5XdysS6yR576q", &*"x".repeat(80)),
            ("$2y$06$ABCDEFGHIJKLMNOPQRSTUOn25nGcajDE.UENup7SX8hI4deqjsAZC", "gr\u{fc}n"),
            ("$apr1$abcdefgh$L.PT565ESX4Tp2bqNs7Ie.", ""),
            ("$1$xy$JSgu5Zv4igzK2ULm5nTM30", ""),
            ("$apr1$abcdefgh$9gglnyR7rbRjPhMERinU91", long),
            ("$1$xy$rLREKR.iSL5ucvEGRCWC/.", long),
            ("{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", ""),
            ("{SHA}mm1+YEmfrljFdt0XXTABwowjiAA=", long),
        ]) {
            assert!(is_of(hash, password), "{hash} {password}");
            for wrong in [format!("{password}x"), "Secret".to_owned(), format!("x{password}")] {
                // bcrypt knows no more than the first 72 bytes.
                assert!(!is_of(hash, &wrong) || password.len() >= 72, "{hash} {wrong}");
            }
        }
    }

    #[test]
    fn what_is_malformed_is_told_with_its_line() {
        let error = |text: &str| parse(text.as_bytes()).err().unwrap_or_default();
        let good = "a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";
        let other = "plain passwords, crypt and other kinds of hashes are not supported: make this line anew with htpasswd -B";
        let bcrypt = "the bcrypt hash is malformed";
        for (line, why) in [
            ("word", "must be user:hash, as htpasswd writes it"),
            (":{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "must be user:hash, as htpasswd writes it"),
            ("u:", other),
            ("u:secret", other),
            ("u:abNANd1rDfiNc", other),
            ("u:$6$salt$hash", other),
            ("u:$2x$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", other),
            ("u:{SHA}5en6G6MezRroT3XKqkdPOmY", "the SHA hash is malformed"),
            ("u:{SHA}!", "the SHA hash is malformed"),
            ("u:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ", "the MD5 hash is malformed"),
            ("u:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5S!/", "the MD5 hash is malformed"),
            ("u:$apr1$abcdefghi$h9FWgUz3n9YxylKLlR5SQ/", "the MD5 hash is malformed"),
            ("u:$1$xy", "the MD5 hash is malformed"),
            ("u:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIr", bcrypt),
            ("u:$2b$4$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", bcrypt),
            ("u:$2b$03$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", bcrypt),
            ("u:$2b$32$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", bcrypt),
            ("u:$2b$04$abcdefghijklmnopqrstu+2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", bcrypt),
            (
                "u:$2b$18$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
                "the bcrypt hash costs more than any that htpasswd makes: make it anew with -C 12",
            ),
            (good, "this user has a line above"),
        ] {
            assert_eq!(
                error(&format!("# comment\n{good}\r\n\n {line} \n")),
                format!("line 4: {why}"),
                "{line}"
            );
        }
        assert_eq!(
            (error(""), error("# a\n\n")),
            ("has no user in it".to_owned(), "has no user in it".to_owned())
        );
        assert_eq!(error(&format!("{good}:a comment\n  b{}", &good[1..])), "");
        // Cut anywhere, it is an error; the equals sign at the end of base64 may be missing.
        for (_, hash) in SECRET {
            let line = format!("u:{hash}");
            assert!(
                (0..line.len()).all(|end| !error(&line[..end]).is_empty() || line[..end].ends_with("BfQ")),
                "{hash}"
            );
        }
    }

    fn header(user: &str, password: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        [(header::AUTHORIZATION, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn credentials_of_requests() {
        let of = |value: &[u8]| {
            let value = HeaderValue::from_bytes(value).unwrap();
            credentials(&[(header::AUTHORIZATION, value)].into_iter().collect())
        };
        let aladdin = Some((b"Aladdin".to_vec(), b"open sesame".to_vec()));
        assert_eq!(of(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        assert_eq!(of(b"bASIC   QWxhZGRpbjpvcGVuIHNlc2FtZQ"), aladdin);
        assert_eq!(of(b"Basic Og=="), Some((vec![], vec![])));
        for bad in
            [&b"Basic"[..], b"Basic ", b"Basic QQ==", b"Basic !", b"Bearer QWxhZGRpbjpvcGVu", b"\xff", b""]
        {
            assert_eq!(of(bad), None);
        }
        assert_eq!(credentials(&header("a", "b\0c")), None);
        assert_eq!(credentials(&header("a", &"x".repeat(PASSWORD_BYTES + 1))), None);
        assert!(credentials(&header("a", "b:c")).is_some_and(|(_, password)| password == b"b:c"));
        assert_eq!(credentials(&HeaderMap::new()), None);
    }

    /// 200 if let in.
    async fn ask(auth: &Auth, user: &str, password: &str) -> u16 {
        auth.check(&header(user, password)).await.map_or_else(|page| page.status().as_u16(), |()| 200)
    }

    fn written(lines: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("htpasswd");
        write(&path, lines);
        (dir, path)
    }

    fn write(path: &Path, lines: &[(&str, &str)]) {
        let text: String = lines.iter().map(|(user, hash)| format!("{user}:{hash}\n")).collect();
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, path).unwrap();
    }

    #[tokio::test]
    async fn who_knows_the_password_comes_in_again_and_again_and_nobody_else() {
        let (_dir, path) = written(&SECRET);
        let auth = Auth::open(&path, "the \"realm\"").unwrap();
        for _ in 0..3 {
            for (user, _) in SECRET {
                assert_eq!(ask(&auth, user, "secret").await, 200, "{user}");
                for wrong in ["", "Secret", "secret ", "secretsecret", "s"] {
                    assert_eq!(ask(&auth, user, wrong).await, 401, "{user} {wrong}");
                }
            }
            // What CVE-2022-46146 was: a wrong answer for one user that is right for another.
            for user in ["", "nobody", "bsecret", "B", "b "] {
                assert_eq!(ask(&auth, user, "secret").await, 401, "{user}");
                assert_eq!(ask(&auth, user, "").await, 401, "{user}");
            }
        }
        let refusal = auth.check(&HeaderMap::new()).await.unwrap_err();
        assert_eq!(refusal.headers()[header::WWW_AUTHENTICATE], r#"Basic realm="the \"realm\"""#);
        let users = auth.users().unwrap();
        assert!(users.by_name.values().all(|user| user.is_proved_by(b"secret") && !user.is_proved_by(b"")));
        assert_eq!(users.by_name.len(), 4);
    }

    #[tokio::test]
    async fn a_file_that_changes_counts_at_once() {
        let (_dir, path) = written(&SECRET);
        let auth = Auth::open(&path, "").unwrap();
        assert_eq!(ask(&auth, "s", "secret").await, 200);
        write(&path, &[("t", SECRET[3].1)]);
        assert_eq!((ask(&auth, "s", "secret").await, ask(&auth, "t", "secret").await), (401, 200));
        std::fs::write(&path, "t:nonsense\n").unwrap();
        assert_eq!((ask(&auth, "t", "secret").await, ask(&auth, "t", "secret").await), (500, 500));
        write(&path, &[("t", "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=")]);
        assert_eq!((ask(&auth, "t", "secret").await, ask(&auth, "t", "").await), (401, 200));
        std::fs::remove_file(&path).unwrap();
        assert_eq!((ask(&auth, "t", "").await, ask(&auth, "t", "").await), (500, 500));
        std::fs::create_dir(&path).unwrap();
        assert_eq!(ask(&auth, "t", "").await, 500);
        std::fs::remove_dir(&path).unwrap();
        write(&path, &SECRET);
        assert_eq!(ask(&auth, "b", "secret").await, 200);
    }

    #[test]
    fn what_cannot_be_read_at_the_start_is_told() {
        let (dir, path) = written(&SECRET);
        let error = |path: &Path| Auth::open(path, "").err().unwrap();
        assert_eq!(error(dir.path()), "is no file");
        assert_eq!(error(&dir.path().join("none")), "cannot be read: No such file or directory (os error 2)");
        std::fs::write(&path, vec![b'\n'; FILE_BYTES as usize + 1]).unwrap();
        assert_eq!(error(&path), "is longer than 1048576 bytes");
        assert!(Auth::open(&path, "a\nb").err().unwrap().contains("realm"));
    }

    proptest::proptest! {
        #[test]
        fn any_file_and_any_password_is_taken_or_refused(
            kind in proptest::sample::select(vec!["", "$2b$04$", "$apr1$", "$1$", "{SHA}"]),
            rest in "[a-zA-Z0-9./$=]{0,60}",
            noise in proptest::collection::vec(0u8.., 0..80),
            password in proptest::collection::vec(1u8.., 0..100),
        ) {
            let _ = parse(&noise);
            let line = [b"u:", kind.as_bytes(), rest.as_bytes(), b"\n", &noise].concat();
            if let Ok(users) = parse(&line) {
                proptest::prop_assert!(!users.dearest.is_of(&password));
            }
        }
    }

    #[test]
    fn the_dearest_hash_is_found_wherever_it_stands() {
        let mut lines = SECRET.map(|(user, hash)| format!("{user}:{hash}\n"));
        for _ in 0..lines.len() {
            lines.rotate_left(1);
            let users = parse(lines.concat().as_bytes()).ok().unwrap();
            assert_eq!(users.dearest.cost(), 4);
        }
    }
}
