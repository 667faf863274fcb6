//! What an operator says about transcription and translation, under the names of docker-jitsi-meet where it has one.

use std::time::Duration;

use clap::ArgAction;
use clap::builder::BoolishValueParser;
use jitsi_protocol::colibri2::{Connect, ConnectPing, HttpHeader};

use super::parse_time;
use crate::settings::{ConnectSettings, Settings, TranslationMode, TranslationSettings};

/// Services that bridges give the audio of conferences to.
#[derive(Clone, Debug, clap::Args)]
pub struct ConnectFlags {
    /// WebSocket of a service that writes down what is said, where the metadata of a room asks for it
    /// (wss://HOST/{{MEETING_ID}}; {{REGION}} is the region of the bridge that connects).
    #[arg(long, env = "TERANGA_TRANSCRIPTION_URL_TEMPLATE", value_name = "URL", value_parser = parse_template)]
    pub transcription_url_template: Option<String>,
    /// Headers for it, separated by commas.
    #[arg(long, env = "TERANGA_TRANSCRIPTION_HEADERS", value_delimiter = ',', value_name = "NAME=VALUE", value_parser = parse_header, hide_env_values = true)]
    pub transcription_headers: Vec<(String, String)>,
    /// Whether bridges ask it for signs of life.
    #[arg(long, env = "TERANGA_TRANSCRIPTION_PING", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub transcription_ping: bool,
    /// How often.
    #[arg(long, env = "TERANGA_TRANSCRIPTION_PING_INTERVAL", default_value = "10s", value_parser = parse_time, value_name = "TIME")]
    pub transcription_ping_interval: Duration,
    /// How long an answer may take.
    #[arg(long, env = "TERANGA_TRANSCRIPTION_PING_TIMEOUT", default_value = "3s", value_parser = parse_time, value_name = "TIME")]
    pub transcription_ping_timeout: Duration,
    /// WebSocket of a service that translates what is said, for participants who ask for it (as the one for transcription).
    #[arg(long, env = "JICOFO_TRANSLATION_URL_TEMPLATE", value_name = "URL", value_parser = parse_template)]
    pub translation_url_template: Option<String>,
    /// Headers for it, separated by commas.
    #[arg(long, env = "TERANGA_TRANSLATION_HEADERS", value_delimiter = ',', value_name = "NAME=VALUE", value_parser = parse_header, hide_env_values = true)]
    pub translation_headers: Vec<(String, String)>,
    /// The same for one behind Cloudflare Access: the id of a service token.
    #[arg(long, env = "JICOFO_TRANSLATION_CF_ACCESS_CLIENT_ID", value_name = "ID")]
    pub translation_cf_access_client_id: Option<String>,
    /// The secret of that token.
    #[arg(
        long,
        env = "JICOFO_TRANSLATION_CF_ACCESS_CLIENT_SECRET",
        value_name = "SECRET",
        hide_env_values = true,
        requires = "translation_cf_access_client_id"
    )]
    pub translation_cf_access_client_secret: Option<String>,
    /// Which bridges connect to it: per-source, that of each speaker, or single-bridge, one for all.
    #[arg(long, env = "TERANGA_TRANSLATION_MODE", default_value = "per-source", value_name = "MODE")]
    pub translation_mode: TranslationMode,
    /// Languages that one WebSocket of a speaker carries at most.
    #[arg(
        long, env = "TERANGA_TRANSLATION_MAX_LANGUAGES", default_value_t = 5, value_name = "NUMBER",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=64)
    )]
    pub translation_max_languages: usize,
    /// Whether bridges ask it for signs of life.
    #[arg(long, env = "TERANGA_TRANSLATION_PING", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub translation_ping: bool,
    /// How often.
    #[arg(long, env = "TERANGA_TRANSLATION_PING_INTERVAL", default_value = "10s", value_parser = parse_time, value_name = "TIME")]
    pub translation_ping_interval: Duration,
    /// How long an answer may take.
    #[arg(long, env = "TERANGA_TRANSLATION_PING_TIMEOUT", default_value = "3s", value_parser = parse_time, value_name = "TIME")]
    pub translation_ping_timeout: Duration,
}

impl ConnectFlags {
    pub(super) fn apply(&self, settings: &mut Settings) {
        let ping = |is_on: bool, interval, timeout| is_on.then_some(ConnectPing { interval, timeout });
        let header = |(name, value): &(String, String)| HttpHeader { name: name.clone(), value: value.clone() };
        settings.transcription = ConnectSettings {
            url_template: self.transcription_url_template.clone(),
            http_headers: self.transcription_headers.iter().map(header).collect(),
            ping: ping(self.transcription_ping, self.transcription_ping_interval, self.transcription_ping_timeout),
        };
        let access = [
            ("CF-Access-Client-Id", &self.translation_cf_access_client_id),
            ("CF-Access-Client-Secret", &self.translation_cf_access_client_secret),
        ];
        let access = access
            .into_iter()
            .filter_map(|(name, value)| Some(HttpHeader { name: name.to_owned(), value: value.clone()? }));
        settings.translation = TranslationSettings {
            connect: ConnectSettings {
                url_template: self.translation_url_template.clone(),
                http_headers: self.translation_headers.iter().map(header).chain(access).collect(),
                ping: ping(self.translation_ping, self.translation_ping_interval, self.translation_ping_timeout),
            },
            mode: self.translation_mode,
            max_languages_per_connect: self.translation_max_languages,
        };
    }
}

/// A meeting has to be told from others by its URL.
fn parse_template(text: &str) -> Result<String, String> {
    if !Connect::is_web_socket(text) {
        return Err("does not begin with ws:// or wss://".to_owned());
    }
    if !text.contains("{{MEETING_ID}}") {
        return Err("has no {{MEETING_ID}}, so that all meetings would be one".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| HttpHeader::is_name(name));
    parts.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "is not NAME=VALUE".to_owned())
}
