//! The command line.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::login_check::{AuthCommand, LdapCommand};
use crate::tokens::TokenCommand;
use crate::users::UserCommand;

/// Jitsi-compatible video conferences from one binary.
#[derive(Debug, Parser)]
#[command(name = "teranga", version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run signaling, focus, bridge and web server. Needs no configuration.
    Serve(Box<Options>),
    /// List the bridges that a running focus has, with load, region, version and state.
    Bridges(crate::bridges::Options),
    /// Accounts of this server: people log in with them where AUTH_TYPE is internal.
    #[command(subcommand)]
    User(UserCommand),
    /// The LDAP directory.
    #[command(subcommand)]
    Ldap(Box<LdapCommand>),
    /// Tokens that let their bearers in.
    #[command(subcommand)]
    Token(Box<TokenCommand>),
    /// Logins.
    #[command(subcommand)]
    Auth(Box<AuthCommand>),
    /// Turn the configuration of a stock Jicofo or bridge into variables for teranga-focus or teranga-bridge.
    Import(crate::import::Options),
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the certificate and other state are kept [default: $XDG_STATE_HOME/teranga or ~/.local/state/teranga].
    #[arg(long, env = "TERANGA_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Address on which everything listens.
    #[arg(long, env = "TERANGA_ADDRESS", default_value = "::", value_name = "IP")]
    pub(crate) address: IpAddr,
    /// TCP port of https and secure WebSockets.
    #[arg(long, env = "TERANGA_HTTPS_PORT", default_value_t = 8443, value_name = "PORT")]
    pub(crate) https_port: u16,
    /// TCP port of http.
    #[arg(long, env = "TERANGA_HTTP_PORT", default_value_t = 8000, value_name = "PORT")]
    pub(crate) http_port: u16,
    /// UDP and TCP port of TURN and STUN, for clients that reach the media port in no other way; TURN over TLS is on the
    /// https port. 0 switches TURN off.
    #[arg(long, env = "TERANGA_TURN_PORT", default_value_t = 3478, value_name = "PORT")]
    pub(crate) turn_port: u16,
    /// Server name (SNI) under which TLS on the https port is always TURN. It is told from https without, too.
    #[arg(long, env = "TERANGA_TURN_NAME", value_name = "NAME")]
    pub(crate) turn_name: Option<String>,
    /// Network that TURN relays may reach besides this server's media port, such as those of other bridges; may be
    /// repeated. Addresses of reserved ranges have to be named one by one.
    #[arg(long, env = "TERANGA_TURN_ALLOW", value_delimiter = ',', value_name = "NETWORK")]
    pub(crate) turn_allow: Vec<turn::Network>,
    /// URL under which clients reach this server, https://host:port. Turns bridge channels over WebSocket on.
    #[arg(long, env = "TERANGA_PUBLIC_URL", value_name = "URL", value_parser = parse_public_url)]
    pub(crate) public_url: Option<String>,
    /// XMPP domain; clients learn it from config.js.
    #[arg(long, env = "TERANGA_DOMAIN", default_value = "meet.jitsi", value_name = "DOMAIN")]
    pub(crate) domain: String,
    /// Lets focus and bridge binaries of other hosts log in over /xmpp-websocket with this password.
    #[arg(long, env = "TERANGA_SERVICE_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub(crate) service_secret: Option<String>,
    /// Serve /metrics, /about, /colibri and /debug of the bridge and, below /focus, what operators ask of the focus here, in plain
    /// http; keep it private.
    #[arg(long, env = "TERANGA_ADMIN", value_name = "IP:PORT")]
    pub(crate) admin: Option<std::net::SocketAddr>,
    /// Lets /debug/capture of --admin write RTP and RTCP decrypted (plain=1): whoever reaches --admin can then listen to
    /// and watch every conference. Without it packet traces have media as on the wire, encrypted.
    #[arg(long, env = "TERANGA_ALLOW_PLAIN_CAPTURES", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) allow_plain_captures: bool,
    /// What is logged: a level, or module=level pairs separated by commas.
    #[arg(long, env = "TERANGA_LOG", default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,
    /// How log lines look.
    #[arg(long, env = "TERANGA_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    #[command(flatten)]
    pub(crate) xmpp: signaling::XmppFlags,
    #[command(flatten)]
    pub(crate) rooms: signaling::RoomFlags,
    #[command(flatten)]
    pub(crate) auth: signaling::AuthFlags,
    /// How long a login with a password serves without being used.
    #[arg(long, env = "JICOFO_AUTH_LIFETIME", default_value = "24 hours", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) auth_lifetime: Duration,
    #[command(flatten)]
    pub(crate) api: signaling::ApiFlags,
    #[command(flatten)]
    pub(crate) conferences: focus::ConferenceFlags,
    #[command(flatten)]
    pub(crate) media: bridge::MediaFlags,
    #[command(flatten)]
    pub(crate) bridge: bridge::ControlFlags,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

