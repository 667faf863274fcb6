//! The sockets of a participant's media, and the line that they stand for.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::Client;
use crate::load::engine::crew::BerthState;
use crate::load::engine::socket::{Batches, MediaSocket, Moment};
use crate::load::measure::FailureCause;
use crate::load::participant::{DelayLine, Failure, Fate, Leg, MediaSession, Offer, Outbox};

/// A participant looks so often into its socket once it has joined, as often as it looks after feedback: the system notes when
/// each packet arrived.
const RECEIVE_INTERVAL: Duration = Duration::from_millis(20);

/// Batches of datagrams in a row, so that a flooded participant does not starve the others.
const MAX_BATCHES: usize = 4;

/// Both directions of the participant's line.
struct Lines {
    send: DelayLine<(SocketAddr, Vec<u8>)>,
    receive: DelayLine<(SocketAddr, Vec<u8>)>,
}

pub(super) struct Media {
    pub(super) socket: MediaSocket,
    pub(super) session: MediaSession,
    lines: Lines,
    /// When the other side's description came, and where ICE and DTLS have got to since.
    pub(super) negotiated: Option<Instant>,
    pub(super) connected: Option<Instant>,
    pub(super) dtls: Option<Instant>,
    /// When the socket is looked into next, once nobody watches it.
    pub(super) next_receive: Option<Instant>,
}

impl Media {
    /// When something is due.
    pub(super) fn poll_timeout(&self) -> Instant {
        let lines = [self.lines.send.poll_timeout(), self.lines.receive.poll_timeout(), self.next_receive];
        lines.into_iter().flatten().fold(self.session.poll_timeout(), Instant::min)
    }

    /// Sends what waits in the outbox and what is due on the line.
    fn flush(&mut self, outbox: &mut Outbox, batches: &mut Batches, now: Instant) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::new(FailureCause::Local, format!("media socket: {error}"));
        let bridge = self.session.bridge();
        if self.lines.send.is_transparent() {
            for datagram in outbox.take_addressed() {
                self.socket.send_to(datagram.to, &datagram.bytes);
            }
            if outbox.has_media() {
                self.socket.send(batches, bridge, outbox.iter()).map_err(failed)?;
                outbox.clear();
            }
            return Ok(());
        }
        let addressed: Vec<_> = outbox.take_addressed().map(|datagram| (datagram.to, datagram.bytes)).collect();
        let media_datagrams = outbox.iter().map(|datagram| (bridge, datagram.to_vec()));
        for (to, datagram) in addressed.into_iter().chain(media_datagrams) {
            match self.lines.send.decide(now) {
                Fate::Now => self.lines.send.push(now, (to, datagram)),
                Fate::At(due) => self.lines.send.push(due, (to, datagram)),
                Fate::Lost => {}
            }
        }
        outbox.clear();
        while let Some((_, (to, datagram))) = self.lines.send.pop_due(now) {
            self.socket.send_to(to, &datagram);
        }
        Ok(())
    }
}

impl Client<'_> {
    pub(super) fn media(&mut self, socket: MediaSocket, session: MediaSession, negotiated: Option<Instant>) -> Media {
        let scenario = &self.berth.shared.scenario;
        let lines = Lines {
            send: DelayLine::new(scenario.send, SmallRng::seed_from_u64(self.random.random())),
            receive: DelayLine::new(scenario.receive, SmallRng::seed_from_u64(self.random.random())),
        };
        Media { socket, session, lines, negotiated, connected: None, dtls: None, next_receive: None }
    }

    /// Who has joined is in no hurry to see a packet, as the times of its join are taken.
    pub(super) fn stop_watching(&mut self, now: Instant) -> Result<(), Failure> {
        for slot in &mut self.media {
            let has_joined = |media: &mut Media| media.dtls.is_some() && media.next_receive.is_none();
            let Some(media) = slot.take_if(has_joined) else { continue };
            let socket = media.socket.stop_watching();
            let socket = socket.map_err(|error| Failure::new(FailureCause::Local, format!("media socket: {error}")))?;
            *slot = Some(Media { socket, next_receive: Some(now), ..media });
        }
        Ok(())
    }

    pub(super) fn drive_media(&mut self, leg: Leg, moment: Moment) -> Result<(), Failure> {
        let berth = self.berth;
        let Some(media) = self.leg(leg) else { return Ok(()) };
        berth.with(|state| {
            while let Some((due, (from, mut datagram))) = media.lines.receive.pop_due(moment.now) {
                let BerthState { measurements, outbox, .. } = state;
                let wall = moment.ntp();
                media.session.handle_datagram(moment.now, wall, due, from, &mut datagram, outbox, measurements)?;
            }
            let BerthState { measurements, batches, outbox, .. } = state;
            if media.session.poll_timeout() <= moment.now {
                media.session.drive(moment.now, moment.ntp(), outbox, measurements)?;
            }
            media.flush(outbox, batches, moment.now)
        })
    }

    pub(super) fn receive_media(&mut self, leg: Leg) -> Result<(), Failure> {
        let berth = self.berth;
        let Some(media) = self.leg(leg) else { return Ok(()) };
        if let Some(next_receive) = &mut media.next_receive {
            *next_receive = Instant::now() + RECEIVE_INTERVAL;
        }
        berth.with(|state| {
            let BerthState { measurements, batches, outbox, .. } = state;
            for _ in 0..MAX_BATCHES {
                let moment = Moment::new();
                let mut outcome = Ok(());
                let Media { socket, session, lines, .. } = media;
                let more = socket.receive(batches, moment, |from, arrived, datagram| {
                    if outcome.is_err() {
                        return;
                    }
                    outcome = match lines.receive.decide(arrived) {
                        Fate::Now => {
                            let wall = moment.ntp();
                            session.handle_datagram(moment.now, wall, arrived, from, datagram, outbox, measurements)
                        }
                        Fate::At(due) => {
                            lines.receive.push(due, (from, datagram.to_vec()));
                            Ok(())
                        }
                        Fate::Lost => Ok(()),
                    };
                });
                outcome?;
                session.drive(moment.now, moment.ntp(), outbox, measurements)?;
                media.flush(outbox, batches, moment.now)?;
                match more {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(error) => return Err(Failure::new(FailureCause::Local, format!("media socket: {error}"))),
                }
            }
            // There is more, after the others had their turn.
            media.next_receive = media.next_receive.map(|_| Instant::now());
            Ok(())
        })
    }
}

/// Waits for datagrams.
pub(super) async fn readable(media: Option<&Media>) -> std::io::Result<()> {
    match media {
        Some(media) => media.socket.readable().await,
        None => std::future::pending().await,
    }
}

pub(super) fn bind(server: SocketAddr) -> Result<MediaSocket, Failure> {
    MediaSocket::bind(server)
        .map_err(|error| Failure::new(FailureCause::Local, format!("cannot reach {server}: {error:#}")))
}

/// The candidate that decides on the family of addresses.
pub(super) fn first_udp_candidate(offer: &Offer) -> Option<SocketAddr> {
    let candidates = || {
        let udp = offer.transport.candidates.iter().filter(|candidate| candidate.protocol.eq_ignore_ascii_case("udp"));
        udp.filter_map(|candidate| Some(SocketAddr::new(candidate.ip.parse().ok()?, candidate.port)))
    };
    let is_reachable = |address: &SocketAddr| MediaSocket::bind(*address).is_ok();
    candidates().find(|address| address.is_ipv4() && is_reachable(address)).or_else(|| candidates().find(is_reachable))
}
