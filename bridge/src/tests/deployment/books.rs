//! What the focus and bridges know, at times of rest and at the end.
//!
//! Each participant of two or more in a room has a session, on one bridge. A bridge has the conferences that the focus has
//! there, with the endpoints that it sent there, a connected link to each other bridge of the conference with roles that go
//! together, and behind it, once, all endpoints there with all that they send. Bridges agree about what is wanted of that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use focus::AdminRequest;
use model::SourceName;
use serde_json::Value;

use super::node::{Node, relay_id};
use super::participant::Participant;
use super::{Arrival, Deployment};
use crate::channel::ChannelTransport;
use crate::conference::Conference;
use crate::connection::Reached;
use crate::constraints::MaxHeight;
use crate::negotiated::Sources;
use crate::relay::Far;

/// Everything has to come to rest within this time: clients report a dead bridge after 20 s and again after as much, bridges
/// forget silent clients after 60 s and look each 10 s, and empty conferences 20 s later.
const MAX_REST: Duration = Duration::from_secs(200);
const STEP: Duration = Duration::from_secs(5);
/// At rest nobody asks a bridge anything for so long.
const SILENCE: Duration = Duration::from_secs(3);

macro_rules! agree {
    ($left:expr, $right:expr, $($what:tt)+) => {
        let (left, right) = (&$left, &$right);
        if left != right {
            return Err(format!("{}: {left:?} and {right:?}", format!($($what)+)));
        }
    };
}

