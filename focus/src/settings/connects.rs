//! Where bridges give audio to for transcription and translation.

use std::str::FromStr;
use std::time::Duration;

use jitsi_protocol::colibri2::{ConnectPing, HttpHeader};

/// A service that bridges connect to (`transcription`, `translation`).
#[derive(Clone, Debug)]
pub struct ConnectSettings {
    /// `wss://…` with `{{MEETING_ID}}` and perhaps `{{REGION}}` in it, the region of the bridge (`url-template`). `None`: there
    /// is no such service.
    pub url_template: Option<String>,
    /// Sent with the request that opens a WebSocket (`http-headers`).
    pub http_headers: Vec<HttpHeader>,
    /// How bridges find out that the service hangs (`ping`); `None` where they do not.
    pub ping: Option<ConnectPing>,
}

impl Default for ConnectSettings {
    fn default() -> Self {
        let ping = ConnectPing { interval: Duration::from_secs(10), timeout: Duration::from_secs(3) };
        Self { url_template: None, http_headers: Vec::new(), ping: Some(ping) }
    }
}

/// Live translation (`translation`).
#[derive(Clone, Debug)]
pub struct TranslationSettings {
    /// The service.
    pub connect: ConnectSettings,
    /// Which bridges connect to it (`mode`).
    pub mode: TranslationMode,
    /// Languages that one WebSocket of a speaker carries at most (`max-languages-per-connect`); not 0.
    pub max_languages_per_connect: usize,
}

impl Default for TranslationSettings {
    fn default() -> Self {
        Self { connect: ConnectSettings::default(), mode: TranslationMode::default(), max_languages_per_connect: 5 }
    }
}

/// Which bridges connect to a translator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TranslationMode {
    /// Each speaker's own, with WebSockets for each.
    #[default]
    PerSource,
    /// One of the conference, with one for all.
    SingleBridge,
}

/// A name that is no mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is neither per-source nor single-bridge")]
pub struct UnknownMode;

impl FromStr for TranslationMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "per-source" => Ok(Self::PerSource),
            "single-bridge" => Ok(Self::SingleBridge),
            _ => Err(UnknownMode),
        }
    }
}
