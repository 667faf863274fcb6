//! A service that opens the rooms before anybody comes, where no focus does: one session a room, on a thread of their own.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::sleep_until;
use tokio_tungstenite::tungstenite::Message;

use super::connect::{failure_of, open_web_socket};
use crate::load::measure::FailureCause;
use crate::load::participant::{Failure, Purpose, Signaling, SignalingEvent, SignalingSettings};
use crate::load::scenario::{Login, Scenario, Target};

/// The nick of who opens a room, as that of a focus: servers hold participants back until it is there.
const NICK: &str = "focus";
/// How long all rooms may take.
const OPENING_TIME: Duration = Duration::from_secs(60);

/// Holds the rooms open until it is stopped.
pub(super) struct Opener {
    stop: watch::Sender<bool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Opener {
    /// Answers when all rooms are open.
    pub(super) fn start(
        scenario: &Scenario,
        target: &Target,
        login: &Login,
        tls: &Arc<rustls::ClientConfig>,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let (opened_sender, mut opened) = mpsc::unbounded_channel();
        let rooms: Vec<Room> = (0..scenario.rooms)
            .map(|room| {
                let name = format!("{}-{room}", scenario.room_prefix);
                let settings = settings(target, login, &name)?;
                let (tls, opened, stopped) = (Arc::clone(tls), opened_sender.clone(), stopped.clone());
                Ok(Room { url: target.websocket_of(&name), settings, tls, opened, stopped })
            })
            .collect::<Result<_, Failure>>()?;
        drop(opened_sender);
        let thread = thread::Builder::new().name("opener".to_owned()).spawn(move || hold(rooms))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let all = async {
                for _ in 0..scenario.rooms {
                    match opened.recv().await {
                        Some(result) => result?,
                        None => anyhow::bail!("the opener of rooms is gone"),
                    }
                }
                Ok(())
            };
            tokio::time::timeout(OPENING_TIME, all).await.context("the rooms do not open in time")?
        })?;
        Ok(Self { stop, thread })
    }

    /// Lets go of the rooms.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        self.thread.join().map_err(|_| anyhow::anyhow!("the opener of rooms panicked"))?
    }
}

/// A room that is held open.
struct Room {
    url: String,
    settings: SignalingSettings,
    tls: Arc<rustls::ClientConfig>,
    /// Told once: that it is open, or why not.
    opened: mpsc::UnboundedSender<Result<(), Failure>>,
    stopped: watch::Receiver<bool>,
}

fn settings(target: &Target, login: &Login, room: &str) -> Result<SignalingSettings, Failure> {
    let address = format!("{room}@{}", target.muc);
    Ok(SignalingSettings {
        domain: login.domain.clone(),
        focus: target.focus.clone(),
        room: address.parse().map_err(|_| Failure::new(FailureCause::Local, format!("{address} is no room")))?,
        account: Some((login.username.clone(), login.password.clone())),
        token: None,
        display_name: NICK.to_owned(),
        nick_of_account: NICK.to_owned(),
        purpose: Purpose::Attend,
        ssrc_rewriting: false,
        region: None,
        source_info: "{}".to_owned(),
    })
}

fn hold(rooms: Vec<Room>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let holding = rooms.into_iter().map(|room| tokio::task::spawn_local(room.hold())).collect::<Vec<_>>();
        for room in holding {
            room.await.context("an opener of a room panicked")?;
        }
        Ok(())
    })
}

impl Room {
    async fn hold(mut self) {
        // One that cannot be opened or held is told once; the participants notice the rest themselves.
        if let Err(failure) = self.attend().await {
            drop(self.opened.send(Err(failure)));
        }
    }

    async fn attend(&mut self) -> Result<(), Failure> {
        let mut socket = open_web_socket(&self.url, Some("xmpp"), Arc::clone(&self.tls)).await?;
        let mut signaling = Signaling::new(self.settings.clone(), Instant::now());
        let mut stopped = self.stopped.clone();
        let mut is_over = false;
        loop {
            while let Some(event) = signaling.poll_event() {
                if matches!(event, SignalingEvent::Joined { .. }) {
                    // Nobody listens any more when the run broke off.
                    drop(self.opened.send(Ok(())));
                }
            }
            while let Some(frame) = signaling.poll_frame() {
                socket.feed(Message::text(frame)).await.map_err(|error| failure_of(&error, &self.url))?;
            }
            socket.flush().await.map_err(|error| failure_of(&error, &self.url))?;
            if is_over {
                return Ok(());
            }
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => signaling.handle_frame(Instant::now(), text.as_str())?,
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_) | Message::Binary(_))) => {}
                    Some(Ok(Message::Close(_))) | None => {
                        return Err(Failure::new(FailureCause::ConnectionLost, "the opener's connection broke"));
                    }
                    Some(Err(error)) => return Err(failure_of(&error, &self.url)),
                },
                () = sleep_until(signaling.poll_timeout().into()) => signaling.handle_timeout(Instant::now())?,
                _ = stopped.wait_for(|stopped| *stopped) => {
                    signaling.leave();
                    is_over = true;
                }
            }
        }
    }
}