pub(crate) fn parse_public_url(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    let host = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '"', '\'', ' ', '<']) => {
            Ok(trimmed.to_owned())
        }
        _ => Err("is not of the form https://host[:port]".to_owned()),
    }
}

/// Why nothing is run: help that was asked for, or one line that says what is wrong.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) text: String,
    pub(crate) exit_code: u8,
}

pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, Stop> {
    web::read_options(arguments).map_err(|error| stop(&error))
}

/// clap explains an error over several lines; an operator's log wants one.
#[expect(clippy::wildcard_enum_match_arm, reason = "clap's error kinds are open-ended")]
fn stop(error: &clap::Error) -> Stop {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop { text: error.render().to_string(), exit_code: 0 },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Stop {
            text: "teranga: no command given (run 'teranga serve', or 'teranga --help')".to_owned(),
            exit_code: 2,
        },
        _ => {
            let rendered = error.render().to_string();
            let first = rendered.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let suggestion = match error.get(ContextKind::SuggestedArg) {
                Some(ContextValue::String(arg)) => format!("did you mean '{arg}'? "),
                _ => String::new(),
            };
            Stop { text: format!("teranga: {first} ({suggestion}see 'teranga serve --help')"), exit_code: 2 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &str) -> Result<Arguments, Stop> {
        parse(words.split_whitespace().map(OsString::from))
    }

    fn serve(words: &str) -> Options {
        let Command::Serve(options) = parse_words(words).unwrap().command else { panic!("{words} serves") };
        *options
    }

    #[test]
    fn serve_needs_nothing() {
        let options = serve("teranga serve");
        assert_eq!((options.https_port, options.http_port, options.media.media_port), (8443, 8000, 10_000));
        assert_eq!(options.turn_port, 3478);
    }

    #[test]
    fn plain_captures_are_allowed_by_name_only() {
        let options = serve("teranga serve");
        assert!(!options.allow_plain_captures);
        let options = serve("teranga serve --allow-plain-captures");
        assert!(options.allow_plain_captures);
    }

    #[test]
    fn a_bad_flag_is_one_line_with_the_next_step() {
        for words in [
            "teranga serve --htps-port 1",
            "teranga serve --https-port x",
            "teranga serve --https-port 70000",
            "teranga serve --public-url meet.example",
            "teranga serve --turn-allow 10.0.0.0/33",
            "teranga serve --component gate.example",
            "teranga serve --trusted-proxy 10.0.0.0/99",
            "teranga serve --xmpp-tls perhaps",
            "teranga serve --enable-lobby perhaps",
            "teranga serve --api-system-secret hush",
            "teranga serve --media-address nowhere",
            "teranga serve --media-allow 10.0.0.0/99",
            "teranga serve --media-stun-server a:b:c",
            "teranga serve --media-threads 0",
            "teranga serve --media-cloud abacus",
            "teranga serve --auth-type kerberos",
            "teranga serve --enable-auth perhaps",
            "teranga frobnicate",
            "teranga",
        ] {
            let stop = parse_words(words).unwrap_err();
            assert_eq!(stop.exit_code, 2, "{words}");
            assert_eq!(stop.text.lines().count(), 1, "{words}: {}", stop.text);
            assert!(stop.text.contains("teranga serve"), "{words}: {}", stop.text);
        }
        assert!(parse_words("teranga serve --htps-port 1").unwrap_err().text.contains("--https-port"));
    }

    #[test]
    fn help_is_no_error() {
        assert_eq!(parse_words("teranga serve --help").unwrap_err().exit_code, 0);
    }
}
