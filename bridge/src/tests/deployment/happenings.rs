//! What people, operators and the network do, as the seed has it.

use std::time::Duration;

use focus::{AdminRequest, HttpRequestId, Input};
use jitsi_protocol::conference_request::ConferenceRequest;
use xmpp::jingle::Action;

use super::network::Party;
use super::node::Node;
use super::participant::Participant;
use super::{Actor, Deployment, Later};
use crate::brewery;
use crate::shutdown::Shutdown;

const REGIONS: [&str; 3] = ["eu", "us", "asia"];
const HEIGHTS: [i32; 5] = [0, 180, 360, 720, -1];
/// People in one room, for whose videos a client that takes them under SSRCs of its bridge has room.
const MAX_IN_ROOM: usize = 40;
/// Layers of cameras.
const CAMERAS: [&[u16]; 3] = [&[180, 360, 720], &[180, 720], &[360]];
/// Bridges that there may be at a time beyond those of the beginning, and ever.
const MORE_BRIDGES: usize = 2;
const MAX_BRIDGES: usize = 250;

impl Deployment {
    /// Bridges announce themselves, and people come.
    pub(super) fn populate(&mut self) {
        for _ in 0..self.size.bridges {
            self.add_bridge();
        }
        self.seconds(1);
        for _ in 0..self.size.participants {
            self.join();
            let ms = self.random.below(200);
            self.run(Duration::from_millis(ms));
        }
    }

    /// One thing happens, and some time passes.
    pub(super) fn happen(&mut self) {
        let what = self.happening();
        let at = self.now.saturating_duration_since(self.start);
        self.log.push(format!("{:.1} s: {what}", at.as_secs_f64()));
        let ms = if self.random.percent(30) { self.random.below(50) } else { self.random.below(1500) };
        self.run(Duration::from_millis(ms));
    }

    fn happening(&mut self) -> String {
        let participant = self.any(self.participants.keys().copied().collect());
        let bridge = self.any(self.nodes.keys().copied().collect());
        let (Some(number), Some(node)) = (participant, bridge) else {
            self.add_bridge();
            return format!("participant {} joins", self.join());
        };
        match self.random.below(100) {
            0..20 => {
                if self.participants.len() >= self.size.participants {
                    self.leave_room(number);
                    return format!("participant {number} leaves");
                }
                format!("participant {} joins", self.join())
            }
            20..26 => {
                // The server finds out later.
                self.faults.take_offline(Party::Participant(number), self.now + Duration::from_secs(3600));
                let ms = 5000 + self.random.below(25_000);
                self.later(ms, Later::MissParticipant(number));
                format!("participant {number} vanishes")
            }
            26..30 => {
                let seconds = 1 + self.random.below(35);
                self.faults.take_offline(Party::Participant(number), self.now + Duration::from_secs(seconds));
                format!("participant {number} has no network for {seconds} s")
            }
            30..34 => {
                if let Some(message) = self.participants.get_mut(&number).and_then(Participant::restart) {
                    self.say(number, &message);
                }
                format!("participant {number} wants another session")
            }
            34..46 => self.change_wishes(number),
            46..52 => {
                let is_on = self.random.percent(60);
                let participant = self.participants.get_mut(&number).unwrap();
                participant.cameras[0].is_on = is_on;
                format!("camera of {number} is on: {is_on}")
            }
            52..56 => {
                let is_on = self.random.percent(60);
                let participant = self.participants.get_mut(&number).unwrap();
                (participant.microphone.is_on, participant.microphone.level) = (is_on, 30);
                format!("microphone of {number} is on: {is_on}")
            }
            56..62 => self.share_or_stop(number),
            62..66 => {
                let conference = self.participants[&number].room.clone();
                let endpoint = self.participants[&number].id.to_string();
                self.ask_focus(&AdminRequest::MoveEndpoint { conference, endpoint, bridge: None });
                format!("participant {number} is to move")
            }
            66..69 => {
                let bridge = self.nodes[&node].nick.clone();
                self.ask_focus(&AdminRequest::MoveEndpoints { bridge, conference: None, count: 3 });
                format!("three are to leave bridge {node}")
            }
            69..73 => {
                self.kill(node);
                // The server finds out at once, or by a timeout.
                let ms = if self.random.percent(50) { 10 } else { self.random.below(40_000) };
                self.later(ms, Later::MissBridge(node));
                format!("bridge {node} is killed")
            }
            73..79 => {
                if self.nodes.len() < self.size.bridges + MORE_BRIDGES && self.next_node < MAX_BRIDGES {
                    return format!("bridge {} comes", self.add_bridge());
                }
                "nothing".to_owned()
            }
            79..83 => {
                let drain = self.random.percent(60);
                self.nodes.get_mut(&node).unwrap().bridge.set_drain(drain);
                self.after_node(node, Vec::new());
                format!("bridge {node} drains: {drain}")
            }
            83..85 => {
                let now = self.now;
                let shutdown = if self.random.percent(50) { Shutdown::Graceful } else { Shutdown::Immediate };
                self.nodes.get_mut(&node).unwrap().bridge.begin_shutdown(shutdown, now);
                self.after_node(node, Vec::new());
                format!("bridge {node} is to end: {shutdown:?}")
            }
            85..89 => {
                let seconds = 1 + self.random.below(30);
                self.nodes.get_mut(&node).unwrap().held_until = self.now + Duration::from_secs(seconds);
                format!("stanzas of bridge {node} are held up for {seconds} s")
            }
            89..92 => {
                let now = self.now;
                let known = self.nodes.get_mut(&node).unwrap();
                if known.is_online {
                    known.is_online = false;
                    known.handle_input(brewery::Input::LinkDown, now);
                    self.lose_stream_of(node);
                    let ms = 100 + self.random.below(10_000);
                    self.later(ms, Later::BringUp(node));
                }
                format!("the stream of bridge {node} breaks")
            }
            92..97 => {
                let other = self.any(self.nodes.keys().copied().filter(|other| *other != node).collect());
                let seconds = 1 + self.random.below(15);
                if let Some(other) = other {
                    let until = self.now + Duration::from_secs(seconds);
                    self.faults.cut(Party::Node(node), Party::Node(other), until);
                }
                format!("nothing passes between {node} and {other:?} for {seconds} s")
            }
            _ => {
                let is_live = self.random.percent(50);
                self.set_live(is_live);
                format!("all send: {is_live}")
            }
        }
    }