impl Deployment {
    /// All that is broken is mended; when all have come to rest everything is looked at.
    pub(super) fn rest(&mut self, when: &str) {
        self.faults.heal();
        for number in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.bring_up(number);
            if let Some(node) = self.nodes.get_mut(&number) {
                node.held_until = self.now;
            }
        }
        if self.nodes.values().all(|node| node.bridge.readiness().is_ending()) {
            // There is nowhere to go, which heals as soon as somebody starts a bridge.
            let number = self.add_bridge();
            self.log.push(format!("bridge {number} comes, as no other takes anybody"));
        }
        self.set_live(false);
        self.log.push(format!("rest {when}"));
        let began = self.now;
        loop {
            self.run(STEP);
            let news = match self.books() {
                // Somebody is gone, and the server does not know it yet.
                Ok(()) if self.arrivals.values().any(|arrival| matches!(arrival, Arrival::Later(_))) => {
                    Err("somebody is about to do something".to_owned())
                }
                Ok(()) => {
                    let asked = self.requests();
                    self.run(SILENCE);
                    if asked == self.requests() { self.books() } else { Err("bridges are told something".to_owned()) }
                }
                Err(news) => Err(news),
            };
            match news {
                Ok(()) => break,
                Err(news) => assert!(self.now - began < MAX_REST, "{when}: {news}"),
            }
        }
        let took = self.now.saturating_duration_since(began);
        self.figures.longest_rest = self.figures.longest_rest.max(took);
        self.note_links();
        self.check_media(when);
        if let Err(news) = self.books() {
            panic!("{when}, after all sent: {news}");
        }
    }

    /// Everybody leaves; then nothing is left of them.
    pub(super) fn end(&mut self) {
        self.log.push("all leave".to_owned());
        for number in self.participants.keys().copied().collect::<Vec<_>>() {
            self.leave_room(number);
        }
        self.run(MAX_REST);
        (self.figures.joined, self.figures.requests) = (self.room_of.len(), self.requests());
        for refusal in self.nodes.values().flat_map(|node| &node.refusals) {
            *self.figures.refusals.entry(refusal.clone()).or_default() += 1;
        }
        assert_eq!(self.focus.metrics().conferences.get(), 0, "the focus is done");
        for node in self.nodes.values() {
            let left: Vec<_> = node.bridge.left_behind().into_iter().filter(|(_, count)| *count > 0).collect();
            assert!(left.is_empty(), "left behind on {}: {left:?}", node.nick);
        }
        // Nobody goes on to send to those who are gone.
        let waiting = self.arrivals.values().filter(|arrival| matches!(arrival, Arrival::Datagram { .. }));
        let waiting: Vec<_> = waiting.collect();
        assert!(waiting.is_empty(), "still under way: {waiting:?}");
    }

    /// Requests that bridges took so far.
    pub(super) fn requests(&self) -> usize {
        self.nodes.values().map(|node| node.requests).sum()
    }

    fn note_links(&mut self) {
        let mut bridges: BTreeMap<&str, usize> = BTreeMap::new();
        let mut links = 0;
        for (_, conference) in self.nodes.values().flat_map(|node| &node.bridge.conferences) {
            *bridges.entry(conference.id.as_str()).or_default() += 1;
            links += conference.relays.len();
        }
        let most = bridges.values().copied().max().unwrap_or(0);
        self.figures.bridges_of_one = self.figures.bridges_of_one.max(most);
        self.figures.links = self.figures.links.max(links / 2);
    }

    /// Whether all books agree; else, where they do not.
    fn books(&mut self) -> Result<(), String> {
        let mut there: BTreeSet<(String, String)> = BTreeSet::new();
        for room in self.server.rooms.keys().cloned().collect::<Vec<_>>() {
            let asked = AdminRequest::Conference { room: room.clone() };
            let state = self.focus.handle_admin(&asked, self.now, std::time::SystemTime::UNIX_EPOCH);
            let state = state.map_err(|error| error.to_string())?;
            self.after_focus();
            there.extend(self.check_conference(&room, &state)?);
        }
        let known = self.nodes.values().flat_map(|node| {
            node.bridge.conferences.iter().map(|(_, conference)| (node.nick.clone(), conference.id.to_string()))
        });
        agree!(there, known.collect::<BTreeSet<_>>(), "conferences, of the focus and on bridges");
        Ok(())
    }

    /// Looks at one room. Answers the bridges on which it has a conference.
    fn check_conference(&self, room: &str, state: &Value) -> Result<Vec<(String, String)>, String> {
        let members: Vec<&Participant> =
            self.server.rooms[room].members.iter().map(|number| &self.participants[number]).collect();
        let told = state["participants"].as_object().cloned().unwrap_or_default();
        let names: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
        agree!(told.keys().map(String::as_str).collect::<Vec<_>>(), names, "members of {room}");
        let sessions = state["colibri_sessions"].as_array().cloned().unwrap_or_default();
        if members.len() < 2 {
            agree!(sessions, Vec::<Value>::new(), "bridges of {room} with {} members", members.len());
            return Ok(Vec::new());
        }
        let id = state["meeting_id"].as_str().unwrap_or_default().to_owned();
        let mut at: BTreeMap<&str, Vec<&Participant>> = BTreeMap::new();
        for member in &members {
            let told = &told[member.id.as_str()];
            let (name, session) = (&member.id, told["session"].as_str());
            agree!((session, told["moving_to"].as_str()), (Some("active"), None), "session of {name} in {room}");
            let own = member.session.as_ref().filter(|session| session.is_accepted);
            agree!(own.map(|session| session.sid()), told["sid"].as_str(), "session of {name} in {room}");
            let peer = own.map(|session| &session.peer).ok_or("no session")?;
            agree!((peer.has_keys(), peer.is_channel_open()), (true, true), "connection of {name} in {room}");
            at.entry(told["bridge"].as_str().unwrap_or_default()).or_default().push(member);
        }
        let told: Vec<&str> = sessions.iter().map(|session| session["bridge"].as_str().unwrap_or_default()).collect();
        let told: BTreeSet<&str> = told.into_iter().collect();
        agree!(told, at.keys().copied().collect(), "bridges of {room}");
        let mut parts: BTreeMap<&str, (&Node, &Conference, &[&Participant])> = BTreeMap::new();
        for (jid, members) in &at {
            let nick = jid.split_once('/').map_or(*jid, |(_, nick)| nick);
            let node = self.nodes.values().find(|node| node.nick == nick && node.is_online);
            let node = node.ok_or_else(|| format!("{room} is on {nick}, which is gone"))?;
            let conferences = node.bridge.conferences.iter().map(|(_, conference)| conference);
            let conference = conferences.into_iter().find(|conference| conference.id.as_str() == id);
            let conference = conference.ok_or_else(|| format!("{nick} does not know {room}"))?;
            parts.insert(nick, (node, conference, members));
        }
        for (nick, (_, conference, members)) in &parts {
            check_endpoints(nick, conference, members)?;
            for (other, (_, far, behind)) in parts.iter().filter(|(other, _)| *other != nick) {
                check_link((nick, conference), (other, far), behind)?;
            }
            let others = parts.keys().filter(|other| *other != nick).map(|other| relay_id(other));
            let linked: Vec<String> = conference.relay_by_id.keys().cloned().collect();
            let mut others: Vec<String> = others.collect();
            others.sort_unstable();
            agree!(linked, others, "links of {nick} in {room}");
            agree!(conference.relays.len(), others.len(), "links of {nick} in {room}");
        }
        Ok(parts.into_keys().map(|nick| (nick.to_owned(), id.clone())).collect())
    }
}

