//! What an operator says about servers of others that are asked or told what happens in rooms, under the names of
//! docker-jitsi-meet where it has one.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::uri::Scheme;
use axum::http::{HeaderName, HeaderValue, Uri};
use clap::builder::BoolishValueParser;
use xmpp::{InvalidJid, Jid};

use crate::api_flags::named_file;
use crate::{
    AccessSettings, EventSettings, OutsideServer, Patience, QueueSettings, ReservationSettings, Secret, Settings,
    ShortLivedTokens, WhenSilent,
};

/// To be flattened into the options of a binary. Everything is off unless said otherwise.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct OutsideFlags {
    /// Address of a server that says of each login whether it comes in, https://host/path: it is asked with login, jid, room, tenant
    /// and address in the query and the client's token as bearer, and answers {"access":false,"message":"…"} or, with claims that
    /// count instead of the token's, {"access":true,"claims":{…}}.
    #[arg(long, env = "TERANGA_ACCESS_URL", value_name = "URL", value_parser = http_url)]
    pub access_url: Option<Uri>,
    /// Header of each such request, such as "X-Api-Key: KEY"; may be repeated.
    #[arg(long, env = "TERANGA_ACCESS_HEADER", hide_env_values = true, value_name = "NAME: VALUE")]
    pub access_header: Vec<HeaderFlag>,
    /// Seconds that such a request may take.
    #[arg(long, env = "TERANGA_ACCESS_TIMEOUT", default_value = "5", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=20))]
    pub access_timeout: u32,
    /// What becomes of logins when that server says nothing.
    #[arg(long, env = "TERANGA_ACCESS_WHEN_SILENT", default_value = "refuse", value_name = "WHAT")]
    pub access_when_silent: WhenSilent,
    /// Rooms open by reservation: the server of --reservation-url is asked before.
    #[arg(long, env = "PROSODY_RESERVATION_ENABLED", value_parser = BoolishValueParser::new())]
    pub reservations: bool,
    /// Address below which the system of reservations has its conferences, https://host/path.
    #[arg(long, env = "PROSODY_RESERVATION_REST_BASE_URL", value_name = "URL", value_parser = http_url)]
    pub reservation_url: Option<Uri>,
    /// Header of each request to it, such as "Authorization: Bearer TOKEN"; may be repeated.
    #[arg(long, env = "TERANGA_RESERVATION_HEADER", hide_env_values = true, value_name = "NAME: VALUE")]
    pub reservation_header: Vec<HeaderFlag>,
    /// Seconds that one request to it may take.
    #[arg(long, env = "TERANGA_RESERVATION_TIMEOUT", default_value = "20", value_name = "SECONDS")]
    pub reservation_timeout: u32,
    /// Further requests, three seconds apart, after one that found no server, or a server in trouble.
    #[arg(long, env = "TERANGA_RESERVATION_RETRIES", default_value = "3", value_name = "NUMBER")]
    pub reservation_retries: u32,
    /// Reservations say how many may be in a room.
    #[arg(long, env = "TERANGA_RESERVATION_MAX_OCCUPANTS", value_parser = BoolishValueParser::new())]
    pub reservation_max_occupants: bool,
    /// Reservations say whether a room has a lobby from the start.
    #[arg(long, env = "TERANGA_RESERVATION_LOBBY", value_parser = BoolishValueParser::new())]
    pub reservation_lobby: bool,
    /// Reservations say the password of a room.
    #[arg(long, env = "TERANGA_RESERVATION_PASSWORD", value_parser = BoolishValueParser::new())]
    pub reservation_password: bool,
    /// Address below which a server is told of rooms and those in them, at /events/room/created and so on.
    #[arg(long, env = "TERANGA_EVENTS_URL", value_name = "URL", value_parser = http_url)]
    pub events_url: Option<Uri>,
    /// Header of each event, such as "Authorization: Bearer TOKEN"; may be repeated.
    #[arg(long, env = "TERANGA_EVENTS_HEADER", hide_env_values = true, value_name = "NAME: VALUE")]
    pub events_header: Vec<HeaderFlag>,
    /// Who leaves is told with the milliseconds for which he spoke.
    #[arg(long, env = "TERANGA_EVENTS_SPEAKER_TIMES", value_parser = BoolishValueParser::new())]
    pub events_speaker_times: bool,
    /// Secret that events are signed with, in the header X-Hub-Signature-256.
    #[arg(long, env = "TERANGA_EVENTS_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub events_secret: Option<String>,
    /// Address of the server that keeps the queue of those who want a recorder.
    #[arg(long, env = "TERANGA_JIBRI_QUEUE_URL", value_name = "URL", requires = "jibri_queue_key", value_parser = http_url)]
    pub jibri_queue_url: Option<Uri>,
    /// File with the RSA key in PEM that signs the tokens for it, by the name that it knows the key by.
    #[arg(long, env = "TERANGA_JIBRI_QUEUE_KEY", value_name = "KID=FILE", value_parser = jibri_queue_tokens)]
    pub jibri_queue_key: Option<ShortLivedTokens>,
    /// Address of the server that keeps the queue of visitors before a meeting is live; it is told at /golive.
    #[arg(long, env = "TERANGA_VISITORS_QUEUE_URL", value_name = "URL", requires = "visitors_queue_key", value_parser = http_url)]
    pub visitors_queue_url: Option<Uri>,
    /// File with the RSA key in PEM that signs the tokens for it, by the name that it knows the key by.
    #[arg(long, env = "TERANGA_VISITORS_QUEUE_KEY", value_name = "KID=FILE", value_parser = visitors_queue_tokens)]
    pub visitors_queue_key: Option<ShortLivedTokens>,
}

