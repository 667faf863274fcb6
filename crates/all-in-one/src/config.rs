//! `teranga config`: what the server is told to do and who says so, and whether it can be done. Secrets are never shown.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::process::ExitCode;

use auth::AuthType;
use clap::{Arg, ArgMatches, Args, Subcommand};
use web::EnvFile;

use crate::cli::{self, Arguments, Command, Options, Stop};
use crate::serve::Services;
use crate::users::say;

/// What stands for a secret.
const MASK: &str = "********";
/// Fewer bytes of a secret that signs tokens can be guessed (RFC 7518 §3.2).
const SECRET_BYTES: usize = 32;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print what the environment and the file of variables say, each with where it is said. Secrets are masked.
    Show(ShowFlags),
    /// Say what is wrong with it or unwise, and exit with 1 when the server would not start.
    Check,
}

#[derive(Debug, Args)]
pub(crate) struct ShowFlags {
    /// Defaults too, and what it comes to for the directory, by the names of saslauthd.
    #[arg(long)]
    effective: bool,
}

pub(crate) fn run(command: &ConfigCommand) -> ExitCode {
    let result = match command {
        ConfigCommand::Show(flags) => show(flags),
        ConfigCommand::Check => check(),
    };
    result.unwrap_or_else(|Stop { text, exit_code }| {
        eprintln!("{text}");
        ExitCode::from(exit_code)
    })
}

/// What 'teranga serve' would be told here: the file of variables beside it.
fn file() -> Result<EnvFile, Stop> {
    cli::env_file(&std::env::args_os().collect::<Vec<_>>())
}

fn words_of_serve() -> [OsString; 2] {
    ["teranga", "serve"].map(OsString::from)
}

fn options(file: &EnvFile) -> Result<Options, Stop> {
    let read: Result<Arguments, _> = web::read_options_with(words_of_serve(), file);
    let Command::Serve(options) = read.map_err(|error| cli::stop(&error, file))?.command else {
        return Err(Stop::line("nothing is served"));
    };
    Ok(*options)
}

fn show(flags: &ShowFlags) -> Result<ExitCode, Stop> {
    let file = file()?;
    // What is wrong is told without secrets, and ends here.
    let options = options(&file)?;
    let mut command = web::command::<Arguments>(&file);
    let matches = command.try_get_matches_from_mut(words_of_serve()).map_err(|error| cli::stop(&error, &file))?;
    let (Some(serve), Some(matches)) = (command.find_subcommand("serve"), matches.subcommand_matches("serve")) else {
        return Ok(ExitCode::FAILURE);
    };
    // Without the file, so that each option still knows the variable that it is set by.
    let named = web::command::<Arguments>(&EnvFile::default());
    let names = named.find_subcommand("serve");
    let mut text = String::new();
    for arg in serve.get_arguments() {
        let known = names.and_then(|serve| serve.get_arguments().find(|known| known.get_id() == arg.get_id()));
        if let Some(line) = known.and_then(|known| line_of(known, matches, &file, flags.effective)) {
            text.push_str(&line);
        }
    }
    if flags.effective && options.auth.login_types().is_some_and(|types| types.has(AuthType::Ldap)) {
        let shown =
            options.auth.ldap.shown().map_err(|error| Stop::line(format!("{:#}", anyhow::Error::from(error))))?;
        for (name, value, origin) in shown {
            let value = if name.contains("bind_pw") || name.contains("password") { MASK } else { value.as_str() };
            text.push_str(&format!("{name}: {value}  # {origin}\n"));
        }
    }
    say(&text);
    Ok(ExitCode::SUCCESS)
}

/// `NAME=value  # where it is said`; `None` for what nobody said.
fn line_of(arg: &Arg, matches: &ArgMatches, file: &EnvFile, with_defaults: bool) -> Option<String> {
    let name = arg.get_env()?.to_string_lossy().into_owned();
    let origin = web::origin_of(arg, matches, file)?;
    if origin == "default" && !with_defaults {
        return None;
    }
    let values = matches.get_raw(arg.get_id().as_str())?;
    let value = if arg.is_hide_env_values_set() {
        MASK.to_owned()
    } else {
        values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(",")
    };
    Some(format!("{name}={value}  # {origin}\n"))
}

