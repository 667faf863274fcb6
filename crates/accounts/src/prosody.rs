//! Accounts as Prosody's internal storage keeps them: `HOST/accounts/USER.dat` below its data directory, names percent-encoded,
//! each file a Lua table of strings, numbers and booleans (`util.serialization`). The tables are read as data: nothing is run.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rand::Rng;
use xmpp::Jid;
use xmpp::sasl::ScramHash;

use crate::{Credentials, ScramKeys};

/// Largest file that is read; Prosody's have 300 bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// Entries of one table; Prosody's have six.
const MAX_FIELDS: usize = 64;
/// Files that one import reads.
const MAX_FILES: usize = 100_000;
/// Rounds where a file does not say: Prosody's first default.
const DEFAULT_ITERATIONS: u32 = 4096;

/// Why a file gives no account.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no table, or one with something else than strings, numbers and booleans.
    #[error("byte {at}: {what}")]
    Syntax {
        /// Where.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// It has neither a password nor keys.
    #[error("has neither a password nor keys of SCRAM-SHA-1")]
    NoCredentials,
    /// Its name is that of no account.
    #[error("its name is that of no account")]
    Name,
}

/// Accounts of a data directory, and the files that gave none, with the reason.
#[derive(Debug, Default)]
pub struct Import {
    /// What was read.
    pub accounts: Vec<(Jid, Credentials)>,
    /// What was not.
    pub failures: Vec<(PathBuf, Error)>,
}

/// Reads the accounts of Prosody's data directory, of a host's directory in it, of an `accounts` directory, or of one file.
/// `domain` is that of the accounts where the path does not say.
///
/// # Errors
/// When the path itself cannot be read.
pub fn import(path: &Path, domain: Option<&str>, rng: &mut impl Rng) -> Result<Import, Error> {
    let mut import = Import::default();
    if path.is_file() {
        read_file(path, domain, rng, &mut import);
        return Ok(import);
    }
    let mut files = Vec::new();
    for entry in entries(path)? {
        if is_account(&entry) {
            files.push(entry);
        } else if entry.is_dir() && entry.file_name().is_some_and(|name| name == "accounts") {
            files.extend(entries(&entry)?.into_iter().filter(|file| is_account(file)));
        } else if entry.join("accounts").is_dir() {
            files.extend(entries(&entry.join("accounts"))?.into_iter().filter(|file| is_account(file)));
        }
    }
    files.sort();
    for file in files.iter().take(MAX_FILES) {
        read_file(file, domain, rng, &mut import);
    }
    Ok(import)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Io { path: dir.to_owned(), source };
    let entries = fs::read_dir(dir).map_err(failed)?.take(MAX_FILES);
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

fn is_account(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "dat") && path.is_file()
}