/// `NAME: VALUE` of a header.
#[derive(Clone, Debug)]
pub struct HeaderFlag(HeaderName, HeaderValue);

impl FromStr for HeaderFlag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "is not of the form NAME: VALUE";
        let (name, value) = text.split_once(':').ok_or(WRONG)?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| WRONG)?;
        value.set_sensitive(true);
        Ok(Self(name.trim().parse().map_err(|_| WRONG)?, value))
    }
}

/// Why the flags make no settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOutsideFlags {
    /// Without it every room would open.
    #[error("rooms are to open by reservation, but there is no --reservation-url (PROSODY_RESERVATION_REST_BASE_URL)")]
    NoReservationUrl,
    /// The domain leaves no room for the name of a component.
    #[error(transparent)]
    Domain(#[from] InvalidJid),
}

fn http_url(text: &str) -> Result<Uri, &'static str> {
    let uri: Uri = text.parse().map_err(|_| "is no URL")?;
    let is_http = uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
    if is_http && uri.query().is_none() { Ok(uri) } else { Err("is not of the form https://host/path") }
}

fn jibri_queue_tokens(text: &str) -> Result<ShortLivedTokens, String> {
    queue_tokens(text, "jibriqueue")
}

fn visitors_queue_tokens(text: &str) -> Result<ShortLivedTokens, String> {
    queue_tokens(text, "jitsi")
}

fn queue_tokens(text: &str, audience: &str) -> Result<ShortLivedTokens, String> {
    let (id, pem) = named_file(text)?;
    let mut tokens = ShortLivedTokens::new("jitsi", id, &pem).ok_or("is no private RSA key in PEM")?;
    // `asap_audience` and `asap_ttl` of stock.
    tokens.audiences = vec![audience.to_owned()];
    tokens.lifetime = Duration::from_secs(3600);
    Ok(tokens)
}

