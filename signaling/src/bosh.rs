//! A session of a stream over HTTP requests (XEP-0124, XEP-0206): which request is whose turn, which is held, what is
//! answered again (sans-IO).
//!
//! Here: one session, told requests, frames of the core and the time. Not here: HTTP (`shell/bosh.rs`), the `body` element
//! (`xmpp::bosh`), what stands in it.
//!
//! ```text
//!  request n          its turn? no: kept until it is, or again: answered as before
//!    │ yes
//!  elements ──► core
//!    │
//!  held ──► answered with frames of the core, or empty: after `wait`, or because a later request is held in its place
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use xmpp::bosh::{Body, BodyRequest, TerminalCondition};
use xmpp::{Element, framing, ns};

use crate::Frame;

/// Longest that a request is held. Proxies give up on silent requests after a minute or so.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Most requests that are held: more than one lets nothing arrive earlier.
const MAX_HOLD: u64 = 1;
/// How long a session lives without a request; a phone that changes networks takes some seconds.
const INACTIVITY: Duration = Duration::from_secs(60);
/// Longest pause that a client may announce (XEP-0124 §10): a page that another one replaces, a phone that sleeps.
const MAX_PAUSE: Duration = Duration::from_secs(120);
/// Shortest time between two empty requests of a client that holds none (XEP-0124 §12).
const POLLING: Duration = Duration::from_secs(5);
/// Bytes of frames from which on an answer is full: what waits behind them goes into the next one.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// How long a session that is over waits for a request to say so in.
const FAREWELL: Duration = Duration::from_secs(10);

/// Names an HTTP request that waits for its answer. Given by the shell, never twice in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

/// What a session wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BoshOutput {
    /// Answer a request.
    Answer { ticket: Ticket, body: String },
    /// Tell the core of a frame.
    Frame(Element),
    /// Tell the core that the client is going to be silent until then, and means it.
    Pause { until: Instant },
    /// The client is gone without a word: tell the core so.
    Lost,
    /// Nothing is left to do: forget the session.
    Over,
}

/// One session.
#[derive(Debug)]
pub(crate) struct BoshSession {
    sid: String,
    wait: Duration,
    hold: usize,
    /// The number whose turn it is.
    next_rid: u64,
    /// Requests that came before their turn.
    early: BTreeMap<u64, (Ticket, BodyRequest)>,
    /// Requests that wait for something to be said, the oldest first.
    held: VecDeque<Held>,
    /// The last answers, for clients that did not get them.
    answered: VecDeque<(u64, String)>,
    /// What the next answer says.
    pending: Body,
    /// The key chain (XEP-0124 §15): the next key's hash has to be this.
    key: Option<String>,
    /// Since when no request is open.
    idle_since: Instant,
    /// How long that may last.
    inactivity: Duration,
    last_empty: Option<Instant>,
    phase: Phase,
    outputs: VecDeque<BoshOutput>,
}

#[derive(Debug)]
struct Held {
    rid: u64,
    ticket: Ticket,
    until: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// The first answer is to come; it says what the session is like.
    Created,
    Open,
    /// The end was said to nobody yet; until then it waits for a request.
    Ending {
        body: String,
        until: Instant,
    },
    Over,
}

impl BoshSession {
    /// A session for a client that asks for one.
    pub(crate) fn new(sid: String, ticket: Ticket, request: BodyRequest, now: Instant) -> Self {
        let wait = request.wait.map_or(MAX_WAIT, Duration::from_secs).min(MAX_WAIT);
        let hold = usize::try_from(request.hold.unwrap_or(MAX_HOLD).min(MAX_HOLD)).unwrap_or(1);
        let mut session = Self {
            sid,
            wait,
            // Without waiting there is nothing to hold.
            hold: if wait.is_zero() { 0 } else { hold },
            next_rid: request.rid,
            early: BTreeMap::new(),
            held: VecDeque::new(),
            answered: VecDeque::new(),
            pending: Body::default(),
            key: None,
            idle_since: now,
            inactivity: INACTIVITY,
            last_empty: None,
            phase: Phase::Created,
            outputs: VecDeque::new(),
        };
        session.describe(request.rid);
        session.key.clone_from(&request.new_key);
        session.next_rid += 1;
        // Whatever came besides is for a stream that does not exist yet.
        session.outputs.push_back(BoshOutput::Frame(open_frame(request.to.as_deref())));
        session.held.push_back(Held { rid: request.rid, ticket, until: now + MAX_WAIT });
        session
    }

