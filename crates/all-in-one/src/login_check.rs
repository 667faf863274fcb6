//! `teranga ldap search`, `teranga auth test`, and the name `testsaslauthd`: what a server would say to a login, told to an operator.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use accounts::Store;
use anyhow::Context;
use auth::{AuthType, AuthTypes};
use clap::{Args, Parser, Subcommand};
use signaling::LdapFlags;
use web::EnvFile;

use crate::password::{Ask, PasswordFlags};
use crate::users::Place;

/// Entries that a search prints at most.
const MAX_ENTRIES: usize = 100_000;

#[derive(Debug, Subcommand)]
pub(crate) enum LdapCommand {
    /// Print the entries that could log in, and how many. Exits with 3 when the base is wrong, 4 when the password of the bind DN is, 5
    /// when the name of the server is, 6 when TLS fails, 7 when nobody answers.
    Search {
        #[command(flatten)]
        ldap: LdapFlags,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Try a name and a password as a login would, with the answer of testsaslauthd.
    Test(TestFlags),
}

#[derive(Debug, Args)]
pub(crate) struct TestFlags {
    /// The name.
    #[arg(short, long, value_name = "NAME")]
    user: String,
    /// The XMPP domain, %r of the filter.
    #[arg(short, long, value_name = "DOMAIN")]
    realm: Option<String>,
    /// Of no effect: logins are for xmpp.
    #[arg(short = 's', long = "service", value_name = "NAME")]
    _service: Option<String>,
    /// Of no effect: there is no saslauthd.
    #[arg(short = 'f', long = "socket", value_name = "FILE")]
    _socket: Option<String>,
    #[command(flatten)]
    password: PasswordFlags,
    /// How people log in, one way or several, separated by commas: internal, ldap.
    #[arg(long, env = "AUTH_TYPE", default_value = "internal", value_name = "TYPES")]
    auth_type: AuthTypes,
    /// File of the accounts of this server [default: accounts.sqlite in the state directory].
    #[arg(long, env = "TERANGA_ACCOUNTS", value_name = "FILE")]
    accounts_file: Option<PathBuf>,
    #[command(flatten)]
    ldap: LdapFlags,
    #[arg(long, env = "TERANGA_STATE_DIR", value_name = "DIR", hide = true)]
    state_dir: Option<PathBuf>,
    #[arg(long, env = "TERANGA_DOMAIN", default_value = "meet.jitsi", value_name = "DOMAIN", hide = true)]
    domain: String,
}

#[derive(Debug, Parser)]
#[command(name = "testsaslauthd", about = "Try a name and a password as a login would")]
struct TestSaslauthd {
    #[command(flatten)]
    flags: TestFlags,
}

pub(crate) fn run_testsaslauthd(arguments: impl IntoIterator<Item = OsString>, file: &EnvFile) -> ExitCode {
    let read: Result<TestSaslauthd, _> = web::read_options_with(arguments, file);
    test(&read.unwrap_or_else(|error| error.exit()).flags)
}

pub(crate) fn run_auth(AuthCommand::Test(flags): &AuthCommand) -> ExitCode {
    test(flags)
}

fn test(flags: &TestFlags) -> ExitCode {
    match is_right(flags) {
        Ok(true) => {
            println!("0: OK \"Success.\"");
            ExitCode::SUCCESS
        }
        Ok(false) => refused(),
        Err(error) => {
            eprintln!("teranga: {error:#}");
            refused()
        }
    }
}

fn refused() -> ExitCode {
    println!("0: NO \"authentication failed\"");
    ExitCode::FAILURE
}

fn is_right(flags: &TestFlags) -> anyhow::Result<bool> {
    let password = flags.password.read(Ask::Once)?;
    let realm = flags.realm.as_deref().unwrap_or(&flags.domain);
    if flags.auth_type.has(AuthType::Ldap) || flags.ldap.names_a_server() {
        let directory = flags.ldap.directory()?;
        let password = ldap::Password::new(password);
        let answer = runtime()?.block_on(directory.authenticate(&flags.user, &password, realm));
        return match answer {
            Ok(_) => Ok(true),
            Err(ldap::Error::Refused(_)) => Ok(false),
            Err(error) => Err(error.into()),
        };
    }
    let place = Place {
        state_dir: flags.state_dir.clone(),
        accounts_file: flags.accounts_file.clone(),
        domain: realm.to_owned(),
    };
    let found = Store::open(&place.file()?)?.credentials(&place.jid(&flags.user)?)?;
    Ok(found.is_some_and(|credentials| credentials.fits(&password)))
}

pub(crate) fn run_ldap(LdapCommand::Search { ldap }: &LdapCommand) -> ExitCode {
    match search(ldap) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("teranga: {error:#}");
            ExitCode::from(error.downcast_ref().map_or(1, exit_code))
        }
    }
}

fn search(ldap: &LdapFlags) -> anyhow::Result<()> {
    let directory = ldap.directory()?;
    let entries = runtime()?.block_on(directory.list(MAX_ENTRIES))?;
    let mut text: String = entries.iter().map(|entry| format!("{}\n", entry.dn)).collect();
    let base = directory.settings().base.as_str();
    text.push_str(&format!("{} users under {base}\n", entries.len()));
    // Whoever read it may be gone, such as `head`.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others say that no answer came")]
fn exit_code(error: &ldap::Error) -> u8 {
    match error {
        ldap::Error::NoSuchBase { .. } => 3,
        ldap::Error::ServiceBindRefused { .. } => 4,
        ldap::Error::UnknownHost { .. } => 5,
        ldap::Error::Tls { .. } | ldap::Error::StartTlsRefused { .. } => 6,
        ldap::Error::Connect { .. } | ldap::Error::Timeout { .. } | ldap::Error::Unavailable { .. } => 7,
        _ => 1,
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start threads")
}
