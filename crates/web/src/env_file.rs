//! A file of variables, as docker's `.env`: `NAME=value` on each line. What stands in it comes before the environment.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Largest file that is read; that of docker-jitsi-meet has 20 kB.
const MAX_BYTES: u64 = 1024 * 1024;

/// The variables of a file.
#[derive(Clone, Debug, Default)]
pub struct EnvFile {
    path: PathBuf,
    variables: BTreeMap<String, Variable>,
}

#[derive(Clone, Debug)]
struct Variable {
    line: usize,
    value: String,
}

/// Why a file is none of variables.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvFileError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line that says nothing.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1 on.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl EnvFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or for the first line that is neither a comment nor `NAME=value`.
    pub fn read(path: &Path) -> Result<Self, EnvFileError> {
        let failed = |source| EnvFileError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        File::open(path).map_err(failed)?.take(MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, EnvFileError> {
        let mut variables = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let (line_text, line) = (line.trim(), number + 1);
            if line_text.is_empty() || line_text.starts_with('#') {
                continue;
            }
            let wrong = |problem| EnvFileError::Line { path: path.to_owned(), line, problem };
            let assignment = line_text.strip_prefix("export ").unwrap_or(line_text);
            let (name, value) = assignment.split_once('=').ok_or(wrong("is not of the form NAME=value"))?;
            let name = name.trim();
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.is_empty();
            if !is_name || name.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(wrong("has no name of a variable before ="));
            }
            let value = value_of(value.trim()).ok_or(wrong("has a quote that does not end in the line"))?;
            variables.insert(name.to_owned(), Variable { line, value });
        }
        Ok(Self { path: path.to_owned(), variables })
    }

    /// Where it is; empty for none.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says of a variable; an empty value is one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|variable| variable.value.as_str())
    }

    /// Where the file says it, as `FILE:LINE`.
    #[must_use]
    pub fn place_of(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|variable| format!("{}:{}", self.path.display(), variable.line))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }
}

/// A value without its quotes, or without the comment behind it; `None` for a quote without an end.
fn value_of(text: &str) -> Option<String> {
    let quoted = |quote: char| text.strip_prefix(quote);
    if let Some(rest) = quoted('\'') {
        return rest.split_once('\'').map(|(value, _)| value.to_owned());
    }
    let Some(rest) = quoted('"') else {
        let comment = text.find(" #").or_else(|| text.find("\t#"));
        let value = comment.and_then(|at| text.get(..at)).unwrap_or(text);
        return Some(if value.starts_with('#') { String::new() } else { value.trim_end().to_owned() });
    };
    let mut value = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return Some(value),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<EnvFile, String> {
        EnvFile::parse(Path::new("x.env"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_read_as_docker_reads_it() {
        let file = parse(
            "# comment\n\nENABLE_AUTH=1\nexport AUTH_TYPE = ldap # the directory\nLDAP_BASE=ou=people,dc=example,dc=sn\n\
             A='single # \"quoted\"'\nB=\"double \\\"quoted\\\" \\n\" # x\nEMPTY=\nHASH=a#b\nENABLE_AUTH=0\n",
        )
        .unwrap();
        for (name, expected) in [
            ("AUTH_TYPE", Some("ldap")),
            ("LDAP_BASE", Some("ou=people,dc=example,dc=sn")),
            ("A", Some("single # \"quoted\"")),
            ("B", Some("double \"quoted\" \n")),
            ("EMPTY", Some("")),
            ("HASH", Some("a#b")),
            ("ENABLE_AUTH", Some("0")),
            ("OTHER", None),
        ] {
            assert_eq!(file.get(name), expected, "{name}");
        }
        assert_eq!(file.place_of("AUTH_TYPE").as_deref(), Some("x.env:4"));
        assert_eq!(file.place_of("ENABLE_AUTH").as_deref(), Some("x.env:10"), "the last one counts");
    }

    #[test]
    fn a_line_that_says_nothing_is_named() {
        for (text, expected) in [
            ("A=1\nENABLE_AUTH\n", "x.env:2: is not"),
            ("=1", "x.env:1: has no name"),
            ("1A=1", "x.env:1: has no name"),
            ("A B=1", "x.env:1: has no name"),
            ("A='x", "x.env:1: has a quote"),
            ("A=\"x\\", "x.env:1: has a quote"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.starts_with(expected), "{text}: {said}");
        }
        assert!(matches!(EnvFile::read(Path::new("/nowhere")), Err(EnvFileError::Read { .. })));
    }
}
