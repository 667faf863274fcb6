//! Which servers of others there are. None by default, as in stock.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{Secret, ShortLivedTokens};

/// Servers that are asked or told what happens here.
#[derive(Clone, Debug, Default)]
pub struct OutsideSettings {
    /// Who says who gets in.
    pub access: Option<AccessSettings>,
    /// Who says whether a room may open (`mod_reservations`).
    pub reservations: Option<ReservationSettings>,
    /// Who is told what happens in rooms (`mod_event_sync_component`).
    pub events: Option<EventSettings>,
    /// Who keeps the queue of those who want a recorder (`mod_jibri_queue_component`).
    pub jibri_queue: Option<QueueSettings>,
    /// Who keeps the queue of visitors before a conference is live (`visitors_queue_service`).
    pub visitors_queue: Option<QueueSettings>,
}

/// A server that is called.
#[derive(Clone, Debug)]
pub struct OutsideServer {
    /// Where it is: what is called is below this.
    pub url: Uri,
    /// What each request says besides; it may be a password.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long to wait.
    pub patience: Patience,
}

/// How long a server is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// One try, from the first packet to the last byte. One that took all of it is not followed by another.
    pub timeout: Duration,
    /// Further tries after one that found no server, or a server in trouble (5xx).
    pub retries: u32,
    /// Between two tries.
    pub pause: Duration,
}

/// A server that decides who gets in.
#[derive(Clone, Debug)]
pub struct AccessSettings {
    /// The server; its address is asked as it is, with what is known of the login in the query.
    pub server: Arc<OutsideServer>,
    /// What becomes of a login of which it says nothing.
    pub when_silent: WhenSilent,
}

/// What becomes of logins when nobody decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum WhenSilent {
    /// They fail, and clients try again.
    #[default]
    Refuse,
    /// They are let in, as by stock's `mod_muc_auth_ban`.
    Admit,
}

/// A system of reservations.
#[derive(Clone, Debug)]
pub struct ReservationSettings {
    /// The server.
    pub server: Arc<OutsideServer>,
    /// Whether it says how many may be in a room (`reservations_enable_max_occupants`).
    pub max_occupants: bool,
    /// Whether it says that a room has a lobby (`reservations_enable_lobby_support`).
    pub lobby: bool,
    /// Whether it says the password of a room (`reservations_enable_password_support`).
    pub password: bool,
}

/// Somebody who is told what happens in rooms.
#[derive(Clone, Debug)]
pub struct EventSettings {
    /// The server.
    pub server: Arc<OutsideServer>,
    /// Whether it is told for how long who left spoke (`include_speaker_stats`).
    pub speaker_times: bool,
    /// What bodies are signed with, so that the receiver knows whom they are from; `None` for not.
    pub secret: Option<Secret>,
}

/// A queue that somebody else keeps.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// The server.
    pub server: Arc<OutsideServer>,
    /// The tokens that it is shown.
    pub tokens: ShortLivedTokens,
}

impl OutsideServer {
    /// The address of something below the server's.
    pub(super) fn below(&self, path: &str) -> Option<Uri> {
        below(&self.url, path)
    }
}

/// The address of something below another. The path is written as in an address, without a slash before it.
pub(crate) fn below(base: &Uri, path: &str) -> Option<Uri> {
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    Uri::from_str(&format!("{scheme}://{authority}{}/{path}", base.path().trim_end_matches('/'))).ok()
}

/// What stays as it is in a path or a form (RFC 3986 §2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Text as part of a path or a form.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_is_below_the_address_whatever_it_is_called() {
        let below = |base: &str, path: &str| below(&base.parse().unwrap(), path).map(|uri| uri.to_string());
        assert_eq!(below("https://a.example/api/", "conference").as_deref(), Some("https://a.example/api/conference"));
        assert_eq!(below("http://a:8080", "x/1").as_deref(), Some("http://a:8080/x/1"));
        assert_eq!(below("/only/a/path", "x"), None);
        assert_eq!(encode("a b/ü?&~"), "a%20b%2F%C3%BC%3F%26~");
    }
}
