//! One visit of a participant: from the WebSocket to the last packet.
//!
//! Here: the loop that drives it. What it is to its server is in `settings`, how they agree on media in `negotiation`, the
//! times of its join in `stages`, its sockets in `media` and `web_sockets`.

mod media;
mod negotiation;
mod settings;
mod stages;
mod web_sockets;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{sleep_until, timeout};

use self::media::{Media, readable};
use self::settings::{janus_settings, livekit_settings, nick_of, signaling_settings};
use self::stages::{Expected, Gauge, Stages};
use super::connect::{Socket, open_web_socket, peer_address};
use super::crew::{Berth, BerthState};
use super::socket::Moment;
use crate::load::measure::{FailureCause, Measurements, Phase, Stage};
use crate::load::media::Activity;
use crate::load::participant::{
    Conversation, Failure, Farewell, JanusSignaling, Leg, LiveKitSignaling, Playout, Signaling, livekit_token,
};
use crate::load::scenario::SignalingKind;

/// How long media may take to come from somebody who is there.
const MEDIA_TIMEOUT: Duration = Duration::from_secs(20);

/// Whoever has something else to do looks into its socket too, if that is due so soon.
const RECEIVE_EARLY: Duration = Duration::from_millis(8);

/// Why a visit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// The run is over.
    Over,
    /// It comes back.
    Away,
}

/// Joins, stays, leaves. `next_leave` is when churn has it leave next, by the steady part.
pub(super) async fn visit(
    berth: &Berth,
    index: usize,
    visit: u64,
    next_leave: &mut Option<Instant>,
) -> Result<Departure, Failure> {
    let mut gauge = Gauge::new(berth);
    let started = Instant::now();
    let (room, place) = berth.shared.timeline.place(index);
    let target = &berth.shared.target;
    let room_name = format!("{}-{room}", berth.shared.scenario.room_prefix);
    let url = match &target.api {
        Some((key, secret)) => {
            let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            let token = livekit_token(&nick_of(index), &room_name, key, secret, wall);
            format!("{}?protocol=16&auto_subscribe=1&access_token={token}", target.websocket)
        }
        None => target.websocket_of(&room_name),
    };
    let mut phase = berth.phase.clone();
    let opened = tokio::select! {
        opened = open_web_socket(&url, target.signaling.subprotocol(), Arc::clone(&berth.shared.tls)) => opened?,
        _ = phase.wait_for(|phase| *phase == Phase::Leaving) => return Ok(Departure::Over),
    };
    let now = Instant::now();
    let mut seed = SmallRng::seed_from_u64(berth.shared.scenario.seed ^ ((index as u64) << 20) ^ visit);
    let signaling = match target.signaling {
        SignalingKind::Jitsi => {
            let settings = signaling_settings(berth, &room_name, index, place)?;
            Conversation::Jitsi(Box::new(Signaling::new(settings, now)))
        }
        SignalingKind::Janus => {
            Conversation::Janus(Box::new(JanusSignaling::new(janus_settings(berth, room, index, place), now)))
        }
        SignalingKind::Livekit => {
            Conversation::LiveKit(Box::new(LiveKitSignaling::new(livekit_settings(berth, index, place), now)))
        }
    };
    let client = Client {
        berth,
        index,
        place,
        signaling,
        server: peer_address(&opened),
        socket: opened,
        nick: String::new(),
        media: [None, None],
        playout: None,
        channel: None,
        stages: Stages::new(started, now),
        expected: Expected::default(),
        random: SmallRng::seed_from_u64(seed.random()),
        speech_due: None,
        terminated: None,
    };
    berth.with(|state| state.measurements.record_stage(Stage::WebSocket, now - started));
    client.stay(&mut gauge, next_leave).await
}

struct Client<'a> {
    berth: &'a Berth,
    index: usize,
    place: usize,
    socket: Socket,
    /// Where that goes, to find the address of ours that the server sees.
    server: Option<SocketAddr>,
    signaling: Conversation,
    nick: String,
    /// By [`Leg`].
    media: [Option<Media>; Leg::ALL.len()],
    /// What was played in the session before, while there is none.
    playout: Option<Playout>,
    channel: Option<Socket>,
    stages: Stages,
    expected: Expected,
    random: SmallRng,
    speech_due: Option<Instant>,
    terminated: Option<Terminated>,
}

/// A session that the focus ended.
struct Terminated {
    reinvite_by: Instant,
    /// As the focus gave it.
    reason: String,
}

