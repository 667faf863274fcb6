//! The name `prosodyctl`: what guides tell people to type, done to the accounts of this server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use web::EnvFile;

use crate::password::{Ask, ON_COMMAND_LINE, PasswordFlags};
use crate::state;
use crate::users::Place;

const USAGE: &str = "prosodyctl: this is teranga, which knows: adduser JID, register USER HOST PASSWORD, register JID, passwd JID, \
                     deluser JID, mod_listusers [HOST], status, check";
/// Options of prosodyctl with a value, which has no meaning here.
const WITH_VALUE: [&str; 2] = ["--config", "-c"];

pub(crate) fn run(words: &[String], file: &EnvFile) -> ExitCode {
    match command(words, &place(file)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("prosodyctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What the file of variables and the environment say; there are no options for it.
fn place(file: &EnvFile) -> Place {
    let variable = |name: &str| {
        let value = file.get(name).map_or_else(|| std::env::var_os(name), |value| Some(value.into()));
        value.filter(|value| !value.is_empty())
    };
    let domain = ["TERANGA_DOMAIN", "XMPP_DOMAIN"].into_iter().find_map(variable);
    Place {
        state_dir: variable("TERANGA_STATE_DIR").map(PathBuf::from),
        accounts_file: variable("TERANGA_ACCOUNTS").map(PathBuf::from),
        domain: domain.and_then(|domain| domain.into_string().ok()).unwrap_or_else(|| "meet.jitsi".to_owned()),
    }
}

fn command(words: &[String], place: &Place) -> anyhow::Result<ExitCode> {
    let mut plain = Vec::new();
    let mut rest = words.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        if WITH_VALUE.contains(&word) {
            rest.next();
        } else if !word.starts_with("--") {
            plain.push(word);
        }
    }
    match plain.as_slice() {
        ["adduser" | "register", name] => {
            let jid = place.jid(name)?;
            if place.has(&jid)? {
                return Err(accounts::Error::Exists(jid).into());
            }
            place.add(&jid, &PasswordFlags::default().read(Ask::Twice)?)?;
        }
        ["register", user, host, password] => {
            eprintln!("{ON_COMMAND_LINE}");
            if password.is_empty() {
                bail!("the password is empty");
            }
            place.add(&place.jid(&format!("{user}@{host}"))?, password)?;
        }
        ["passwd", name] => {
            let jid = place.jid(name)?;
            if !place.has(&jid)? {
                return Err(accounts::Error::NoSuchAccount(jid).into());
            }
            place.change(&jid, &PasswordFlags::default().read(Ask::Twice)?)?;
        }
        ["deluser", name] => place.delete(&place.jid(name)?)?,
        ["unregister", user, host] => place.delete(&place.jid(&format!("{user}@{host}"))?)?,
        ["mod_listusers"] => place.list(None)?,
        ["mod_listusers", host] => place.list(Some(host))?,
        ["status"] => match state::running(&state::directory(place.state_dir.as_deref())?) {
            Some(pid) => println!("Teranga is running with PID {pid}"),
            None => {
                println!("Teranga is not running");
                return Ok(ExitCode::FAILURE);
            }
        },
        ["check", ..] => {
            let accounts = place.file()?;
            let is_there = if accounts.exists() { "" } else { " (not there yet)" };
            println!("accounts: {}{is_there}", accounts.display());
            place.has(&place.jid("nobody")?)?;
            println!("All checks passed");
        }
        _ => bail!("{USAGE}"),
    }
    Ok(ExitCode::SUCCESS)
}
