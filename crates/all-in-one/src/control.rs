//! How an operator's commands reach the running server: HTTP over a socket in the state directory, which its owner alone can open.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use clap::Subcommand;
use tokio::net::UnixListener;

use crate::serve::Reload;
use crate::state::ServerPlace;
use crate::users::say;

/// How long a command waits for the server.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer that is read, in bytes: 10,000 rooms have 1 MB.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(crate) enum RoomCommand {
    /// Print the rooms that are open, one a line, each with how many are in it.
    List(ServerPlace),
}

/// Takes commands until the server ends.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn serve(socket: &Path, signaling: signaling::Handle, reload: Reload) -> std::io::Result<()> {
    // Of a server that was killed.
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    let rooms = async move || {
        let census = signaling.rooms().await.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        Ok::<_, StatusCode>(census.iter().map(|(room, count)| format!("{room} {count}\n")).collect::<String>())
    };
    let reload = async move || match reload.run().await {
        Ok(told) => (StatusCode::OK, told),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}")),
    };
    let router = Router::new().route("/rooms", get(rooms)).route("/reload", post(reload));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "commands are not heard any more");
        }
    });
    Ok(())
}

pub(crate) fn run_room(RoomCommand::List(place): &RoomCommand) -> anyhow::Result<()> {
    say(&ask(place, "GET", "/rooms")?);
    Ok(())
}

pub(crate) fn run_reload(place: &ServerPlace) -> anyhow::Result<()> {
    say(&ask(place, "POST", "/reload")?);
    Ok(())
}

/// What the running server answers.
fn ask(place: &ServerPlace, method: &str, path: &str) -> anyhow::Result<String> {
    let socket = place.control_socket()?;
    let mut stream = UnixStream::connect(&socket).with_context(|| {
        format!("no server listens at {} (is it running, with this --state-dir?)", socket.display())
    })?;
    stream.set_read_timeout(Some(PATIENCE)).context("cannot wait for the server")?;
    write!(stream, "{method} {path} HTTP/1.0\r\nContent-Length: 0\r\n\r\n").context("cannot ask the server")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer).context("the server does not answer")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the server answers something else")?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("{}", if body.is_empty() { head.lines().next().unwrap_or_default() } else { body.trim_end() });
    }
    Ok(body.to_owned())
}
