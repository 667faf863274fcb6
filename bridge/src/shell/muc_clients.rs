//! The breweries of this bridge, each over a link of its own: the one that it starts with, and those that an operator adds
//! and takes away while it runs (`/colibri/muc-client`, bridge.md §1.7; `jvb: XmppConnection.kt`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use net::{Link, LinkSettings, ServerTrust};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use xmpp::Jid;

use super::brewery_task;
use super::command::MediaHandle;
use crate::Settings;
use crate::brewery::Brewery;
use crate::metrics::BreweryMetrics;
use crate::shutdown::Readiness;

/// The name of the brewery with which a bridge starts.
const FIRST: &str = "default";
/// Connections at once: the shards of a large deployment.
const MAX_CLIENTS: usize = 64;
/// Rooms of one connection.
const MAX_ROOMS: usize = 16;

/// What an operator wants to have joined, as JVB takes it. Values are texts.
#[derive(Deserialize)]
pub(super) struct MucClient {
    id: String,
    /// Of the XMPP server: `ws://HOST:5280/xmpp-websocket`, or a URL as it is.
    hostname: String,
    domain: Option<String>,
    username: String,
    password: String,
    /// Rooms, separated by commas.
    muc_jids: String,
    muc_nickname: String,
    disable_certificate_verification: Option<String>,
}

/// Which connection is to go.
#[derive(Debug, Deserialize)]
pub(super) struct MucClientId {
    pub(super) id: String,
}

/// Why no connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAdded {
    #[error("hostname, username, password, muc_jids and muc_nickname have to say something")]
    Incomplete,
    #[error("muc_jids are addresses of rooms, separated by commas, and muc_nickname a name there")]
    InvalidRoom,
    #[error("there are as many connections, or rooms of one, as there may be")]
    TooMany,
}

/// All breweries of a bridge. Clones are of the same.
#[derive(Clone, Debug)]
pub(super) struct MucClients {
    settings: Arc<Settings>,
    media: MediaHandle,
    readiness: watch::Receiver<Readiness>,
    metrics: BreweryMetrics,
    clients: Arc<Mutex<BTreeMap<String, Running>>>,
}

#[derive(Debug)]
struct Running {
    /// What tells whether the same connection is wanted again: server, domain and user.
    account: [String; 3],
    /// Ended when the connection is taken away.
    _tasks: JoinSet<()>,
}

impl MucClient {
    fn account(&self) -> [String; 3] {
        [net::xmpp_url(&self.hostname), self.domain().to_owned(), self.username.clone()]
    }

    fn domain(&self) -> &str {
        self.domain.as_deref().filter(|domain| !domain.is_empty()).unwrap_or(&self.hostname)
    }

    fn rooms(&self) -> Result<Vec<Jid>, NotAdded> {
        let room = |text: &str| text.trim().parse::<Jid>().ok().filter(|jid| jid.is_bare() && jid.local().is_some());
        self.muc_jids.split(',').map(|text| room(text).ok_or(NotAdded::InvalidRoom)).collect()
    }

    fn link(&self) -> Link {
        let is_any = self.disable_certificate_verification.as_deref() == Some("true");
        Link::connect(LinkSettings {
            url: net::xmpp_url(&self.hostname),
            domain: self.domain().to_owned(),
            username: self.username.clone(),
            password: self.password.clone(),
            resource: self.muc_nickname.clone(),
            trust: ServerTrust::of_flag(is_any),
        })
    }
}

impl MucClients {
    /// Those of a bridge that has the brewery of its settings, over this link.
    ///
    /// # Errors
    /// [`xmpp::InvalidJid`] when its nick is none.
    pub(super) fn start(
        settings: Settings,
        link: Link,
        media: MediaHandle,
        readiness: watch::Receiver<Readiness>,
        metrics: BreweryMetrics,
    ) -> Result<Self, xmpp::InvalidJid> {
        let brewery = Brewery::new(settings.clone())?;
        let clients = Self { settings: Arc::new(settings), media, readiness, metrics, clients: Arc::default() };
        let running = clients.run([String::new(), String::new(), String::new()], vec![(brewery, link)]);
        clients.with(|clients| clients.insert(FIRST.to_owned(), running));
        Ok(clients)
    }

    /// Joins the rooms of one more server. One of the same name is replaced, unless it is the same.
    ///
    /// # Errors
    /// [`NotAdded`].
    pub(super) fn add(&self, client: &MucClient) -> Result<(), NotAdded> {
        let needed =
            [&client.id, &client.hostname, &client.username, &client.password, &client.muc_jids, &client.muc_nickname];
        if needed.iter().any(|text| text.trim().is_empty()) {
            return Err(NotAdded::Incomplete);
        }
        let rooms = client.rooms()?;
        let brewery = |room: Jid| {
            let nick = client.muc_nickname.clone();
            Brewery::new(Settings { brewery: room, nick, ..Settings::clone(&self.settings) })
        };
        let breweries: Result<Vec<Brewery>, _> = rooms.into_iter().map(brewery).collect();
        let breweries = breweries.map_err(|_| NotAdded::InvalidRoom)?;
        self.with(|clients| {
            let known = clients.get(&client.id);
            if known.is_some_and(|known| known.account == client.account()) {
                return Ok(());
            }
            if breweries.len() > MAX_ROOMS || known.is_none() && clients.len() >= MAX_CLIENTS {
                return Err(NotAdded::TooMany);
            }
            tracing::info!(id = client.id, hostname = client.hostname, rooms = breweries.len(), "brewery added");
            let breweries = breweries.into_iter().map(|brewery| (brewery, client.link())).collect();
            clients.insert(client.id.clone(), self.run(client.account(), breweries));
            Ok(())
        })
    }

    /// Leaves the rooms of a server. Answers whether there was one of that name.
    pub(super) fn remove(&self, id: &str) -> bool {
        let was_there = self.with(|clients| clients.remove(id)).is_some();
        if was_there {
            tracing::info!(id, "brewery removed");
        }
        was_there
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.with(|clients| clients.keys().cloned().collect())
    }

    fn run(&self, account: [String; 3], breweries: Vec<(Brewery, Link)>) -> Running {
        let mut tasks = JoinSet::new();
        for (brewery, link) in breweries {
            let (media, metrics) = (self.media.clone(), self.metrics.clone());
            tasks.spawn(brewery_task::run(brewery, link, media, self.readiness.clone(), metrics));
        }
        Running { account, _tasks: tasks }
    }

    fn with<T>(&self, action: impl FnOnce(&mut BTreeMap<String, Running>) -> T) -> T {
        // Nothing in there can panic half way.
        action(&mut self.clients.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
