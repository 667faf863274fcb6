//! The command line.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use web::EnvFile;

use crate::config::ConfigCommand;
use crate::control::RoomCommand;
use crate::login_check::{AuthCommand, LdapCommand};
use crate::state::{self, ENV_FILE, ServerPlace};
use crate::tokens::TokenCommand;
use crate::users::UserCommand;

/// Jitsi-compatible video conferences from one binary.
#[derive(Debug, Parser)]
#[command(name = "teranga", version, about)]
pub(crate) struct Arguments {
    /// File of variables, NAME=value on each line as in docker's .env; they come before those of the environment [default:
    /// teranga.env in the state directory, if it is there].
    #[arg(long, global = true, env = "TERANGA_ENV_FILE", value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
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
    /// Rooms of the running server.
    #[command(subcommand)]
    Room(RoomCommand),
    /// What this server is told to do.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Have the running server read the files of its settings again. What concerns the directory (LDAP) counts from then on, and
    /// no meeting is interrupted; of the rest it is said that it takes a restart.
    Reload(ServerPlace),
    /// Turn the configuration of a stock Prosody, Jicofo or bridge into variables for our programs.
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
    pub(crate) visitors: signaling::VisitorFlags,
    #[command(flatten)]
    pub(crate) visitor_placement: focus::VisitorPlacementFlags,
    #[command(flatten)]
    pub(crate) auth: signaling::AuthFlags,
    /// How long a login with a password serves without being used.
    #[arg(long, env = "JICOFO_AUTH_LIFETIME", default_value = "24 hours", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub(crate) auth_lifetime: Duration,
    /// Whether a login serves for further meetings, too; else it ends with the one that it opened.
    #[arg(long, env = "ENABLE_AUTO_LOGIN", default_value_t = true, action = ArgAction::Set, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub(crate) enable_auto_login: bool,
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

impl Stop {
    /// One line that says what is wrong.
    pub(crate) fn line(text: impl std::fmt::Display) -> Self {
        Self { text: format!("teranga: {text}"), exit_code: 2 }
    }
}

pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, Stop> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let file = env_file(&arguments)?;
    web::read_options_with(arguments, &file).map_err(|error| stop(&error, &file))
}

/// The file of variables that these arguments name, or that is in its usual place.
pub(crate) fn env_file(arguments: &[OsString]) -> Result<EnvFile, Stop> {
    let mut words = arguments.iter().map(|word| word.to_string_lossy()).take_while(|word| word != "--");
    let mut named = None;
    while let Some(word) = words.next() {
        if word == "--env-file" {
            named = words.next().map(|path| PathBuf::from(path.as_ref()));
        } else if let Some(path) = word.strip_prefix("--env-file=") {
            named = Some(PathBuf::from(path));
        }
    }
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let usual = || {
        let dir = state::directory(variable("TERANGA_STATE_DIR").as_deref()).ok()?;
        Some(dir.join(ENV_FILE)).filter(|path| path.exists())
    };
    let Some(path) = named.or_else(|| variable("TERANGA_ENV_FILE")).or_else(usual) else {
        return Ok(EnvFile::default());
    };
    EnvFile::read(&path).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Stop::line(format!("{error}{cause}"))
    })
}

/// clap explains an error over several lines; an operator's log wants one. It begins with where a wrong value stands.
#[expect(clippy::wildcard_enum_match_arm, reason = "clap's error kinds are open-ended")]
pub(crate) fn stop(error: &clap::Error, file: &EnvFile) -> Stop {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop { text: error.render().to_string(), exit_code: 0 },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Stop::line("no command given (run 'teranga serve', or 'teranga --help')")
        }
        kind => {
            let rendered = error.render().to_string();
            let mut first = rendered.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let place = match error.get(ContextKind::InvalidArg) {
                // Below the first line, one a line.
                Some(ContextValue::Strings(missing)) if kind == ErrorKind::MissingRequiredArgument => {
                    first.push_str(&format!(" {}", missing.join(", ")));
                    None
                }
                Some(ContextValue::String(arg)) => place_of(arg, file),
                _ => None,
            };
            let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
            let suggestion = match error.get(ContextKind::SuggestedArg) {
                Some(ContextValue::String(arg)) => format!("did you mean '{arg}'? "),
                _ => String::new(),
            };
            Stop::line(format!("{place}{first} ({suggestion}see '{} --help')", command_of(&rendered)))
        }
    }
}

/// Where the value of an option, as clap names it, was said: in which line of the file, or in which variable.
fn place_of(arg: &str, file: &EnvFile) -> Option<String> {
    let long = arg.split([' ', '=']).next()?.strip_prefix("--")?.to_owned();
    let command = Arguments::command();
    let mut args = command.get_subcommands().flat_map(clap::Command::get_arguments);
    let name = args.find(|arg| arg.get_long() == Some(&long))?.get_env()?.to_string_lossy().into_owned();
    if let Some(place) = file.place_of(&name) {
        return Some(format!("{place}: {name}"));
    }
    // What was typed needs no place.
    let is_typed = std::env::args().any(|word| word.strip_prefix("--").is_some_and(|word| word.starts_with(&long)));
    (std::env::var_os(&name).is_some() && !is_typed).then(|| format!("the variable {name}"))
}

/// The command whose usage an error shows.
fn command_of(rendered: &str) -> String {
    let usage = rendered.lines().find_map(|line| line.trim().strip_prefix("Usage: ")).unwrap_or_default();
    let words: Vec<&str> = usage.split(' ').take_while(|word| !word.starts_with(['-', '[', '<'])).collect();
    if words.len() > 1 { words.join(" ") } else { "teranga serve".to_owned() }
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
        let missing = parse_words("teranga token create --room r").unwrap_err().text;
        for name in ["--app-id", "--app-secret", "teranga token create --help"] {
            assert!(missing.contains(name), "{missing}");
        }
        assert!(parse_words("teranga serve --htps-port 1").unwrap_err().text.contains("--https-port"));
    }

    #[test]
    fn a_bad_value_is_told_with_its_line_of_the_file() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), "ENABLE_AUTH=1\nAUTH_TYPE=kerberos\n").unwrap();
        let name = path.path().display().to_string();
        let words = format!("teranga serve --env-file {name}");
        let stop = parse_words(&words).unwrap_err().text;
        assert!(stop.starts_with(&format!("teranga: {name}:2: AUTH_TYPE: ")) && stop.contains("kerberos"), "{stop}");
        std::fs::write(path.path(), "ENABLE_AUTH=1\nAUTH_TYPE=ldap\nMAX_PARTICIPANTS=\n").unwrap();
        let options = serve(&format!("teranga --env-file={name} serve"));
        assert!(options.auth.enable_auth && options.auth.auth_type.has(auth::AuthType::Ldap));
        std::fs::write(path.path(), "ENABLE_AUTH 1\n").unwrap();
        assert!(parse_words(&words).unwrap_err().text.starts_with(&format!("teranga: {name}:1: ")));
    }

    #[test]
    fn help_is_no_error() {
        assert_eq!(parse_words("teranga serve --help").unwrap_err().exit_code, 0);
    }
}