/// The SSRCs of what somebody sends, without retransmissions.
fn sent_by(participant: &Participant) -> BTreeSet<u32> {
    let videos = participant.cameras.iter().flat_map(|camera| &camera.layers).map(|layer| layer.ssrc);
    videos.chain([participant.microphone.ssrc]).collect()
}

fn ssrcs(sources: &Sources) -> BTreeSet<u32> {
    let videos = sources.video.iter().flat_map(|video| &video.encodings).map(|encoding| encoding.primary.0);
    videos.chain(sources.audio.iter().map(|audio| audio.ssrc.0)).collect()
}

fn check_endpoints(nick: &str, conference: &Conference, members: &[&Participant]) -> Result<(), String> {
    let expected: BTreeMap<_, _> = members.iter().map(|member| (member.id.clone(), sent_by(member))).collect();
    let known = conference.endpoints.iter().map(|(_, endpoint)| (endpoint.id.clone(), ssrcs(&endpoint.sources)));
    agree!(known.collect::<BTreeMap<_, _>>(), expected, "endpoints of {nick}");
    agree!(conference.by_id.len(), conference.endpoints.len(), "names on {nick}");
    Ok(())
}

/// Looks at a link from one of its ends.
fn check_link(
    (nick, here): (&str, &Conference),
    (other, there): (&str, &Conference),
    behind: &[&Participant],
) -> Result<(), String> {
    let find = |conference: &Conference, id: &str| conference.relay_by_id.get(id).copied();
    let key = find(here, &relay_id(other)).ok_or_else(|| format!("{nick} has no link to {other}"))?;
    let back = find(there, &relay_id(nick)).ok_or_else(|| format!("{other} has no link to {nick}"))?;
    let (relay, back) = (&here.relays[key], &there.relays[back]);
    agree!((relay.connection.reached, relay.far), (Reached::Dtls, Far::Teranga), "{nick} to {other}");
    agree!(relay.connection.path.is_some(), true, "{nick} reaches {other}");
    agree!(relay.connection.channel.active() == ChannelTransport::None, false, "{nick} cannot talk to {other}");
    // The side that begins has a port for the link alone.
    let ports = [relay, back].map(|relay| relay.connection.unique_port.is_some());
    agree!(ports[0], !ports[1], "who began, of {nick} and {other}");
    agree!(relay.mesh, back.mesh, "meshes of {nick} and {other}");
    let expected: BTreeMap<_, _> = behind.iter().map(|member| (member.id.clone(), sent_by(member))).collect();
    let relayed = || here.relayed.iter().map(|(_, endpoint)| endpoint).filter(|endpoint| endpoint.relay == key);
    let known = relayed().map(|endpoint| (endpoint.id.clone(), ssrcs(&endpoint.sources)));
    agree!(known.collect::<BTreeMap<_, _>>(), expected, "what {nick} knows of {other}");
    for video in relayed().flat_map(|endpoint| endpoint.sources.video.iter().map(move |video| (endpoint, video))) {
        let (endpoint, name): (_, &SourceName) = (video.0, &video.1.name);
        let asked = endpoint.asked.get(name).copied().unwrap_or(MaxHeight::NOTHING);
        agree!(asked, back.demand(name), "what {nick} wants of {name}, and what {other} knows of that");
    }
    Ok(())
}