    /// How many requests a client may have open.
    fn window(&self) -> usize {
        self.hold + 1
    }

    fn describe(&mut self, rid: u64) {
        let seconds = |duration: Duration| duration.as_secs().to_string();
        self.pending.declare_xbosh();
        for (name, value) in [
            ("sid", self.sid.clone()),
            ("wait", seconds(self.wait)),
            ("requests", self.window().to_string()),
            ("hold", self.hold.to_string()),
            ("inactivity", seconds(INACTIVITY)),
            ("polling", seconds(POLLING)),
            ("maxpause", seconds(MAX_PAUSE)),
            // XEP-0124 §9.1: requests are acknowledged.
            ("ack", rid.to_string()),
            ("ver", "1.6".to_owned()),
            ("xmpp:version", "1.0".to_owned()),
            ("xmpp:restartlogic", "true".to_owned()),
        ] {
            self.pending.set_attr(name, value);
        }
    }

    /// Takes a request of the session.
    pub(crate) fn on_request(&mut self, now: Instant, ticket: Ticket, request: BodyRequest) {
        if let Phase::Ending { body, .. } = &self.phase {
            let body = body.clone();
            self.answer_with(ticket, body);
            return self.finish();
        }
        if self.phase == Phase::Over {
            return self.answer_with(ticket, Body::terminate(Some(TerminalCondition::ItemNotFound)).to_string());
        }
        let rid = request.rid;
        if rid < self.next_rid {
            return self.on_repeated(now, ticket, rid);
        }
        let last_allowed = self.next_rid.saturating_add(self.window() as u64);
        if rid > last_allowed || self.early.contains_key(&rid) {
            self.outputs.push_back(BoshOutput::Lost);
            return self.terminate(now, Some(ticket), TerminalCondition::ItemNotFound);
        }
        self.early.insert(rid, (ticket, request));
        while let Some((ticket, request)) = self.early.remove(&self.next_rid) {
            if !matches!(self.phase, Phase::Created | Phase::Open) {
                return;
            }
            self.next_rid += 1;
            self.on_turn(now, ticket, request);
        }
    }

    /// The client did not get an answer, and asks again.
    fn on_repeated(&mut self, now: Instant, ticket: Ticket, rid: u64) {
        if let Some((_, body)) = self.answered.iter().find(|(answered, _)| *answered == rid) {
            let body = body.clone();
            return self.answer_with(ticket, body);
        }
        if let Some(held) = self.held.iter_mut().find(|held| held.rid == rid) {
            let broken = std::mem::replace(&mut held.ticket, ticket);
            return self.answer_with(broken, Body::default().to_string());
        }
        self.outputs.push_back(BoshOutput::Lost);
        self.terminate(now, Some(ticket), TerminalCondition::ItemNotFound);
    }

    /// Takes a request whose turn it is.
    fn on_turn(&mut self, now: Instant, ticket: Ticket, request: BodyRequest) {
        if !self.takes_key(&request) {
            self.outputs.push_back(BoshOutput::Lost);
            return self.terminate(now, Some(ticket), TerminalCondition::ItemNotFound);
        }
        let pause = request.pause.map(Duration::from_secs);
        if pause.is_some_and(|pause| pause > MAX_PAUSE) {
            self.outputs.push_back(BoshOutput::Lost);
            return self.terminate(now, Some(ticket), TerminalCondition::PolicyViolation);
        }
        self.inactivity = pause.map_or(INACTIVITY, |pause| pause.max(INACTIVITY));
        let is_empty = request.payload.is_empty() && !request.is_restart && !request.is_terminate && pause.is_none();
        if self.is_too_often(now, is_empty) {
            self.outputs.push_back(BoshOutput::Lost);
            return self.terminate(now, Some(ticket), TerminalCondition::PolicyViolation);
        }
        if request.is_restart {
            self.outputs.push_back(BoshOutput::Frame(open_frame(request.to.as_deref())));
        }
        self.outputs.extend(request.payload.into_iter().map(BoshOutput::Frame));
        self.held.push_back(Held { rid: request.rid, ticket, until: now + self.wait });
        if request.is_terminate {
            self.outputs.push_back(BoshOutput::Frame(Element::new("close", ns::FRAMING)));
            return self.end(now, Body::terminate(None));
        }
        if self.pending.payload_len() > 0 {
            self.answer_oldest(now);
        }
        let held = if pause.is_some() { 0 } else { self.hold };
        if let Some(pause) = pause {
            self.outputs.push_back(BoshOutput::Pause { until: now + pause });
        }
        while self.held.len() > held {
            self.answer_oldest(now);
        }
    }

