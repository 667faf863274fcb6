//! `teranga user`: the accounts of this server. A running server sees each change at once.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use accounts::{Credentials, Store, exchange, prosody};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use xmpp::Jid;

use crate::password::{Ask, PasswordFlags};
use crate::state;

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add an account. The password is asked for, or read from standard input or a file.
    Add {
        /// user or user@domain
        name: String,
        #[command(flatten)]
        password: PasswordFlags,
        #[command(flatten)]
        place: Place,
    },
    /// Change the password of an account.
    Passwd {
        /// user or user@domain
        name: String,
        #[command(flatten)]
        password: PasswordFlags,
        #[command(flatten)]
        place: Place,
    },
    /// Delete an account, and end its sessions.
    Delete {
        /// user or user@domain
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// List the accounts, one a line.
    List {
        /// Only those of this domain.
        #[arg(long, value_name = "DOMAIN")]
        only: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Add accounts, or replace them: from a file that 'teranga user export' wrote, or from the data directory of Prosody or a part
    /// of it.
    Import {
        /// File or directory; - for standard input.
        from: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Write all accounts as JSON. Passwords are not in it, but what they are checked with: keep it secret.
    Export {
        /// File, made for its owner only; standard output when left out.
        to: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the accounts are.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// State directory of the server [default: $XDG_STATE_HOME/teranga or ~/.local/state/teranga].
    #[arg(long, env = "TERANGA_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// File of the accounts [default: accounts.sqlite in the state directory].
    #[arg(long, env = "TERANGA_ACCOUNTS", value_name = "FILE")]
    pub(crate) accounts_file: Option<PathBuf>,
    /// Domain of names that have none.
    #[arg(long, env = "TERANGA_DOMAIN", default_value = "meet.jitsi", value_name = "DOMAIN")]
    pub(crate) domain: String,
}

impl Place {
    pub(crate) fn file(&self) -> anyhow::Result<PathBuf> {
        match &self.accounts_file {
            Some(file) => Ok(file.clone()),
            None => Ok(state::directory(self.state_dir.as_deref())?.join(state::ACCOUNTS_FILE)),
        }
    }

    fn open(&self) -> anyhow::Result<Store> {
        let file = self.file()?;
        if let Some(dir) = file.parent() {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        Ok(Store::open(&file)?)
    }

    /// The account of a name with or without a domain.
    pub(crate) fn jid(&self, name: &str) -> anyhow::Result<Jid> {
        let (local, domain) = name.rsplit_once('@').unwrap_or((name, &self.domain));
        Jid::new(Some(local), domain, None).with_context(|| format!("{name:?} cannot be the name of an account"))
    }

    pub(crate) fn add(&self, jid: &Jid, password: &str) -> anyhow::Result<()> {
        Ok(self.open()?.add(jid, &credentials(password))?)
    }

    pub(crate) fn change(&self, jid: &Jid, password: &str) -> anyhow::Result<()> {
        Ok(self.open()?.change(jid, &credentials(password))?)
    }

    pub(crate) fn delete(&self, jid: &Jid) -> anyhow::Result<()> {
        Ok(self.open()?.delete(jid)?)
    }

    pub(crate) fn has(&self, jid: &Jid) -> anyhow::Result<bool> {
        Ok(self.open()?.credentials(jid)?.is_some())
    }

    /// Prints the accounts, one a line.
    pub(crate) fn list(&self, only: Option<&str>) -> anyhow::Result<()> {
        let lines: String = self.open()?.list(only)?.iter().map(|jid| format!("{jid}\n")).collect();
        say(&lines);
        Ok(())
    }

    fn import(&self, from: &Path) -> anyhow::Result<()> {
        let failed = || format!("cannot import {}", from.display());
        let read = if from == Path::new("-") {
            exchange::from_json(&read_text(std::io::stdin().lock())?)?
        } else if from.is_dir() || from.extension().is_some_and(|extension| extension == "dat") {
            let domain = Some(self.domain.as_str()).filter(|_| !names_a_host(from));
            let import = prosody::import(from, domain, &mut rand::rng()).with_context(failed)?;
            for (path, error) in &import.failures {
                eprintln!("teranga: {} left out: {error}", path.display());
            }
            import.accounts
        } else {
            let file = std::fs::File::open(from).with_context(failed)?;
            exchange::from_json(&read_text(file)?).with_context(failed)?
        };
        if read.is_empty() {
            bail!("there is no account in {}", from.display());
        }
        let imported = self.open()?.import(read.iter().map(|(jid, credentials)| (jid, credentials)))?;
        say(&format!("{imported} accounts imported\n"));
        Ok(())
    }

    fn export(&self, to: Option<&Path>) -> anyhow::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let text = format!("{}\n", exchange::to_json(&self.open()?.export()?));
        let Some(path) = to else {
            say(&text);
            return Ok(());
        };
        let failed = || format!("cannot write {}", path.display());
        let mut file = std::fs::OpenOptions::new();
        let mut file = file.write(true).create_new(true).mode(0o600).open(path).with_context(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)
    }
}

/// Whether the path itself says of which host its accounts are: it is Prosody's data directory, a host's, or in one.
fn names_a_host(path: &Path) -> bool {
    let dir = if path.is_file() { path.parent() } else { Some(path) };
    let is_accounts = dir.and_then(Path::file_name).is_some_and(|name| name == "accounts");
    let host = dir.and_then(Path::parent).and_then(Path::file_name);
    if is_accounts { host.is_some_and(|name| name.to_string_lossy().contains("%2e")) } else { path.is_dir() }
}

fn credentials(password: &str) -> Credentials {
    Credentials::of_password(password, &mut rand::rng())
}

fn read_text(input: impl std::io::Read) -> anyhow::Result<String> {
    let mut text = String::new();
    input.take(exchange::MAX_BYTES).read_to_string(&mut text).context("cannot read it")?;
    Ok(text)
}

/// Writes to stdout. Whoever read it may be gone, such as `head`.
pub(crate) fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

pub(crate) fn run(command: &UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Add { name, password, place } => {
            let jid = place.jid(name)?;
            // Before anybody types a password.
            if place.has(&jid)? {
                return Err(accounts::Error::Exists(jid).into());
            }
            place.add(&jid, &password.read(Ask::Twice)?)
        }
        UserCommand::Passwd { name, password, place } => {
            let jid = place.jid(name)?;
            if !place.has(&jid)? {
                return Err(accounts::Error::NoSuchAccount(jid).into());
            }
            place.change(&jid, &password.read(Ask::Twice)?)
        }
        UserCommand::Delete { name, place } => place.delete(&place.jid(name)?),
        UserCommand::List { only, place } => place.list(only.as_deref()),
        UserCommand::Import { from, place } => place.import(from),
        UserCommand::Export { to, place } => place.export(to.as_deref()),
    }
}
