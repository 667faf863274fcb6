//! The keys of clients' tokens: those at hand, and those that other servers publish. Whoever waits for a key waits in the
//! task of his own connection, so that a slow key server is in nobody else's way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use auth::{Claims, KeySet, Token, TokenRefused, VerifyingKey, asap_file_name};
use axum::http::{StatusCode, Uri};
use rustls::ClientConfig;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

use super::http_get::{Answer, get};
use crate::jwt::KeySource;
use crate::key_cache::{Fetched, KeyCache, LookUp};
use crate::outside::below;
use crate::{ShownToken, TokenSettings};

/// Fetches at one time; tokens that name keys which nobody has do not flood the key server.
const MAX_FETCHES: usize = 4;
/// How long a login waits for its key: two fetches that take all their time.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The name of the only document where there is a list.
const LIST: &str = "";

/// Judges the tokens that clients show.
#[derive(Debug)]
pub(super) struct TokenJudge {
    settings: TokenSettings,
    published: Option<Published>,
}

/// Keys that another server publishes.
#[derive(Debug)]
struct Published {
    source: PublishedAt,
    tls: Arc<ClientConfig>,
    cache: Mutex<KeyCache>,
    /// Told at the end of each fetch.
    ended: Notify,
    turns: Semaphore,
}

#[derive(Clone, Debug)]
enum PublishedAt {
    /// One key a file, below this.
    Server(Uri),
    /// All in one document.
    List(Uri),
}

impl TokenJudge {
    /// Judges by these settings.
    ///
    /// # Errors
    /// The cryptography library has none of the usual versions of TLS.
    pub(super) fn new(settings: TokenSettings) -> Result<Arc<Self>, rustls::Error> {
        let source = match &settings.source {
            KeySource::Given(_) => None,
            KeySource::KeyServer(uri) => Some(PublishedAt::Server(uri.clone())),
            KeySource::KeySetAt(uri) => Some(PublishedAt::List(uri.clone())),
        };
        Ok(Arc::new(Self { settings, published: source.map(Published::new).transpose()? }))
    }

    /// What is to be made of the token that a client shows.
    pub(super) async fn judge(self: &Arc<Self>, token: Option<&str>) -> ShownToken {
        let Some(token) = token else { return ShownToken::None };
        match self.claims(token).await {
            Ok(claims) => ShownToken::Verified(Arc::new(claims)),
            Err(refused) => ShownToken::Refused(refused),
        }
    }

    async fn claims(self: &Arc<Self>, token: &str) -> Result<Claims, TokenRefused> {
        let token = Token::parse(token)?;
        let payload = match &self.settings.source {
            KeySource::Given(keys) => self.verify(keys.key_of(&token)?, token)?,
            KeySource::KeyServer(_) | KeySource::KeySetAt(_) => {
                let key = tokio::time::timeout(LOGIN_TIMEOUT, self.published_key(token.key_id()?)).await;
                let key = key.ok().flatten().ok_or(TokenRefused::UnknownKey)?;
                self.verify(&key, token)?
            }
        };
        Ok(Claims::of_payload(&payload))
    }

    fn verify(&self, key: &VerifyingKey, token: Token<'_>) -> Result<Value, TokenRefused> {
        let unix_s = super::now().unix_ms / 1000;
        self.settings.rules.verify(key, token, unix_s).map(Value::Object)
    }

    /// The key of that name, fetched if need be.
    async fn published_key(self: &Arc<Self>, key_id: &str) -> Option<Arc<VerifyingKey>> {
        let published = self.published.as_ref()?;
        let document = match &published.source {
            PublishedAt::Server(_) => asap_file_name(key_id),
            PublishedAt::List(_) => LIST.to_owned(),
        };
        // A second try may find that the fetch that it waited for was for another key.
        for _ in 0..3 {
            // Before looking: a fetch that ends in between is heard of.
            let ended = published.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let found = published.cache().look_up(&document, key_id, Instant::now());
            match found {
                LookUp::Known { key, refresh } => {
                    if refresh {
                        self.spawn_fetch(document, key_id);
                    }
                    return Some(key);
                }
                LookUp::Fetch => self.spawn_fetch(document.clone(), key_id),
                LookUp::Wait => {}
                LookUp::Unknown => return None,
            }
            loop {
                ended.as_mut().await;
                ended.set(published.ended.notified());
                ended.as_mut().enable();
                if !published.cache().is_in_flight(&document) {
                    break;
                }
            }
        }
        None
    }

    /// Fetches a document in a task of its own: it comes to its end even when the client that needs it is gone.
    fn spawn_fetch(self: &Arc<Self>, document: String, key_id: &str) {
        let (judge, key_id) = (Arc::clone(self), key_id.to_owned());
        tokio::spawn(async move {
            let Some(published) = &judge.published else { return };
            let fetched = published.fetch(&document, &key_id).await;
            published.cache().on_fetched(&document, fetched, Instant::now());
            published.ended.notify_waiters();
        });
    }
}

impl Published {
    fn new(source: PublishedAt) -> Result<Self, rustls::Error> {
        Ok(Self {
            source,
            tls: Arc::new(net::client_config(net::ServerTrust::System)?),
            cache: Mutex::default(),
            ended: Notify::new(),
            turns: Semaphore::new(MAX_FETCHES),
        })
    }

    async fn fetch(&self, document: &str, key_id: &str) -> Fetched {
        let Ok(_turn) = self.turns.acquire().await else { return Fetched::Failed };
        let uri = match &self.source {
            PublishedAt::Server(base) => below(base, document),
            PublishedAt::List(uri) => Some(uri.clone()),
        };
        let Some(uri) = uri else { return Fetched::Failed };
        let answer = match get(&uri, &self.tls).await {
            Ok(answer) => answer,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(server = uri.host(), %error, cause, "keys of tokens cannot be fetched");
                return Fetched::Failed;
            }
        };
        // A key server has no file for a name that was made up; a list that is not there is the server's fault.
        let is_missing = matches!(self.source, PublishedAt::Server(_))
            && matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN);
        if is_missing {
            return Fetched::Nothing;
        }
        let keys = if answer.status == StatusCode::OK {
            self.read(&answer, key_id)
        } else {
            Err(format!("is answered with status {}", answer.status.as_u16()))
        };
        match keys {
            Ok(keys) => Fetched::Keys { keys, max_age: answer.max_age },
            Err(error) => {
                tracing::warn!(server = uri.host(), error, "what is fetched is no key of tokens");
                Fetched::Failed
            }
        }
    }

    fn read(&self, answer: &Answer, key_id: &str) -> Result<KeySet, String> {
        match &self.source {
            PublishedAt::Server(_) => one_key(answer, key_id),
            PublishedAt::List(_) => KeySet::from_json(&answer.body).map_err(|error| error.to_string()),
        }
    }

    /// The table is whole after each change, so a panic elsewhere cannot have left it broken.
    fn cache(&self) -> MutexGuard<'_, KeyCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn one_key(answer: &Answer, key_id: &str) -> Result<KeySet, String> {
    let text = str::from_utf8(&answer.body).map_err(|_| "is no text".to_owned())?;
    let mut keys = KeySet::default();
    keys.insert(key_id, VerifyingKey::from_pem(text).map_err(|error| error.to_string())?);
    Ok(keys)
}