fn check() -> Result<ExitCode, Stop> {
    let file = file()?;
    let options = options(&file)?;
    // What the parts themselves have to say.
    let _ = observability::init_logging("warn", observability::LogFormat::Text);
    let mut warnings = unknown(&file);
    warnings.extend(open_secret(&file));
    warnings.extend(unwise(&options));
    let mut errors = Vec::new();
    match Services::of(&options) {
        Ok(services) => errors.extend(impossible(&services)),
        Err(error) => errors.push(format!("{error:#}")),
    }
    if let Err(error) = options.auth.directory() {
        errors.push(format!("{:#}", anyhow::Error::from(error)));
    }
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    for error in &errors {
        eprintln!("error: {error}");
    }
    if errors.is_empty() {
        say("The server would start with this.\n");
    }
    Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Lines of the file that mean nothing to any command.
fn unknown(file: &EnvFile) -> Vec<String> {
    let command = web::command::<Arguments>(&EnvFile::default());
    let is_known = |name: &str| {
        let mut args = command.get_arguments().chain(command.get_subcommands().flat_map(clap::Command::get_arguments));
        args.any(|arg| arg.get_env().is_some_and(|env| env == name))
    };
    let unknown = file.names().filter(|name| !is_known(name));
    unknown.filter_map(|name| Some(format!("{}: {name} has no effect here", file.place_of(name)?))).collect()
}

/// A file with a secret is for its owner to read.
fn open_secret(file: &EnvFile) -> Option<String> {
    let mode = std::fs::metadata(file.path()).ok()?.permissions().mode();
    let command = web::command::<Arguments>(&EnvFile::default());
    let mut args =
        command.get_subcommands().flat_map(clap::Command::get_arguments).filter(|arg| arg.is_hide_env_values_set());
    let is_said =
        |arg: &Arg| arg.get_env().and_then(|name| file.get(name.to_str()?)).is_some_and(|value| !value.is_empty());
    let path = file.path().display();
    (mode & 0o007 != 0 && args.any(is_said))
        .then(|| format!("{path} has secrets, and everybody can read it (chmod 600 {path})"))
}

/// What can be done, and is better done in another way.
fn unwise(options: &Options) -> Vec<String> {
    let mut warnings = Vec::new();
    let auth = &options.auth;
    if auth.enable_guests && !auth.enable_auth {
        warnings.push("ENABLE_GUESTS has no effect without ENABLE_AUTH".to_owned());
    }
    let types = auth.login_types();
    let secret = auth.tokens.jwt_app_secret.as_deref().filter(|_| types.is_some_and(|types| types.has(AuthType::Jwt)));
    if secret.is_some_and(|secret| secret.len() < SECRET_BYTES) {
        warnings.push(format!("JWT_APP_SECRET has less than {SECRET_BYTES} bytes: who sees one token can guess it"));
    }
    let uses_tls = auth.ldap.ldap_use_tls.as_deref().filter(|value| !value.is_empty());
    if types.is_some_and(|types| types.has(AuthType::Ldap)) && uses_tls.is_some() {
        warnings.push("LDAP_USE_TLS has no effect: ldaps:// or LDAP_START_TLS=1 is what turns TLS on".to_owned());
    }
    warnings
}

/// What starts, and then lets nobody in.
fn impossible(services: &Services) -> Option<String> {
    let signaling = &services.signaling;
    let lobby = &signaling.conference.lobby;
    let nobody_shows_anything = matches!(signaling.client_login, signaling::ClientLogin::Anonymous);
    let nobody_walks_past = nobody_shows_anything && lobby.whitelist.is_empty();
    (lobby.autostart && nobody_walks_past).then(|| {
        "each room starts with a lobby, and nobody walks past it: all would wait for ever (set AUTH_TYPE, or TERANGA_LOBBY_WHITELIST)"
            .to_owned()
    })
}