    fn any(&mut self, all: Vec<usize>) -> Option<usize> {
        let at = self.random.below(all.len() as u64) as usize;
        all.get(at).copied()
    }

    fn ask_focus(&mut self, request: &AdminRequest) {
        // Who is not there, or has nowhere to go, stays.
        let _ = self.focus.handle_admin(request, self.now, std::time::SystemTime::UNIX_EPOCH);
        self.after_focus();
    }

    pub(super) fn add_bridge(&mut self) -> usize {
        let number = self.next_node;
        self.next_node += 1;
        let region = REGIONS[self.random.below(REGIONS.len() as u64) as usize];
        self.nodes.insert(number, Node::new(number, region, self.seed, self.now));
        self.bring_up(number);
        number
    }

    /// A bridge is no more, from one moment to the next.
    pub(super) fn kill(&mut self, number: usize) {
        self.nodes.remove(&number);
        self.set_timer(Actor::Bridge(number), None);
        self.set_timer(Actor::Brewery(number), None);
    }

    fn join(&mut self) -> usize {
        let number = self.room_of.len();
        // Small rooms and large ones.
        let (some, all) = (self.random.below(self.size.rooms as u64), self.size.rooms as u64);
        let room = |number: u64| format!("room{number}@muc.meet.jitsi");
        let popular = room(some * some / all);
        let is_full = self.server.rooms.get(&popular).is_some_and(|room| room.members.len() >= MAX_IN_ROOM);
        let room = if is_full || self.random.percent(50) { room(some) } else { popular };
        self.room_of.push(room.clone());
        let region = REGIONS[self.random.below(REGIONS.len() as u64) as usize];
        let camera = CAMERAS[self.random.below(CAMERAS.len() as u64) as usize];
        let mut participant = Participant::new(number, &room, region, camera);
        participant.is_rewriting = self.random.percent(40);
        participant.is_obedient = self.random.percent(50);
        self.participants.insert(number, participant);
        let request = ConferenceRequest::new(room.parse().unwrap());
        self.focus.handle_input(Input::HttpConferenceRequest { id: HttpRequestId(number as u64), request }, self.now);
        self.after_focus();
        self.enter_room(number);
        self.change_wishes(number);
        number
    }

    fn change_wishes(&mut self, number: usize) -> String {
        let height = |random: &mut sim::Random| HEIGHTS[random.below(HEIGHTS.len() as u64) as usize];
        let room = &self.room_of[number];
        let others = self.participants.values().filter(|other| other.room == *room && other.number != number);
        let sources: Vec<String> = others.flat_map(|other| &other.cameras).map(|camera| camera.name.clone()).collect();
        let mut wishes = self.participants[&number].wishes.clone();
        wishes.others = height(&mut self.random);
        wishes.last_n = if self.random.percent(70) { -1 } else { self.random.below(6) as i32 };
        wishes.by_source.clear();
        wishes.selected.clear();
        for source in sources {
            if self.random.percent(25) {
                wishes.by_source.insert(source.clone(), height(&mut self.random));
            }
            if wishes.selected.len() < 2 && self.random.percent(10) {
                wishes.selected.push(source);
            }
        }
        let text = format!("participant {number} wants {wishes:?}");
        let participant = self.participants.get_mut(&number).unwrap();
        participant.wishes = wishes;
        participant.say_wishes();
        self.after_participant(number);
        text
    }

    fn share_or_stop(&mut self, number: usize) -> String {
        let participant = self.participants.get_mut(&number).unwrap();
        let is_sharing = participant.cameras.len() > 1;
        let action = if is_sharing { Action::SourceRemove } else { Action::SourceAdd };
        let Some(mut message) = participant.message(action) else {
            return format!("participant {number} has no session to share in");
        };
        if !is_sharing {
            participant.share_screen();
        }
        message.contents = participant.contents(1..2, false);
        participant.cameras.truncate(if is_sharing { 1 } else { 2 });
        self.say(number, &message);
        format!("participant {number} shares a screen: {}", !is_sharing)
    }
}
