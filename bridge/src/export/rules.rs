//! Which connects a request may ask for (bridge.md §8; `ExporterWrapper.applyConnects` of JVB).

use std::collections::BTreeSet;

use jitsi_protocol::colibri2::{ColibriError, Connect, Reason};
use xmpp::Condition;

use super::{Exporters, MAX_EXPORTERS};

/// The id of the one connect of a focus of before ids.
const WITHOUT_ID: &str = "";

/// What a request changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Expire { id: String },
    Create { id: String, connect: Connect },
    Update { id: String, connect: Connect },
}

impl Exporters {
    /// What follows from the connects of a request: ends first, so that an id can begin anew in the same request. Nothing is
    /// done unless all is right.
    ///
    /// # Errors
    /// [`ColibriError`] as JVB's.
    pub(super) fn changes(&self, connects: &[Connect]) -> Result<Vec<Change>, ColibriError> {
        for connect in connects {
            if connect.video {
                return Err(unsupported("Video"));
            }
            if !connect.is_mediajson() {
                return Err(unsupported(&format!("Protocol {}", connect.protocol)));
            }
        }
        if connects.iter().all(|connect| connect.id.is_none()) {
            return self.changes_without_ids(connects);
        }
        let mut expired = BTreeSet::new();
        for connect in connects.iter().filter(|connect| connect.expire) {
            let id = id_of(connect)?;
            if !expired.insert(id) {
                return Err(bad_request(&format!("Duplicate expire for id={id}")));
            }
        }
        let mut seen = BTreeSet::new();
        let mut changes: Vec<_> = expired.iter().map(|id| Change::Expire { id: (*id).to_owned() }).collect();
        for connect in connects.iter().filter(|connect| !connect.expire) {
            let id = id_of(connect)?;
            if !seen.insert(id) {
                return Err(bad_request(&format!("Multiple connects for id={id}")));
            }
            let running = self.running.get(id).filter(|_| !expired.contains(id));
            let (id, connect) = (id.to_owned(), connect.clone());
            changes.push(match (running, connect.create) {
                (Some(_), true) => {
                    return Err(bad_request(&format!("Connect with create=true for an already-existing id={id}")));
                }
                (None, true) => Change::Create { id, connect },
                (None, false) if expired.contains(id.as_str()) => {
                    return Err(bad_request(&format!("Connect update for id={id} expired in the same request")));
                }
                (None, false) => {
                    return Err(bad_request(&format!("Connect for unknown id={id} without create=true")));
                }
                (Some(running), false) => {
                    check_update(&id, &running.connect, &connect)?;
                    Change::Update { id, connect }
                }
            });
        }
        self.check_count(&changes)?;
        Ok(changes)
    }

    /// A focus of before ids tells the one connect that there is to be, or none.
    fn changes_without_ids(&self, connects: &[Connect]) -> Result<Vec<Change>, ColibriError> {
        let id = || WITHOUT_ID.to_owned();
        let wanted = match connects {
            [] => None,
            [connect] => Some(connect),
            [..] => return Err(unsupported("Multiple connects")),
        };
        let running = self.running.contains_key(WITHOUT_ID).then(|| Change::Expire { id: id() });
        let created = wanted.map(|connect| Change::Create { id: id(), connect: connect.clone() });
        let changes: Vec<_> = running.into_iter().chain(created).collect();
        self.check_count(&changes)?;
        Ok(changes)
    }

    fn check_count(&self, changes: &[Change]) -> Result<(), ColibriError> {
        let mut ids: BTreeSet<&str> = self.running.keys().map(String::as_str).collect();
        for change in changes {
            match change {
                Change::Expire { id } => ids.remove(id.as_str()),
                Change::Create { id, .. } | Change::Update { id, .. } => ids.insert(id),
            };
        }
        if ids.len() > MAX_EXPORTERS {
            return Err(ColibriError::new(Condition::ResourceConstraint, None, "too many connects in the conference"));
        }
        Ok(())
    }
}

fn id_of(connect: &Connect) -> Result<&str, ColibriError> {
    connect.id.as_deref().filter(|id| *id != WITHOUT_ID).ok_or_else(|| bad_request("Connect without an id"))
}

/// Only what it is about may change while a WebSocket is open.
fn check_update(id: &str, before: &Connect, after: &Connect) -> Result<(), ColibriError> {
    let headers = |connect: &Connect| {
        let all = connect.http_headers.iter().map(|header| (header.name.clone(), header.value.clone()));
        all.collect::<std::collections::BTreeMap<_, _>>()
    };
    let changed = [
        ("url", before.url != after.url),
        ("type", before.connect_type != after.connect_type),
        ("audio", before.audio != after.audio),
        ("headers", headers(before) != headers(after)),
        ("ping", before.ping != after.ping),
    ];
    let changed: Vec<_> = changed.iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| *name).collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(unsupported(&format!("Updating connect {} for id={id}", changed.join(", "))))
}

fn bad_request(text: &str) -> ColibriError {
    ColibriError::new(Condition::BadRequest, None, text)
}

fn unsupported(text: &str) -> ColibriError {
    ColibriError::new(Condition::FeatureNotImplemented, Some(Reason::FeatureNotImplemented), text)
}