    /// Each key is the preimage of the one before (XEP-0124 §15).
    fn takes_key(&mut self, request: &BodyRequest) -> bool {
        let Some(expected) = &self.key else {
            return request.key.is_none();
        };
        let Some(key) = &request.key else { return false };
        let is_right = sha1_hex(key) == *expected;
        self.key = Some(request.new_key.as_ref().unwrap_or(key).clone());
        is_right
    }

    /// A client that holds no request asks now and then (XEP-0124 §12).
    fn is_too_often(&mut self, now: Instant, is_empty: bool) -> bool {
        if self.hold > 0 || !is_empty {
            return false;
        }
        let last = self.last_empty.replace(now);
        last.is_some_and(|last| now.saturating_duration_since(last) < POLLING)
    }

    /// Whether frames of the core are of use now; until then they wait where there is a limit for them.
    pub(crate) fn wants_frames(&self) -> bool {
        let is_open = matches!(self.phase, Phase::Created | Phase::Open);
        is_open && (!self.held.is_empty() || self.hold == 0) && self.pending.payload_len() < MAX_ANSWER_BYTES
    }

    /// Takes a frame of the core, to be followed by [`BoshSession::on_frames_end`].
    pub(crate) fn on_frame(&mut self, now: Instant, frame: &Frame) {
        match frame {
            Frame::Element(open) if framing::is_open(open) => {
                if self.phase == Phase::Created {
                    self.pending.set_attr("authid", open.attr("id").unwrap_or_default());
                    self.pending.set_attr("from", open.attr("from").unwrap_or_default());
                }
            }
            Frame::Element(error) if error.is("error", ns::STREAMS) => {
                let condition = condition_of(error);
                self.pending.set_attr("type", "terminate");
                self.pending.set_attr("condition", condition.as_str());
                if condition == TerminalCondition::RemoteStreamError {
                    self.pending.push(error);
                }
            }
            Frame::Element(element) => self.pending.push(element),
            Frame::Stanza(stanza) => self.pending.push(stanza),
            Frame::StartTls | Frame::Trust => {}
            Frame::Close => {
                let mut body = std::mem::take(&mut self.pending);
                body.set_attr("type", "terminate");
                self.end(now, body);
            }
        }
    }

    /// No more frames for now: what there is goes out.
    pub(crate) fn on_frames_end(&mut self, now: Instant) {
        if self.pending.payload_len() > 0 && matches!(self.phase, Phase::Created | Phase::Open) {
            self.answer_oldest(now);
        }
    }

