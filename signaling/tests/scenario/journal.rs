//! What the server logs while a script runs, at every level: what the journal says, and whether a secret stands anywhere.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::LevelFilter;

/// Everything that was logged by this thread.
#[derive(Debug)]
pub(super) struct Journal {
    log: Log,
    /// How much of it was looked at.
    read: usize,
    _guard: DefaultGuard,
}

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Journal {
    pub(super) fn start() -> Self {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        Self { log, read: 0, _guard: tracing::subscriber::set_default(subscriber) }
    }

    fn text(&self) -> String {
        String::from_utf8(self.log.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
    }

    /// The entries of the journal that were not looked at yet, up to the one that is expected.
    pub(super) fn has(&mut self, expected: &str) -> Result<(), String> {
        let text = self.text();
        let unread = text.get(self.read..).unwrap_or_default();
        let mut entries = String::new();
        let mut end = self.read;
        for line in unread.split_inclusive('\n') {
            end += line.len();
            let Some((_, entry)) = line.trim_end().split_once(" audit: ") else { continue };
            if entry == expected {
                self.read = end;
                return Ok(());
            }
            entries.push_str(&format!("\n{entry}"));
        }
        Err(format!("the journal does not say {expected}, but{entries}"))
    }

    /// No line of any level has a secret in it.
    pub(super) fn expect_none_of(&self, secrets: &[String]) {
        let text = self.text();
        for secret in secrets {
            let line = text.lines().find(|line| line.contains(secret.as_str()));
            assert!(line.is_none(), "a secret is logged: {line:?}");
        }
    }
}
