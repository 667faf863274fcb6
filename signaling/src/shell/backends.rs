//! Who knows accounts: the file of accounts and a directory. Each question is answered in a task of its own; none waits for
//! another, and the core waits for none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ::accounts::{Revocations, Store};
use ldap::{Directory, Password};
use tokio::sync::{Semaphore, mpsc};
use xmpp::Jid;

use super::core_task::Command;
use crate::accounts::PasswordSource;
use crate::{ConnectionId, Input, LookUp, PasswordCheck, StoredHashes, Verdict};

/// Passwords that are checked here at a time: each takes a millisecond of a core, which nobody may make scarce.
const PASSWORD_CHECKS: usize = 2;
/// How often the file is looked at for what commands changed. New accounts and passwords are seen at once: each login asks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Where accounts are that the settings do not name. The default knows nobody.
#[derive(Clone, Debug, Default)]
pub struct Backends {
    /// The file of accounts.
    pub store: Option<Arc<Store>>,
    /// The directory.
    pub directory: Option<Directory>,
}

/// What answers the core's questions.
#[derive(Debug)]
pub(super) struct LoginTasks {
    backends: Backends,
    /// For the answers. Weak: they alone do not keep the core running.
    commands: mpsc::WeakSender<Command>,
    turns: Arc<Semaphore>,
}

impl LoginTasks {
    pub(super) fn new(backends: Backends, commands: mpsc::WeakSender<Command>) -> Self {
        if let Some(store) = &backends.store {
            tokio::spawn(watch(Arc::clone(store), commands.clone()));
        }
        Self { backends, commands, turns: Arc::new(Semaphore::new(PASSWORD_CHECKS)) }
    }

    pub(super) fn replace_directory(&mut self, directory: Directory) {
        self.backends.directory = Some(directory);
    }

    pub(super) fn check_password(&self, connection: ConnectionId, check: PasswordCheck) {
        let answered = move |verdict| Input::PasswordChecked { connection, verdict };
        if matches!(check.source, PasswordSource::Directory) {
            let directory = self.backends.directory.clone();
            self.answer(async move { answered(ask_directory(directory, check).await) });
            return;
        }
        let (turns, store) = (Arc::clone(&self.turns), self.backends.store.clone());
        self.answer(async move {
            let Ok(_turn) = turns.acquire().await else { return answered(Verdict::Unavailable) };
            let checked = tokio::task::spawn_blocking(move || check_here(store.as_deref(), &check)).await;
            answered(checked.unwrap_or(Verdict::Unavailable))
        });
    }

    pub(super) fn look_up(&self, connection: ConnectionId, jid: Jid) {
        let store = self.backends.store.clone();
        self.answer(async move {
            let found = tokio::task::spawn_blocking(move || look_up(store.as_deref(), &jid)).await;
            Input::AccountLookedUp { connection, found: found.unwrap_or(LookUp::Unavailable) }
        });
    }

    fn answer(&self, answer: impl Future<Output = Input> + Send + 'static) {
        let commands = self.commands.clone();
        tokio::spawn(async move {
            let input = answer.await;
            if let Some(commands) = commands.upgrade() {
                // An error says that the core is gone, and the connection with it.
                let _ = commands.send(Command::Input(input)).await;
            }
        });
    }
}

fn look_up(store: Option<&Store>, jid: &Jid) -> LookUp {
    let Some(store) = store else { return LookUp::NoSuchAccount };
    match store.credentials(jid) {
        Ok(Some(credentials)) => LookUp::Found(credentials),
        Ok(None) => LookUp::NoSuchAccount,
        Err(error) => {
            tracing::error!(%error, cause = ?std::error::Error::source(&error), "accounts cannot be read");
            LookUp::Unavailable
        }
    }
}

fn check_here(store: Option<&Store>, check: &PasswordCheck) -> Verdict {
    match &check.source {
        PasswordSource::Known(_) | PasswordSource::Directory => check.run(),
        PasswordSource::Store { unknown } => match look_up(store, &check.jid) {
            LookUp::Found(credentials) if credentials.fits(&check.password) => Verdict::Right,
            LookUp::Found(_) => Verdict::Wrong,
            LookUp::NoSuchAccount => unknown.verdict(&check.password),
            LookUp::Unavailable => Verdict::Unavailable,
        },
    }
}

async fn ask_directory(directory: Option<Directory>, check: PasswordCheck) -> Verdict {
    let Some(directory) = directory else { return Verdict::Unavailable };
    let password = Password::new(check.password);
    match directory.authenticate(&check.name, &password, check.jid.domain()).await {
        Ok(dn) => {
            tracing::debug!(jid = %check.jid, dn, "known to the directory");
            Verdict::Right
        }
        Err(ldap::Error::Refused(refusal)) => {
            tracing::info!(target: "audit", event = "directory_refused", rule = refusal.as_str(), jid = %check.jid);
            Verdict::Wrong
        }
        Err(error) => {
            tracing::warn!(%error, cause = ?std::error::Error::source(&error), "the directory cannot say who may log in");
            Verdict::Unavailable
        }
    }
}

/// Tells the core what commands change in the file, until the core is gone.
async fn watch(store: Arc<Store>, commands: mpsc::WeakSender<Command>) {
    let mut seen: Option<(i64, Revocations)> = None;
    loop {
        let (from, store) = (seen.clone(), Arc::clone(&store));
        let looked = tokio::task::spawn_blocking(move || look(&store, from.as_ref())).await;
        let Some(commands) = commands.upgrade() else { return };
        match looked {
            Ok(Ok(Some(change))) => {
                seen = Some((change.version, Revocations { last: change.last, jids: Vec::new() }));
                for input in [Input::StoredAccounts(change.stored), Input::AccountsRevoked(change.revoked)] {
                    if commands.send(Command::Input(input)).await.is_err() {
                        return;
                    }
                }
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "accounts cannot be read"),
            Err(_) => return,
        }
        drop(commands);
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

struct Change {
    version: i64,
    last: i64,
    stored: BTreeMap<String, StoredHashes>,
    revoked: BTreeSet<Jid>,
}

/// What changed since the last look; at the first one everything that is there, and nothing that was deleted before.
fn look(store: &Store, seen: Option<&(i64, Revocations)>) -> Result<Option<Change>, ::accounts::Error> {
    let version = store.data_version()?;
    if seen.is_some_and(|(before, _)| *before == version) {
        return Ok(None);
    }
    let mut stored: BTreeMap<String, StoredHashes> =
        store.domains()?.into_iter().map(|domain| (domain, StoredHashes::All)).collect();
    stored.extend(store.domains_without_sha256()?.into_iter().map(|domain| (domain, StoredHashes::Sha1)));
    let revoked = store.revoked_since(seen.map_or(0, |(_, revocations)| revocations.last))?;
    let last = revoked.last;
    let mut gone = BTreeSet::new();
    if seen.is_some() {
        for jid in revoked.jids {
            if store.credentials(&jid)?.is_none() {
                gone.insert(jid);
            }
        }
    }
    Ok(Some(Change { version, last, stored, revoked: gone }))
}