    /// The core let go of the session without saying so.
    pub(crate) fn on_core_gone(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Created | Phase::Open) {
            self.end(now, Body::terminate(Some(TerminalCondition::SystemShutdown)));
        }
    }

    /// The core ended the session because its client does not fetch what it is sent.
    pub(crate) fn on_overfull(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Created | Phase::Open) {
            self.terminate(now, None, TerminalCondition::PolicyViolation);
        }
    }

    /// When [`BoshSession::on_timeout`] is due.
    pub(crate) fn timeout(&self) -> Instant {
        match (&self.phase, self.held.front()) {
            (Phase::Ending { until, .. }, _) => *until,
            (Phase::Created | Phase::Open | Phase::Over, Some(held)) => held.until,
            (Phase::Created | Phase::Open | Phase::Over, None) => self.idle_since + self.inactivity,
        }
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) {
        if now < self.timeout() {
            return;
        }
        match (&self.phase, self.held.front()) {
            (Phase::Ending { .. } | Phase::Over, _) => self.finish(),
            (Phase::Created | Phase::Open, Some(_)) => self.answer_oldest(now),
            (Phase::Created | Phase::Open, None) => {
                self.outputs.push_back(BoshOutput::Lost);
                self.finish();
            }
        }
    }

    /// The next thing to do.
    pub(crate) fn poll_output(&mut self) -> Option<BoshOutput> {
        self.outputs.pop_front()
    }

    /// Answers the request that waits longest with what there is to say.
    fn answer_oldest(&mut self, now: Instant) {
        let Some(held) = self.held.pop_front() else { return };
        let mut body = std::mem::take(&mut self.pending);
        // XEP-0124 §9.1: what came besides the request that is answered.
        let last = self.next_rid.saturating_sub(1);
        if self.phase == Phase::Open && last > held.rid {
            body.set_attr("ack", last.to_string());
        }
        let body = body.to_string();
        self.phase = Phase::Open;
        self.answered.push_back((held.rid, body.clone()));
        while self.answered.len() > self.window() {
            self.answered.pop_front();
        }
        self.answer_with(held.ticket, body);
        self.idle_since = now;
    }

    fn answer_with(&mut self, ticket: Ticket, body: String) {
        self.outputs.push_back(BoshOutput::Answer { ticket, body });
    }

    /// Ends the session for a reason, which `ticket` and all other requests are told.
    fn terminate(&mut self, now: Instant, ticket: Option<Ticket>, condition: TerminalCondition) {
        let body = Body::terminate(Some(condition));
        if let Some(ticket) = ticket {
            self.held.push_back(Held { rid: 0, ticket, until: now });
        }
        self.end(now, body);
    }

    /// Ends the session; the oldest request is told all of it, the others only that it is over.
    fn end(&mut self, now: Instant, body: Body) {
        let early = std::mem::take(&mut self.early).into_values().map(|(ticket, _)| ticket);
        let waiting: Vec<Ticket> =
            std::mem::take(&mut self.held).into_iter().map(|held| held.ticket).chain(early).collect();
        if waiting.is_empty() {
            self.phase = Phase::Ending { body: body.to_string(), until: now + FAREWELL };
            return;
        }
        let mut text = body.to_string();
        for ticket in waiting {
            self.answer_with(ticket, text);
            text = Body::terminate(None).to_string();
        }
        self.finish();
    }

    fn finish(&mut self) {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            self.outputs.push_back(BoshOutput::Over);
        }
    }
}

/// The opening frame that stands for the beginning of a stream.
fn open_frame(to: Option<&str>) -> Element {
    Element::new("open", ns::FRAMING).with_opt_attr("to", to).with_attr("version", "1.0")
}

/// XEP-0124 §17.2: what BOSH has a word for.
fn condition_of(error: &Element) -> TerminalCondition {
    let condition = error.children().map(Element::name).next().unwrap_or_default();
    [
        TerminalCondition::HostUnknown,
        TerminalCondition::ImproperAddressing,
        TerminalCondition::PolicyViolation,
        TerminalCondition::SystemShutdown,
    ]
    .into_iter()
    .find(|known| known.as_str() == condition)
    .unwrap_or(TerminalCondition::RemoteStreamError)
}

