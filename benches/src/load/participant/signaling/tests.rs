//! The conversation against a scripted server.

use super::*;

const ROOM: &str = "load-0@muc.meet.example";

struct Server {
    signaling: Signaling,
    now: Instant,
    sent: Vec<Element>,
    events: Vec<SignalingEvent>,
}

impl Server {
    fn new(account: Option<(&str, &str)>) -> Self {
        Self::for_purpose(Purpose::Meet, account)
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
    fn for_purpose(purpose: Purpose, account: Option<(&str, &str)>) -> Self {
        let settings = SignalingSettings {
            domain: "meet.example".to_owned(),
            focus: "focus.meet.example".to_owned(),
            room: ROOM.parse().unwrap(),
            account: account.map(|(name, password)| (name.to_owned(), password.to_owned())),
            token: None,
            display_name: "Load 1".to_owned(),
            nick_of_account: "0badcafe".to_owned(),
            purpose,
            ssrc_rewriting: false,
            region: Some("eu".to_owned()),
            source_info: r#"{"{nick}-a0":{"muted":false}}"#.to_owned(),
        };
        let now = Instant::now();
        let mut server = Self { signaling: Signaling::new(settings, now), now, sent: Vec::new(), events: Vec::new() };
        server.drain();
        server
    }

    fn drain(&mut self) {
        while let Some(frame) = self.signaling.poll_frame() {
            self.sent.push(frame.parse().unwrap());
        }
        while let Some(event) = self.signaling.poll_event() {
            self.events.push(event);
        }
    }

    fn try_say(&mut self, frame: &str) -> Result<(), Failure> {
        let result = self.signaling.handle_frame(self.now, frame);
        self.drain();
        result
    }

    fn say(&mut self, frame: &str) {
        self.try_say(frame).unwrap();
    }

    fn take(&mut self) -> Element {
        self.sent.remove(0)
    }

    fn log_in(&mut self, with_acks: bool) {
        assert!(framing::is_open(&self.take()) || self.sent.is_empty());
        self.say("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='meet.example' id='s' version='1.0'/>");
        self.say(&features("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>ANONYMOUS</mechanism><mechanism>PLAIN</mechanism></mechanisms>"));
        assert!(self.take().is("auth", ns::SASL));
        self.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        self.take();
        self.say("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='meet.example' id='t' version='1.0'/>");
        let sm = if with_acks { "<sm xmlns='urn:xmpp:sm:3'/>" } else { "" };
        self.say(&features(&format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required/></bind>{sm}")));
        self.take();
        self.say("<iq type='result' id='bind' xmlns='jabber:client'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>abcd1234-0000-4000-8000-000000000000@meet.example/x</jid></bind></iq>");
    }

    fn join(&mut self) {
        self.log_in(false);
        assert_eq!(self.take().attr("to"), Some("focus.meet.example"));
        self.answer_request(true);
        assert!(self.take().child("x", ns::MUC).is_some());
        self.presence("focus", "");
        self.presence("abcd1234", "");
    }

    fn answer_request(&mut self, ready: bool) {
        self.say(&format!("<iq type='result' id='conference' xmlns='jabber:client'><conference xmlns='http://jitsi.org/protocol/focus' room='{ROOM}' ready='{ready}' focusjid='focus@auth.meet.example'/></iq>"));
    }

    fn presence(&mut self, nick: &str, kind: &str) {
        let kind = if kind.is_empty() { String::new() } else { format!("type='{kind}'") };
        self.say(&format!("<presence xmlns='jabber:client' from='{ROOM}/{nick}' {kind}><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant'/></x></presence>"));
    }

    fn jingle(&mut self, action: &str) {
        self.say(&format!("<iq type='set' id='j' from='{ROOM}/focus' xmlns='jabber:client'><jingle xmlns='urn:xmpp:jingle:1' action='{action}' sid='s1'/></iq>"));
        let answer = self.take();
        assert_eq!((answer.attr("type"), answer.attr("id")), (Some("result"), Some("j")));
    }

    fn wait(&mut self, time: Duration) -> Result<(), Failure> {
        self.now += time;
        let result = self.signaling.handle_timeout(self.now);
        self.drain();
        result
    }
}

fn features(children: &str) -> String {
    format!("<stream:features xmlns:stream='http://etherx.jabber.org/streams'>{children}</stream:features>")
}

#[test]
fn a_guest_joins_is_invited_and_accepts() {
    let mut server = Server::new(None);
    server.join();
    assert_eq!(
        server.events,
        [
            SignalingEvent::LoggedIn,
            SignalingEvent::ConferenceReady,
            SignalingEvent::Joined { nick: "abcd1234".to_owned() }
        ]
    );
    server.events.clear();
    server.presence("ef567890", "");
    assert_eq!(server.events, [SignalingEvent::NotAlone]);
    server.jingle("session-initiate");
    assert!(matches!(server.events.last(), Some(SignalingEvent::Offer(_))));
    server.signaling.accept(server.now, Jingle::new(Action::SessionAccept, "s1"));
    server.drain();
    let accept = server.take();
    assert_eq!(accept.attr("to"), Some(format!("{ROOM}/focus").as_str()));
    server.say(&format!("<iq type='result' id='{}' xmlns='jabber:client'/>", accept.attr("id").unwrap()));
    assert_eq!(server.events.last(), Some(&SignalingEvent::Accepted));
    let presence = server.take();
    assert!(presence.child("x", ns::MUC).is_none());
    assert_eq!(presence.child_named("jitsi_participant_region").unwrap().text(), "eu");
    assert_eq!(presence.child_named("SourceInfo").unwrap().text(), r#"{"abcd1234-a0":{"muted":false}}"#);
    server.jingle("source-add");
    assert!(matches!(server.events.last(), Some(SignalingEvent::Sources(_))));
    server.say(&format!("<presence xmlns='jabber:client' from='{ROOM}/ef567890' type='unavailable'/>"));
    assert_eq!(server.events.last(), Some(&SignalingEvent::OccupantLeft { nick: "ef567890".to_owned() }));
    server.jingle("session-terminate");
    server.jingle("session-initiate");
    assert!(matches!(server.events.last(), Some(SignalingEvent::Offer(_))));
    server.signaling.leave();
    server.drain();
    assert_eq!(server.take().attr("type"), Some("unavailable"));
    assert!(framing::is_close(&server.take()));
}

#[test]
fn who_only_attends_asks_for_no_conference_and_waits_for_no_invitation() {
    let mut server = Server::for_purpose(Purpose::Attend, None);
    server.log_in(false);
    assert!(server.take().child("x", ns::MUC).is_some());
    server.presence("0badf00d", "");
    server.presence("abcd1234", "");
    let joined = SignalingEvent::Joined { nick: "abcd1234".to_owned() };
    assert_eq!(server.events, [SignalingEvent::LoggedIn, joined]);
    for _ in 0..30 {
        server.wait(PING_INTERVAL).unwrap();
        assert!(ping::is_ping(&server.take()), "it says nothing but that it is there");
        server.say("<iq type='result' id='p' xmlns='jabber:client'/>");
    }
}

#[test]
fn stanzas_are_counted_where_the_server_wants_it() {
    let mut server = Server::new(None);
    server.log_in(true);
    assert!(server.take().is("enable", ns::SM));
    assert!(server.sent.is_empty(), "nothing leaves before the answer");
    server.say("<enabled xmlns='urn:xmpp:sm:3' id='a' resume='true'/>");
    server.take();
    server.answer_request(true);
    server.take();
    server.say("<r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(server.take().attr("h"), Some("1"));
    server.say("<a xmlns='urn:xmpp:sm:3' h='2'/>");
    let error = server.try_say("<a xmlns='urn:xmpp:sm:3' h='99'/>").unwrap_err();
    assert_eq!(error.cause, FailureCause::NotXmpp);
}

#[test]
fn a_focus_that_is_not_ready_is_asked_again() {
    let mut server = Server::new(None);
    server.log_in(false);
    server.take();
    for pause in [1, 2, 4] {
        server.answer_request(false);
        server.wait(Duration::from_millis(pause * 1000 - 1)).unwrap();
        assert!(server.sent.is_empty());
        server.wait(Duration::from_millis(1)).unwrap();
        assert_eq!(server.take().attr("id"), Some("conference"));
    }
}

#[test]
fn each_refusal_has_its_cause() {
    let refuse = |prepare: fn(&mut Server), frame: &str| {
        let mut server = Server::new(None);
        prepare(&mut server);
        server.try_say(frame).unwrap_err()
    };
    let failure = refuse(|_| {}, "not xml at all");
    assert_eq!(failure.cause, FailureCause::NotXmpp);
    let failure = refuse(
        |_| {},
        "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-allowed/><text>token expired</text></failure>",
    );
    assert_eq!(failure.cause, FailureCause::Authentication);
    assert!(failure.detail.contains("not-allowed token expired"), "{failure}");
    let failure = refuse(
        |server| server.log_in(false),
        "<iq type='error' id='conference' xmlns='jabber:client'><error type='cancel'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    );
    assert_eq!(
        (failure.cause, failure.detail.as_str()),
        (FailureCause::ConferenceRequest, "the focus refuses: not-authorized")
    );
    let gone = format!("<presence xmlns='jabber:client' from='{ROOM}/focus' type='unavailable'/>");
    assert_eq!(refuse(Server::join, &gone).cause, FailureCause::SessionTerminated);
    let refused = format!(
        "<presence xmlns='jabber:client' from='{ROOM}/abcd1234' type='error'><error type='wait'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    );
    assert_eq!(refuse(Server::join, &refused).cause, FailureCause::RoomRefused);
}

#[test]
fn each_silence_has_its_cause() {
    let late = |prepare: fn(&mut Server)| {
        let mut server = Server::new(None);
        prepare(&mut server);
        let deadline = server.signaling.deadline.unwrap();
        server.wait(deadline - server.now).unwrap_err().cause
    };
    assert_eq!(late(|_| {}), FailureCause::NotXmpp);
    assert_eq!(late(|server| server.log_in(false)), FailureCause::ConferenceRequest);
    let invited = |server: &mut Server| {
        server.join();
        server.presence("ef567890", "");
    };
    assert_eq!(late(invited), FailureCause::NoOffer);
    let mut server = Server::new(None);
    server.join();
    server.take_pings(3);
}

impl Server {
    fn take_pings(&mut self, pings: usize) {
        for _ in 0..pings - 1 {
            self.wait(PING_INTERVAL).unwrap();
            assert!(ping::is_ping(&self.take()));
        }
        assert_eq!(self.wait(PING_INTERVAL).unwrap_err().cause, FailureCause::ConnectionLost);
    }
}

#[test]
fn an_account_has_a_password_and_a_nick_of_its_own() {
    let mut server = Server::new(Some(("alice", "hush")));
    server.take();
    server.say("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='meet.example' id='s' version='1.0'/>");
    let only_guests =
        features("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>ANONYMOUS</mechanism></mechanisms>");
    assert_eq!(server.try_say(&only_guests).unwrap_err().cause, FailureCause::Authentication);
}