fn read_file(path: &Path, domain: Option<&str>, rng: &mut impl Rng, import: &mut Import) {
    let read = || -> Result<(Jid, Table), Error> {
        let failed = |source| Error::Io { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        fs::File::open(path).map_err(failed)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        Ok((jid_of(path, domain).ok_or(Error::Name)?, Table::parse(&bytes)?))
    };
    match read().and_then(|(jid, table)| Ok((jid, table.credentials(rng)?))) {
        Ok(account) => import.accounts.push(account),
        Err(error) => import.failures.push((path.to_owned(), error)),
    }
}

/// The account of `…/HOST/accounts/USER.dat`.
fn jid_of(path: &Path, domain: Option<&str>) -> Option<Jid> {
    let user = decoded(path.file_stem()?.to_str()?)?;
    let parent = path.parent().filter(|parent| parent.file_name().is_some_and(|name| name == "accounts"));
    let host = parent.and_then(Path::parent).and_then(Path::file_name).and_then(|name| decoded(name.to_str()?));
    Jid::new(Some(&user), domain.or(host.as_deref())?, None).ok()
}

/// Undoes `util.datamanager`'s encoding: two hexadecimal digits behind a percent sign.
fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (hex, after) = after.split_first_chunk::<2>()?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A Lua table of plain values.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    fields: Vec<(Vec<u8>, Value)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Value {
    Text(Vec<u8>),
    Integer(u64),
    /// Something that says nothing about credentials.
    Other,
}

impl Table {
    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader { bytes, at: 0 };
        reader.word("return")?;
        reader.symbol(b'{')?;
        let mut table = Self::default();
        loop {
            reader.space();
            if reader.eat(b'}') {
                break;
            }
            if table.fields.len() >= MAX_FIELDS {
                return Err(reader.wrong("more fields than an account has"));
            }
            let name = reader.name()?;
            reader.symbol(b'=')?;
            let value = reader.value()?;
            table.fields.push((name, value));
            reader.space();
            if !(reader.eat(b';') || reader.eat(b',')) {
                reader.symbol(b'}')?;
                break;
            }
        }
        reader.eat(b';');
        reader.space();
        if reader.at < bytes.len() { Err(reader.wrong("something behind the table")) } else { Ok(table) }
    }

    fn text(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find_map(|(key, value)| match value {
            Value::Text(text) if key == name.as_bytes() => Some(text.as_slice()),
            Value::Text(_) | Value::Integer(_) | Value::Other => None,
        })
    }

    fn integer(&self, name: &str) -> Option<u64> {
        self.fields.iter().find_map(|(key, value)| match value {
            Value::Integer(number) if key == name.as_bytes() => Some(*number),
            Value::Text(_) | Value::Integer(_) | Value::Other => None,
        })
    }

    /// Keys are taken as they are (`internal_hashed`); a password is hashed (`internal_plain`).
    fn credentials(&self, rng: &mut impl Rng) -> Result<Credentials, Error> {
        if let (Some(stored), Some(server), Some(salt)) =
            (self.text("stored_key"), self.text("server_key"), self.text("salt"))
        {
            let rounds = self.integer("iteration_count").unwrap_or(DEFAULT_ITERATIONS.into());
            let rounds = u32::try_from(rounds).map_err(|_| Error::NoCredentials)?;
            let keys = unhex(stored).zip(unhex(server)).and_then(|(stored, server)| {
                // The length tells the hash: `internal_hashed` has SHA-1 unless it was told otherwise.
                let hash = if stored.len() == 32 { ScramHash::Sha256 } else { ScramHash::Sha1 };
                ScramKeys::of_parts(hash, salt.to_vec(), rounds, stored, server)
            });
            let keys = keys.ok_or(Error::NoCredentials)?;
            let (sha1, sha256) = match keys.hash {
                ScramHash::Sha1 => (Some(keys), None),
                ScramHash::Sha256 => (None, Some(keys)),
            };
            return Credentials::of_keys(sha1, sha256).ok_or(Error::NoCredentials);
        }
        let password = self.text("password").and_then(|text| std::str::from_utf8(text).ok());
        let password = password.filter(|password| !password.is_empty()).ok_or(Error::NoCredentials)?;
        Ok(Credentials::of_password(password, rng))
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let pairs = text.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, what: &'static str) -> Error {
        Error::Syntax { at: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// Blanks, and comments to the end of the line.
    fn space(&mut self) {
        loop {
            match self.peek() {
                Some(byte) if byte.is_ascii_whitespace() => self.at += 1,
                Some(b'-') if self.bytes.get(self.at + 1) == Some(&b'-') => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                Some(_) | None => return,
            }
        }
    }

    fn symbol(&mut self, byte: u8) -> Result<(), Error> {
        self.space();
        if self.eat(byte) { Ok(()) } else { Err(self.wrong("no table of plain values")) }
    }

    fn word(&mut self, word: &str) -> Result<(), Error> {
        self.space();
        if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.wrong("no table of plain values"))
    }

    fn name(&mut self) -> Result<Vec<u8>, Error> {
        self.space();
        if self.eat(b'[') {
            self.space();
            let name = self.string()?;
            self.symbol(b']')?;
            return Ok(name);
        }
        let name = self.letters();
        if name.is_empty() { Err(self.wrong("no name of a field")) } else { Ok(name) }
    }

    fn letters(&mut self) -> Vec<u8> {
        let mut word = Vec::new();
        while let Some(byte) =
            self.peek().filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'-'))
        {
            word.push(byte);
            self.at += 1;
        }
        word
    }

    fn value(&mut self) -> Result<Value, Error> {
        self.space();
        if matches!(self.peek(), Some(b'"' | b'\'')) {
            return Ok(Value::Text(self.string()?));
        }
        let word = self.letters();
        if word.is_empty() {
            return Err(self.wrong("a value that is no string, number or boolean"));
        }
        Ok(std::str::from_utf8(&word).ok().and_then(|word| word.parse().ok()).map_or(Value::Other, Value::Integer))
    }

    /// A string in quotes, with the escapes of Lua 5.4 §3.1 except for those of Unicode, which Prosody does not write.
    fn string(&mut self) -> Result<Vec<u8>, Error> {
        let quote = self.next().filter(|byte| matches!(byte, b'"' | b'\'')).ok_or_else(|| self.wrong("no string"))?;
        let mut text = Vec::new();
        loop {
            let byte = self.next().ok_or_else(|| self.wrong("a string without an end"))?;
            match byte {
                byte if byte == quote => return Ok(text),
                b'\\' => text.push(self.escape()?),
                b'\n' => return Err(self.wrong("a string over several lines")),
                byte => text.push(byte),
            }
        }
    }

    fn escape(&mut self) -> Result<u8, Error> {
        let unknown = |this: &Self| this.wrong("an escape that is not known");
        Ok(match self.next().ok_or_else(|| unknown(self))? {
            b'n' | b'\n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'a' => 7,
            b'b' => 8,
            b'v' => 11,
            b'f' => 12,
            byte @ (b'\\' | b'"' | b'\'') => byte,
            b'x' => {
                let hex = self.bytes.get(self.at..self.at + 2).and_then(|hex| std::str::from_utf8(hex).ok());
                let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).ok_or_else(|| unknown(self))?;
                self.at += 2;
                byte
            }
            digit if digit.is_ascii_digit() => {
                let mut number = u32::from(digit - b'0');
                for _ in 0..2 {
                    let Some(digit) = self.peek().filter(u8::is_ascii_digit) else { break };
                    number = number * 10 + u32::from(digit - b'0');
                    self.at += 1;
                }
                u8::try_from(number).map_err(|_| unknown(self))?
            }
            _ => return Err(unknown(self)),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn rng() -> StdRng {
        StdRng::from_seed([5; 32])
    }

    fn credentials(text: &str) -> Result<Credentials, Error> {
        Table::parse(text.as_bytes())?.credentials(&mut rng())
    }

    #[test]
    fn s1_20_a_plain_store_is_hashed() {
        let credentials = credentials("return {\n\t[\"password\"] = \"p\\\"w\\195\\169\";\n};\n").unwrap();
        assert!(credentials.fits("p\"w\u{e9}"));
        assert!(credentials.keys(ScramHash::Sha256).is_some() && credentials.keys(ScramHash::Sha1).is_some());
    }

    #[test]
    fn s1_31_a_hashed_store_keeps_its_keys() {
        let salt = "c4a8e1d2-0b6f-4b52-9f3e-6a1b2c3d4e5f";
        let keys = ScramKeys::of_password(ScramHash::Sha1, "pencil", salt.into(), 10_000.try_into().unwrap());
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let text = format!(
            "return {{\n\t[\"iteration_count\"] = 10000;\n\t[\"created\"] = 1700000000.5;\n\t[\"stored_key\"] = \"{}\";\n\t\
             [\"server_key\"] = \"{}\";\n\t[\"salt\"] = \"{salt}\";\n\t[\"disabled\"] = false;\n}};\n",
            hex(&keys.stored_key),
            hex(&keys.server_key)
        );
        let credentials = credentials(&text).unwrap();
        assert_eq!(credentials.keys(ScramHash::Sha1), Some(&keys));
        assert!(credentials.fits("pencil"));
    }

    #[test]
    fn what_is_no_account_is_refused() {
        for text in [
            "",
            "return",
            "return {",
            "return { os.execute('rm') }",
            "return { [\"password\"] = os.getenv(\"HOME\") }",
            "return { [\"password\"] = \"a\" .. \"b\" }",
            "return { [\"password\"] = {} }",
            "return { [\"password\"] = \"\\999\" }",
            "return { [\"password\"] = \"a",
            "return { [\"password\"] = \"\" }",
            "return { [\"stored_key\"] = \"zz\", [\"server_key\"] = \"00\", [\"salt\"] = \"x\" }",
            "return { } os.exit()",
            "return function() end",
        ] {
            assert!(credentials(text).is_err(), "{text}");
        }
        let many = (0..100).map(|n| format!("f{n} = 1;")).collect::<String>();
        assert!(credentials(&format!("return {{ {many} }}")).is_err());
    }

    #[test]
    fn a_data_directory_names_hosts_and_users() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = dir.path().join("meet%2eexample/accounts");
        fs::create_dir_all(&accounts).unwrap();
        fs::create_dir_all(dir.path().join("meet%2eexample/roster")).unwrap();
        fs::write(accounts.join("ndeye%2ediop.dat"), "return { [\"password\"] = \"x\" };").unwrap();
        fs::write(accounts.join("broken.dat"), "return 1").unwrap();
        fs::write(accounts.join("notes.txt"), "").unwrap();
        for (path, domain) in
            [(dir.path(), None), (&dir.path().join("meet%2eexample"), None), (accounts.as_path(), Some("meet.example"))]
        {
            let import = import(path, domain, &mut rng()).unwrap();
            let names: Vec<&str> = import.accounts.iter().map(|(jid, _)| jid.as_str()).collect();
            assert_eq!(names, ["ndeye.diop@meet.example"], "{}", path.display());
            assert_eq!(import.failures.len(), 1);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "return \\{[\\[\\]a-z\"'=;\\\\0-9 ,]{0,80}\\}") {
            let _ = Table::parse(&bytes);
            let _ = Table::parse(text.as_bytes());
        }
    }
}