/// Lower-case hex of the SHA-1 of a text.
pub(crate) fn sha1_hex(text: &str) -> String {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct World {
        session: BoshSession,
        now: Instant,
    }

    fn body(attrs: &str, payload: &str) -> BodyRequest {
        let text = format!(
            "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' {attrs}>{payload}</body>"
        );
        BodyRequest::read(text.parse().unwrap()).unwrap()
    }

    impl World {
        /// A session whose first request, number 10, is still held.
        fn new(attrs: &str) -> Self {
            let now = Instant::now();
            let request = body(&format!("rid='10' to='d' {attrs}"), "");
            let mut session = BoshSession::new("s1".to_owned(), Ticket(10), request, now);
            assert_eq!(session.poll_output(), Some(BoshOutput::Frame(open_frame(Some("d")))));
            Self { session, now }
        }

        /// A session that is open, with no request held.
        fn open(attrs: &str) -> Self {
            let mut world = Self::new(attrs);
            world.says("<features xmlns='urn:x'/>");
            assert_eq!(world.answers().len(), 1);
            world
        }

        fn says(&mut self, element: &str) {
            assert!(self.session.wants_frames());
            self.session.on_frame(self.now, &Frame::Element(Arc::new(element.parse().unwrap())));
            self.session.on_frames_end(self.now);
        }

        /// Sends a request whose ticket is its number.
        fn sends(&mut self, rid: u64, attrs: &str, payload: &str) {
            let request = body(&format!("rid='{rid}' sid='s1' {attrs}"), payload);
            self.session.on_request(self.now, Ticket(rid), request);
        }

        fn passes(&mut self, time: Duration) {
            self.now += time;
            self.session.on_timeout(self.now);
        }

        fn outputs(&mut self) -> Vec<BoshOutput> {
            std::iter::from_fn(|| self.session.poll_output()).collect()
        }

        /// Tickets that were answered, with what.
        fn answers(&mut self) -> Vec<(u64, String)> {
            let answers = self.outputs().into_iter().filter_map(|output| match output {
                BoshOutput::Answer { ticket, body } => Some((ticket.0, body)),
                BoshOutput::Frame(_) | BoshOutput::Pause { .. } | BoshOutput::Lost | BoshOutput::Over => None,
            });
            answers.collect()
        }

        fn frames(&mut self) -> Vec<String> {
            let frames = self.outputs().into_iter().filter_map(|output| match output {
                BoshOutput::Frame(frame) => Some(frame.attr("id").unwrap_or(frame.name()).to_owned()),
                BoshOutput::Answer { .. } | BoshOutput::Pause { .. } | BoshOutput::Lost | BoshOutput::Over => None,
            });
            frames.collect()
        }
    }

    const EMPTY: &str = "<body xmlns='http://jabber.org/protocol/httpbind'/>";

    fn m(id: &str) -> String {
        format!("<message xmlns='jabber:client' id='{id}'/>")
    }

    #[test]
    fn the_first_answer_says_what_the_session_is_like() {
        let mut world = World::new("wait='600' hold='5'");
        let open = Frame::Element(Arc::new(framing::server_open("d", "a1")));
        world.session.on_frame(world.now, &open);
        world.session.on_frames_end(world.now);
        assert!(world.answers().is_empty(), "nothing to say yet");
        world.says("<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>");
        assert_eq!(
            world.answers(),
            [(
                10,
                "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' sid='s1' wait='60' \
                 requests='2' hold='1' inactivity='60' polling='5' maxpause='120' ack='10' \
                 ver='1.6' xmpp:version='1.0' \
                 xmpp:restartlogic='true' authid='a1' from='d'>\
                 <stream:features xmlns:stream='http://etherx.jabber.org/streams'/></body>"
                    .to_owned()
            )]
        );
    }

    #[test]
    fn a_request_is_held_until_there_is_something_to_say_or_it_waited_long_enough() {
        let mut world = World::open("wait='20' hold='1'");
        world.sends(11, "", "");
        assert!(world.answers().is_empty());
        world.says(&m("a"));
        assert_eq!(world.answers(), [(11, EMPTY.replace("/>", &format!(">{}</body>", m("a"))))]);
        world.sends(12, "", "");
        world.passes(Duration::from_secs(19));
        assert!(world.answers().is_empty());
        world.passes(Duration::from_secs(1));
        assert_eq!(world.answers(), [(12, EMPTY.to_owned())]);
    }

    #[test]
    fn a_second_request_frees_the_first() {
        let mut world = World::open("hold='1'");
        world.sends(11, "", "");
        world.sends(12, "", &m("a"));
        let outputs = world.outputs();
        assert!(
            matches!(&outputs[..], [BoshOutput::Frame(_), BoshOutput::Answer { ticket: Ticket(11), .. }]),
            "{outputs:?}"
        );
    }

    #[test]
    fn an_answer_acknowledges_what_came_after_its_own_request() {
        let mut world = World::open("hold='1'");
        world.sends(11, "", "");
        world.sends(13, "", &m("b"));
        assert!(world.answers().is_empty(), "12 is missing");
        world.sends(12, "", &m("a"));
        let acknowledging = EMPTY.replace("/>", " ack='12'/>");
        assert_eq!(world.answers()[0], (11, acknowledging));
        world.says(&m("c"));
        assert!(!world.answers()[0].1.contains("ack="), "nothing came besides");
    }

    #[test]
    fn a_client_that_says_so_may_be_silent_for_longer() {
        let mut world = World::open("hold='1'");
        world.sends(11, "", "");
        world.sends(12, "pause='120'", "");
        let outputs = world.outputs();
        assert_eq!(outputs[0], BoshOutput::Pause { until: world.now + Duration::from_secs(120) });
        assert!(
            matches!(
                &outputs[1..],
                [BoshOutput::Answer { ticket: Ticket(11), .. }, BoshOutput::Answer { ticket: Ticket(12), .. }]
            ),
            "{outputs:?}"
        );
        world.passes(Duration::from_secs(119));
        assert!(world.outputs().is_empty());
        // Whoever speaks again is expected to go on.
        world.sends(13, "", &m("a"));
        world.says(&m("b"));
        world.outputs();
        world.passes(INACTIVITY);
        assert_eq!(world.outputs(), [BoshOutput::Lost, BoshOutput::Over]);
        let mut world = World::open("hold='1'");
        world.sends(11, "pause='121'", "");
        assert!(world.answers()[0].1.contains("policy-violation"), "longer than was offered");
    }

    #[test]
    fn requests_take_their_turn_whatever_order_they_come_in() {
        let mut world = World::open("hold='1'");
        world.sends(12, "", &m("b"));
        assert!(world.outputs().is_empty());
        world.sends(11, "", &m("a"));
        assert_eq!(world.frames(), ["a", "b"]);
    }

    #[test]
    fn a_request_beyond_the_window_ends_the_session() {
        let mut world = World::open("hold='1'");
        world.sends(14, "", "");
        let outputs = world.outputs();
        assert_eq!(outputs[0], BoshOutput::Lost);
        assert!(
            matches!(&outputs[1], BoshOutput::Answer { body, .. } if body.contains("item-not-found")),
            "{outputs:?}"
        );
        assert_eq!(outputs[2], BoshOutput::Over);
    }

    #[test]
    fn an_answer_that_got_lost_is_given_again_and_its_stanzas_handled_once() {
        let mut world = World::open("hold='1'");
        world.sends(11, "", &m("a"));
        assert_eq!(world.frames(), ["a"]);
        world.says(&m("b"));
        let first = world.answers();
        world.sends(11, "", &m("a"));
        assert_eq!(world.outputs(), [BoshOutput::Answer { ticket: Ticket(11), body: first[0].1.clone() }]);
        // Still held: the connection of the first broke.
        world.sends(12, "", "");
        world.sends(12, "", "");
        assert_eq!(world.answers(), [(12, EMPTY.to_owned())], "the broken one");
        world.says(&m("c"));
        assert!(world.answers()[0].1.contains("id='c'"));
        // Too old to be known.
        world.sends(9, "", "");
        assert!(world.answers()[0].1.contains("item-not-found"));
    }

    #[test]
    fn a_client_that_is_not_heard_of_is_lost() {
        let mut world = World::open("hold='1'");
        world.passes(INACTIVITY - Duration::from_secs(1));
        assert!(world.outputs().is_empty());
        world.passes(Duration::from_secs(1));
        assert_eq!(world.outputs(), [BoshOutput::Lost, BoshOutput::Over]);
    }

    #[test]
    fn a_client_that_polls_is_answered_at_once_and_not_too_often() {
        let mut world = World::open("hold='0'");
        world.sends(11, "", "");
        assert_eq!(world.answers(), [(11, EMPTY.to_owned())]);
        world.says(&m("a"));
        world.passes(POLLING);
        world.sends(12, "", "");
        assert!(world.answers()[0].1.contains("id='a'"));
        world.sends(13, "", &m("b"));
        assert_eq!(world.answers(), [(13, EMPTY.to_owned())], "one with a stanza may come at any time");
        world.sends(14, "", "");
        assert!(world.answers()[0].1.contains("policy-violation"));
    }

    #[test]
    fn a_restart_and_the_end_are_frames_of_the_stream() {
        let mut world = World::open("hold='1'");
        world.sends(11, "xmpp:restart='true' to='d'", "");
        assert_eq!(world.outputs(), [BoshOutput::Frame(open_frame(Some("d")))]);
        world.sends(12, "type='terminate'", &m("bye"));
        let outputs = world.outputs();
        assert!(matches!(&outputs[..2], [BoshOutput::Frame(_), BoshOutput::Frame(_)]), "{outputs:?}");
        let terminate = "<body xmlns='http://jabber.org/protocol/httpbind' type='terminate'/>";
        for (at, ticket) in [(2, 11), (3, 12)] {
            assert_eq!(outputs[at], BoshOutput::Answer { ticket: Ticket(ticket), body: terminate.to_owned() });
        }
        assert_eq!(outputs[4], BoshOutput::Over);
    }

    #[test]
    fn keys_have_to_be_a_chain() {
        let chain: Vec<String> =
            std::iter::successors(Some("seed".to_owned()), |key| Some(sha1_hex(key))).take(4).collect();
        let mut world = World::open(&format!("hold='1' newkey='{}'", chain[3]));
        world.sends(11, &format!("key='{}'", chain[2]), &m("a"));
        assert_eq!(world.frames(), ["a"]);
        world.sends(12, &format!("key='{}' newkey='{}'", chain[1], sha1_hex("new")), &m("b"));
        assert_eq!(world.frames(), ["b"]);
        world.sends(13, "key='new'", &m("c"));
        assert_eq!(world.frames(), ["c"]);
        world.sends(14, "key='guessed'", &m("d"));
        let outputs = world.outputs();
        assert_eq!(outputs[0], BoshOutput::Lost, "{outputs:?}");
        let mut world = World::open(&format!("hold='1' newkey='{}'", chain[3]));
        world.sends(11, "", &m("a"));
        assert_eq!(world.outputs()[0], BoshOutput::Lost, "none at all");
    }

    #[test]
    fn the_end_of_the_stream_is_told_in_the_words_of_bosh() {
        for (condition, expected) in [
            ("host-unknown", "condition='host-unknown'"),
            ("system-shutdown", "condition='system-shutdown'"),
            ("conflict", "condition='remote-stream-error'><stream:error"),
        ] {
            let mut world = World::open("hold='1'");
            world.sends(11, "", "");
            let error = format!(
                "<e:error xmlns:e='http://etherx.jabber.org/streams'>\
                 <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></e:error>"
            );
            world.session.on_frame(world.now, &Frame::Element(Arc::new(error.parse().unwrap())));
            world.session.on_frame(world.now, &Frame::Close);
            let (ticket, answer) = world.answers().remove(0);
            assert_eq!(ticket, 11);
            assert!(answer.contains("type='terminate'") && answer.contains(expected), "{answer}");
        }
    }

    #[test]
    fn an_end_without_a_request_to_say_it_in_waits_for_one() {
        let mut world = World::open("hold='1'");
        world.session.on_overfull(world.now);
        assert!(world.outputs().is_empty());
        world.sends(11, "", "");
        let outputs = world.outputs();
        assert!(matches!(&outputs[0], BoshOutput::Answer { body, .. } if body.contains("policy-violation")));
        assert_eq!(outputs[1], BoshOutput::Over);
        let mut world = World::open("hold='1'");
        world.session.on_core_gone(world.now);
        world.passes(FAREWELL);
        assert_eq!(world.outputs(), [BoshOutput::Over]);
    }

    #[test]
    fn frames_wait_elsewhere_while_nobody_can_be_answered_or_an_answer_is_full() {
        let mut world = World::open("hold='1'");
        assert!(!world.session.wants_frames());
        world.sends(11, "", "");
        assert!(world.session.wants_frames());
        let large = format!("<message xmlns='jabber:client'>{}</message>", "x".repeat(MAX_ANSWER_BYTES));
        world.session.on_frame(world.now, &Frame::Element(Arc::new(large.parse().unwrap())));
        assert!(!world.session.wants_frames());
        world.session.on_frames_end(world.now);
        assert_eq!(world.answers().len(), 1);
    }
}