impl Client<'_> {
    async fn stay(mut self, gauge: &mut Gauge<'_>, next_leave: &mut Option<Instant>) -> Result<Departure, Failure> {
        let stayed = self.take_part(gauge, next_leave).await;
        let now = Instant::now();
        self.end_sessions(now);
        if let Some(playout) = self.playout.take() {
            self.record(|measurements| playout.finish(now, measurements));
        }
        if let Ok(departure) = stayed {
            self.signaling.leave(match departure {
                Departure::Over => Farewell::ForGood,
                Departure::Away => Farewell::ForNow,
            });
            // A server that does not take the farewell is of no interest any more.
            drop(timeout(Duration::from_secs(2), self.say_farewell()).await);
        }
        stayed
    }

    async fn take_part(
        &mut self,
        gauge: &mut Gauge<'_>,
        next_leave: &mut Option<Instant>,
    ) -> Result<Departure, Failure> {
        let mut phase = self.berth.phase.clone();
        let sleep = sleep_until(Instant::now().into());
        tokio::pin!(sleep);
        loop {
            let moment = Moment::new();
            self.drive(moment, gauge)?;
            self.flush_signaling().await?;
            self.flush_channel().await?;
            self.plan_leave(*phase.borrow_and_update(), next_leave, moment.now);
            if *phase.borrow() == Phase::Leaving {
                return Ok(Departure::Over);
            }
            let deadline = self.poll_timeout(*next_leave);
            if sleep.deadline() != deadline.into() {
                sleep.as_mut().reset(deadline.into());
            }
            let [offered, own] = &self.media;
            let media_ready = async {
                tokio::select! {
                    ready = readable(offered.as_ref()) => (Leg::Offered, ready),
                    ready = readable(own.as_ref()) => (Leg::Own, ready),
                }
            };
            let channel_next = async {
                match &mut self.channel {
                    Some(channel) => channel.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                (leg, ready) = media_ready => {
                    ready.map_err(|error| Failure::new(FailureCause::Local, format!("media socket: {error}")))?;
                    self.receive_media(leg)?;
                }
                message = self.socket.next() => self.handle_message(message)?,
                message = channel_next => self.handle_channel(message),
                () = &mut sleep => {
                    if next_leave.is_some_and(|at| at <= Instant::now()) {
                        *next_leave = None;
                        return Ok(Departure::Away);
                    }
                }
                _ = phase.changed() => {}
            }
        }
    }

    /// With churn, plans when to leave once the steady part has begun.
    fn plan_leave(&self, phase: Phase, next_leave: &mut Option<Instant>, now: Instant) {
        let Some((first, round)) = self.berth.shared.timeline.churn(self.index) else { return };
        if phase == Phase::Steady && next_leave.is_none() {
            let is_back = self.stages.started > self.berth.steady_since(now);
            *next_leave =
                Some(if is_back { self.stages.started + round } else { self.berth.steady_since(now) + first });
        }
    }

    fn poll_timeout(&self, next_leave: Option<Instant>) -> Instant {
        let media = self.media.iter().flatten().map(Media::poll_timeout);
        let expected = self.expected.by.filter(|_| self.expected.audio || self.expected.video);
        let timers =
            [expected, next_leave, self.speech_due, self.terminated.as_ref().map(|terminated| terminated.reinvite_by)];
        timers.into_iter().flatten().chain(media).fold(self.signaling.poll_timeout(), Instant::min)
    }

    /// Does what is due, and turns events of one part into input of another.
    fn drive(&mut self, moment: Moment, gauge: &mut Gauge<'_>) -> Result<(), Failure> {
        let now = moment.now;
        if self.signaling.poll_timeout() <= now {
            self.signaling.handle_timeout(now)?;
        }
        while let Some(event) = self.signaling.poll_event() {
            self.on_signaling(event, now, gauge)?;
        }
        // Whoever is alone is not invited, and that is as it should be.
        if let Some(terminated) = self.terminated.take_if(|terminated| terminated.reinvite_by <= now)
            && !self.signaling.is_alone()
        {
            let detail = format!("the focus ended the session ({}) and offers no other", terminated.reason);
            return Err(Failure::new(FailureCause::SessionTerminated, detail));
        }
        self.follow_speech(now);
        for leg in Leg::ALL {
            if self.leg(leg).is_some_and(|media| media.next_receive.is_some_and(|at| at <= now + RECEIVE_EARLY)) {
                self.receive_media(leg)?;
            }
            self.drive_media(leg, moment)?;
            while let Some(turn) = self.leg(leg).and_then(|media| media.session.poll_turn()) {
                self.on_turn(leg, turn, now, gauge);
            }
        }
        self.check_expected(now);
        if self.stages.is_complete {
            self.stop_watching(now)?;
        }
        Ok(())
    }

    fn leg(&mut self, leg: Leg) -> Option<&mut Media> {
        self.leg_mut(leg).as_mut()
    }

    const fn leg_mut(&mut self, leg: Leg) -> &mut Option<Media> {
        let [offered, own] = &mut self.media;
        match leg {
            Leg::Offered => offered,
            Leg::Own => own,
        }
    }

    fn end_sessions(&mut self, now: Instant) {
        // The last of them is the one that received.
        for media in self.media.iter_mut().rev().filter_map(Option::take) {
            let finish = |state: &mut BerthState| media.session.finish(now, &mut state.measurements);
            self.playout = Some(self.berth.with(finish));
        }
    }

    fn record(&self, work: impl FnOnce(&mut Measurements)) {
        self.berth.with(|state| work(&mut state.measurements));
    }

    fn follow_speech(&mut self, now: Instant) {
        if self.speech_due.is_none_or(|due| due > now) {
            return;
        }
        let shared = &self.berth.shared;
        let (speaks, next) = shared.timeline.speaks(self.place, now.saturating_duration_since(shared.start));
        for media in self.media.iter_mut().flatten() {
            media.session.set_activity(if speaks { Activity::Speaking } else { Activity::Silent });
        }
        self.speech_due = next.map(|next| shared.start + next);
    }
}