impl OutsideFlags {
    /// Puts what was said into settings whose addresses are set.
    ///
    /// # Errors
    /// [`InvalidOutsideFlags`].
    pub(crate) fn apply(&self, settings: &mut Settings) -> Result<(), InvalidOutsideFlags> {
        settings.outside.access = self.access_url.as_ref().map(|url| {
            let timeout = Duration::from_secs(self.access_timeout.into());
            // Whoever logs in waits; a second try would take longer than he does.
            let patience = Patience { timeout, retries: 0, pause: Duration::ZERO };
            AccessSettings { server: server(url, &self.access_header, patience), when_silent: self.access_when_silent }
        });
        if self.reservations {
            let url = self.reservation_url.as_ref().ok_or(InvalidOutsideFlags::NoReservationUrl)?;
            let patience = Patience {
                timeout: Duration::from_secs(self.reservation_timeout.into()),
                retries: self.reservation_retries,
                pause: Duration::from_secs(3),
            };
            settings.outside.reservations = Some(ReservationSettings {
                server: server(url, &self.reservation_header, patience),
                max_occupants: self.reservation_max_occupants,
                lobby: self.reservation_lobby,
                password: self.reservation_password,
            });
        }
        // `api_timeout`, `api_retry_count` and `api_retry_delay` of event_sync.
        let patience = Patience { timeout: Duration::from_secs(20), retries: 3, pause: Duration::from_secs(1) };
        settings.outside.events = self.events_url.as_ref().map(|url| EventSettings {
            server: server(url, &self.events_header, patience),
            speaker_times: self.events_speaker_times,
            secret: self.events_secret.as_deref().and_then(Secret::new),
        });
        if let (Some(url), Some(tokens)) = (&self.jibri_queue_url, &self.jibri_queue_key) {
            let domain = settings.hosts.domain.domain();
            settings.hosts.components.jibri_queue = Some(Jid::new(None, &format!("jibriqueue.{domain}"), None)?);
            settings.outside.jibri_queue =
                Some(QueueSettings { server: server(url, &[], patience), tokens: tokens.clone() });
        }
        if let (Some(url), Some(tokens)) = (&self.visitors_queue_url, &self.visitors_queue_key) {
            settings.outside.visitors_queue =
                Some(QueueSettings { server: server(url, &[], patience), tokens: tokens.clone() });
        }
        Ok(())
    }
}

fn server(url: &Uri, headers: &[HeaderFlag], patience: Patience) -> Arc<OutsideServer> {
    let headers = headers.iter().map(|HeaderFlag(name, value)| (name.clone(), value.clone())).collect();
    Arc::new(OutsideServer { url: url.clone(), headers, patience })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    type Options = crate::flag_tests::Options<OutsideFlags>;

    fn settings(words: &[&str]) -> Result<Settings, String> {
        let mut settings = Settings::default();
        let options = Options::try_parse_from(["x"].iter().chain(words)).map_err(|error| error.to_string())?;
        options.flags.apply(&mut settings).map_err(|error| error.to_string())?;
        Ok(settings)
    }

    #[test]
    fn nobody_is_asked_or_told_unless_said() {
        let outside = settings(&[]).unwrap().outside;
        assert!(
            outside.access.is_none()
                && outside.reservations.is_none()
                && outside.events.is_none()
                && outside.jibri_queue.is_none()
                && outside.visitors_queue.is_none()
        );
        let outside = settings(&["--reservation-url", "https://book.example"]).unwrap().outside;
        assert!(outside.reservations.is_none(), "docker has a switch of its own");
    }

    #[test]
    fn rooms_never_open_for_lack_of_an_address() {
        let without = settings(&["--reservations"]).map(|_| ());
        assert_eq!(without, Err(InvalidOutsideFlags::NoReservationUrl.to_string()));
        let words = ["--reservations", "--reservation-url", "https://book.example/api", "--reservation-password"];
        let header = ["--reservation-header", "Authorization: Bearer x"];
        let reservations = settings(&[&words[..], &header].concat()).unwrap().outside.reservations.unwrap();
        assert!(reservations.password && !reservations.lobby && !reservations.max_occupants);
        assert_eq!(reservations.server.headers[0].1, "Bearer x");
        let patience = reservations.server.patience;
        assert_eq!((patience.timeout.as_secs(), patience.retries, patience.pause.as_secs()), (20, 3, 3));
    }

    #[test]
    fn queues_are_not_told_without_a_key() {
        assert!(settings(&["--visitors-queue-url", "https://queue.example"]).is_err());
        assert!(settings(&["--jibri-queue-url", "https://queue.example/hook"]).is_err());
        assert!(settings(&["--jibri-queue-url", "https://queue.example", "--jibri-queue-key", "k=/nowhere"]).is_err());
    }

    #[test]
    fn addresses_and_headers_are_such() {
        for bad in ["book.example", "/path", "ftp://a", "https://a/?b=c"] {
            assert!(http_url(bad).is_err(), "{bad}");
        }
        for bad in ["Authorization", ": x", "a b: c", "a: b\nc"] {
            assert!(bad.parse::<HeaderFlag>().is_err(), "{bad}");
        }
    }
}
