//! Clients that do anything in any order: nothing panics, nothing is sent to who is gone, nothing is kept of them.

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use signaling::{
    AccessSettings, Account, AllOwners, AnswerTo, BadFrame, CallAnswer, CallFailed, Carrier, Claims, Component,
    ConnectionEnd, ConnectionId, EventSettings, Frame, Hosts, Input, LookUp, Metrics, Now, Origin, Output,
    OutsideServer, Patience, ReservationSettings, Secret, Server, Settings, ShownToken, Tls, VisitorHosts, WhenSilent,
};
use xmpp::muc::{MucUser, status};
use xmpp::{Element, bind, component, framing, ns};

const STEPS: usize = 2000;
const SEEDS: u64 = 10;

const A: &str = "a@muc.meet.example";
const B: &str = "b@muc.meet.example";

/// Frames that move the stream, or end it when their time is wrong.
const STREAM: &[&str] = &[
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>",
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='{to}'/>",
    "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp2YgBn</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biwsbj1qdmIscj1hYmM=</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'/>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>biwsbj1qdmIscj1hYmM=</response>",
    "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<enable xmlns='urn:xmpp:sm:3' resume='{bool}'/>",
    "<a xmlns='urn:xmpp:sm:3' h='{n}'/>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    "<resume xmlns='urn:xmpp:sm:3' previd='{previd}' h='{n}'/>",
    "<odd xmlns='urn:x'><deep/></odd>",
];

/// Stanzas, good and bad. Holes are filled with what may fit.
const STANZAS: &[&str] = &[
    "<iq type='set' id='{n}' to='focus.meet.example'><conference xmlns='http://jitsi.org/protocol/focus' room='{room}'/></iq>",
    "<iq type='set' id='{n}' to='focus.meet.example'><conference xmlns='http://jitsi.org/protocol/focus' room='{room}'/></iq>",
    "<iq type='set' id='{n}' to='focus.meet.example'><conference xmlns='http://jitsi.org/protocol/focus' room='{room}'/></iq>",
    "<presence to='{to}' type='{type}'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence to='{room}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence to='{room}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence to='{room}/focus'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence to='{room}/focus'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence to='{room}/{nick}' type='unavailable'/>",
    "<presence type='unavailable'/>",
    "<message to='{to}' type='{type}'><body>b</body></message>",
    "<message to='{room}' type='groupchat'><body>b</body></message>",
    "<message to='{room}' type='groupchat'><subject>s</subject></message>",
    "<message to='{room}/{nick}' type='chat'><body>b</body></message>",
    "<iq to='{to}' type='{type}' id='{n}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    "<iq to='{to}' type='{type}' id='{n}'><ping xmlns='urn:xmpp:ping'/></iq>",
    "<iq to='{room}/{nick}' type='{type}' id='{n}'><jingle xmlns='urn:xmpp:jingle:1'/></iq>",
    "<iq to='{room}' type='set' id='{n}'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='{aff}' jid='{to}'/></query></iq>",
    "<iq to='{room}' type='set' id='{n}'><query xmlns='http://jabber.org/protocol/muc#admin'><item role='{role}' nick='{nick}'/></query></iq>",
    "<iq to='{room}' type='{type}' id='{n}'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>",
    "<iq to='{room}' type='set' id='{n}'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field><field var='muc#roomconfig_membersonly'><value>{bool}</value></field></x></query></iq>",
];

/// Stanzas to components, lobbies and breakout rooms.
const COMPONENTS: &[&str] = &[
    "<message to='metadata.meet.example'><room_metadata xmlns='http://jitsi.org/jitmeet' room='{room}'>{\"key\":\"permissions\",\"data\":{\"groupChatRestricted\":true}}</room_metadata></message>",
    "<message to='metadata.meet.example'><room_metadata xmlns='http://jitsi.org/jitmeet' room='{room}'>{\"key\":\"audioTranslation\",\"data\":{\"enabled\":false}}</room_metadata></message>",
    "<message to='avmoderation.meet.example'><av_moderation enable='{bool}' mediaType='audio'/></message>",
    "<message to='avmoderation.meet.example'><av_moderation mediaType='audio' jidToWhitelist='{room}/{nick}'/></message>",
    "<message to='avmoderation.meet.example'><av_moderation mediaType='audio' jidToBlacklist='{room}/{nick}'/></message>",
    "<message to='polls.meet.example'><json-message xmlns='http://jitsi.org/jitmeet'>{\"type\":\"polls\",\"command\":\"new-poll\",\"pollId\":\"{n}\",\"question\":\"q\",\"answers\":[{\"name\":\"a\"}]}</json-message></message>",
    "<message to='polls.meet.example'><json-message xmlns='http://jitsi.org/jitmeet'>{\"type\":\"polls\",\"command\":\"answer-poll\",\"pollId\":\"{n}\",\"answers\":[true]}</json-message></message>",
    "<message to='speakerstats.meet.example'><speakerstats xmlns='http://jitsi.org/jitmeet' room='{room}' silence='{bool}'/></message>",
    "<message to='filesharing.meet.example'><file-sharing xmlns='http://jitsi.org/jitmeet' type='add'>{\"fileId\":\"{n}\"}</file-sharing></message>",
    "<message to='audiotranslation.meet.example'><audio-translation xmlns='http://jitsi.org/jitmeet'>{\"{nick}\":\"de\"}</audio-translation></message>",
    "<message to='endconference.meet.example'><end_conference/></message>",
    "<message to='breakout.meet.example'><breakout_rooms type='features/breakout-rooms/add' subject='{n}'/></message>",
    "<message to='breakout.meet.example'><breakout_rooms type='features/breakout-rooms/add' subject='{n}'/></message>",
    "<message to='breakout.meet.example'><breakout_rooms type='features/breakout-rooms/remove' breakoutRoomJid='{breakout}'/></message>",
    "<message to='breakout.meet.example'><breakout_rooms type='features/breakout-rooms/move-to-room' participantJid='{to}' roomJid='{breakout}'/></message>",
    "<presence to='{breakout}/focus'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence to='{breakout}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence to='{breakout}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence to='{breakout}/{nick}' type='unavailable'/>",
    "<presence to='{room}/{nick}' type='unavailable'><status>switch_room</status></presence>",
    "<presence to='{lobby}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence to='{lobby}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<message to='{lobby}' type='groupchat'><body>b</body></message>",
    "<message to='{lobby}/{nick}' type='chat'><body>b</body></message>",
    "<iq to='{lobby}' type='set' id='{n}'><query xmlns='http://jabber.org/protocol/muc#admin'><item role='none' nick='{nick}'/></query></iq>",
    "<message to='{room}'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='{to}'/></x></message>",
    "<message to='{room}' type='groupchat' id='{n}'><body>b</body><retract xmlns='urn:xmpp:message-retract:1' id='{n}'/></message>",
    "<iq to='{room}/focus' type='set' id='{n}'><jibri xmlns='http://jitsi.org/protocol/jibri' action='start'/></iq>",
];

/// Stanzas of visitors, of those whom they see, and of the focus about both.
const VISITORS: &[&str] = &[
    "<presence to='{vroom}/focus'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence to='{vroom}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence to='{vroom}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence to='{vroom}/{nick}'><jitsi_participant_raisedHand>{n}</jitsi_participant_raisedHand></presence>",
    "<presence to='{vroom}/{nick}'><jitsi_participant_requestingTranscription>{bool}</jitsi_participant_requestingTranscription></presence>",
    "<presence to='{vroom}/{nick}' type='unavailable'/>",
    "<message to='{vroom}' type='groupchat' id='{n}'><body>b</body></message>",
    "<message to='{vroom}' type='groupchat'><retract xmlns='urn:xmpp:message-retract:1' id='{n}'/></message>",
    "<message to='{vroom}/{nick}' type='chat'><body>b</body></message>",
    "<iq to='{vroom}/{nick}' type='{type}' id='{n}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    "<iq to='{vroom}' type='set' id='{n}'><query xmlns='http://jabber.org/protocol/muc#admin'><item role='{role}' nick='{nick}'/></query></iq>",
    "<message to='polls.v1.meet.example'><json-message xmlns='http://jitsi.org/jitmeet'>{\"type\":\"polls\",\"command\":\"answer-poll\",\"pollId\":\"{n}\",\"answers\":[true]}</json-message></message>",
    "<message to='{room}' type='groupchat'><json-message xmlns='http://jitsi.org/jitmeet'>{\"type\":\"visitors\",\"action\":\"promotion-response\",\"approved\":{bool},\"id\":\"{to}\"}</json-message></message>",
    "<message to='{room}' type='groupchat'><json-message xmlns='http://jitsi.org/jitmeet'>{\"type\":\"visitors\",\"action\":\"demote-request\",\"actor\":\"{nick}\",\"id\":\"{nick}\"}</json-message></message>",
    "<iq type='get' id='{n}' to='visitors.meet.example'><visitors xmlns='jitsi:visitors' room='{room}'><connect-vnode vnode='v1'/></visitors></iq>",
    "<iq type='get' id='{n}' to='visitors.meet.example'><visitors xmlns='jitsi:visitors' room='{room}'><disconnect-vnode vnode='v1'/></visitors></iq>",
];

/// What the focus does, without which nobody gets anywhere.
const FOCUS: &[&str] = &[
    "<presence to='{room}/focus'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence to='{room}/focus'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<presence to='{vroom}/focus'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    "<iq type='get' id='{n}' to='visitors.meet.example'><visitors xmlns='jitsi:visitors' room='{room}'><connect-vnode vnode='v1'/></visitors></iq>",
];

struct Disorder {
    server: Server,
    metrics: Metrics,
    rng: StdRng,
    now: Now,
    /// Open connections, with the address bound on each.
    open: BTreeMap<ConnectionId, Option<String>>,
    next: u64,
    resume_ids: Vec<String>,
    /// Addresses of breakout rooms, past or present.
    breakouts: Vec<String>,
    /// Messages that came from components.
    from_components: usize,
    /// Of the last stream that was opened.
    stream_id: String,
    joined: usize,
    /// Of those, into rooms of visitors, the focus's among them.
    visited: usize,
    timeout: Option<Instant>,
    /// What servers of others were asked, and the form that they got.
    asked: Vec<(AnswerTo, String)>,
    granted: usize,
}

impl Disorder {
    fn new(seed: u64) -> Self {
        let mut settings = Settings::new(Hosts::of("meet.example").unwrap());
        let jid = "jvb@meet.example".parse().unwrap();
        settings.accounts.push(Account { jid, password: Secret::new("g").unwrap() });
        let domain = "gate.meet.example".parse().unwrap();
        settings.components.push(Component { domain, secret: Secret::new("s3cret").unwrap() });
        settings.limits.connections = 12;
        settings.limits.sessions = 10;
        settings.limits.rooms = 3;
        settings.limits.rooms_per_session = 3;
        settings.limits.unacknowledged = 50;
        settings.limits.occupants = Some(4);
        settings.hosts.components.file_sharing = "filesharing.meet.example".parse().ok();
        settings.hosts.components.audio_translation = "audiotranslation.meet.example".parse().ok();
        // Each seed another deployment: who owns rooms, who waits in front of them, how fast they are entered.
        settings.conference.all_owners = seed.is_multiple_of(2).then(AllOwners::default);
        settings.conference.wait_for_host = seed.is_multiple_of(3);
        settings.conference.joins_per_second = if seed.is_multiple_of(5) { NonZeroU32::new(1) } else { None };
        settings.conference.leaves_per_second = settings.conference.joins_per_second;
        let url = "https://out.example".parse().unwrap();
        let patience = Patience { timeout: Duration::from_secs(20), retries: 3, pause: Duration::from_secs(3) };
        let server = Arc::new(OutsideServer { url, headers: Vec::new(), patience });
        let access = AccessSettings { server: Arc::clone(&server), when_silent: WhenSilent::Refuse };
        settings.outside.access = seed.is_multiple_of(7).then_some(access);
        settings.outside.events =
            Some(EventSettings { server: Arc::clone(&server), speaker_times: false, secret: None });
        settings.outside.reservations = seed.is_multiple_of(4).then_some(ReservationSettings {
            server,
            max_occupants: true,
            lobby: true,
            password: true,
        });
        settings.hosts.visitors = Some(VisitorHosts::of(&settings.hosts, 1, "meet.example").unwrap());
        settings.visitors.auto_allow = seed.is_multiple_of(2);
        let metrics = Metrics::new();
        #[expect(clippy::disallowed_methods, reason = "an instant to count from")]
        let now = Now { instant: Instant::now(), unix_ms: 0 };
        Self {
            server: Server::new(settings, [9; 32], metrics.clone()),
            metrics,
            rng: StdRng::seed_from_u64(seed),
            now,
            open: BTreeMap::new(),
            next: 0,
            resume_ids: Vec::new(),
            breakouts: Vec::new(),
            from_components: 0,
            stream_id: String::new(),
            joined: 0,
            visited: 0,
            timeout: None,
            asked: Vec::new(),
            granted: 0,
        }
    }

    fn input(&mut self, input: Input) {
        self.server.handle_input(self.now, input);
        loop {
            match self.server.poll_output() {
                Output::Send { connection, frame } => {
                    assert!(self.open.contains_key(&connection), "sent to {connection:?}, which is gone");
                    match frame {
                        Frame::Element(element) => self.learn(connection, &element.to_string().parse().unwrap()),
                        Frame::Stanza(stanza) => self.learn(connection, &stanza.to_string().parse().unwrap()),
                        Frame::StartTls | Frame::Trust | Frame::Close => {}
                    }
                }
                Output::CheckPassword { connection, check } => {
                    let verdict = check.run();
                    self.server.handle_input(self.now, Input::PasswordChecked { connection, verdict });
                }
                Output::LookUpAccount { connection, .. } => {
                    let found = LookUp::NoSuchAccount;
                    self.server.handle_input(self.now, Input::AccountLookedUp { connection, found });
                }
                Output::Call(call) => match call.answer_to {
                    AnswerTo::Question(_) | AnswerTo::Login(_) => self.asked.push((call.answer_to, call.body)),
                    AnswerTo::Nobody { .. } => {}
                },
                Output::Close { connection } => {
                    assert!(self.open.remove(&connection).is_some(), "closed {connection:?} twice");
                }
                Output::Timeout(timeout) => {
                    self.timeout = timeout;
                    return;
                }
            }
        }
    }

    /// Takes from what the server says what later frames can refer to.
    fn learn(&mut self, connection: ConnectionId, element: &Element) {
        if let Some(Ok(jid)) = bind::bound_jid(element) {
            self.open.insert(connection, Some(jid.to_string()));
        }
        let is_joined = MucUser::of_presence(element).is_some_and(|user| user.has_status(status::NON_ANONYMOUS));
        self.joined += usize::from(is_joined);
        self.visited += usize::from(is_joined && element.attr("from").is_some_and(|from| from.contains("@muc.v1.")));
        if let Some(from) = element.attr("from").filter(|_| element.name() == "message") {
            self.from_components += usize::from(!from.contains('@') && from != "meet.example");
        }
        let text = element.to_string();
        if let Some(end) = text.find("@breakout.meet.example") {
            let start = text[..end].rfind(|c: char| !c.is_ascii_hexdigit() && c != '-').map_or(0, |at| at + 1);
            self.breakouts.push(text[start..end + "@breakout.meet.example".len()].to_owned());
        }
        if framing::is_open(element) {
            self.stream_id = element.attr("id").unwrap_or_default().to_owned();
        }
        if let Some(id) = element.attr("id").filter(|_| element.ns() == ns::SM) {
            self.resume_ids.push(id.to_owned());
        }
    }

    fn step(&mut self) {
        let connections: Vec<ConnectionId> = self.open.keys().copied().collect();
        let Some(connection) = connections.choose(&mut self.rng).copied() else { return self.connect() };
        match self.rng.random_range(0..1000) {
            0..60 => self.connect(),
            60..70 => self.disconnect(connection),
            70..72 => {
                let frame = Err(if self.rng.random() { BadFrame::NotWellFormed } else { BadFrame::TooLarge });
                self.input(Input::Frame { connection, frame });
            }
            72..84 => self.wait(),
            84..100 => self.answer(),
            _ => {
                let frame = Ok(self.frame(connection));
                self.input(Input::Frame { connection, frame });
            }
        }
    }

    fn connect(&mut self) {
        let connection = ConnectionId(self.next);
        self.next += 1;
        self.open.insert(connection, None);
        if self.rng.random_ratio(1, 8) {
            let account = ["focus", "jvb"].choose(&mut self.rng).unwrap();
            let jid = format!("{account}@auth.meet.example/{account}");
            self.open.insert(connection, Some(jid.clone()));
            return self.input(Input::ServiceAttached { connection, jid: jid.parse().unwrap() });
        }
        let previous = self.resume_ids.choose(&mut self.rng).cloned();
        let room = ["a", "b"].choose(&mut self.rng).map(|room| (*room).to_owned());
        let token = serde_json::json!({"room": "a", "context": {"user": {"moderator": true}}});
        let verified = || ShownToken::Verified(Arc::new(Claims::of_payload(&token)));
        let token = if self.rng.random_ratio(1, 4) { verified() } else { ShownToken::None };
        let carriers = [
            Carrier::WebSocket,
            Carrier::WebSocket,
            Carrier::Bosh,
            Carrier::Tcp(Tls::Required),
            Carrier::Tcp(Tls::Established),
            Carrier::Tcp(Tls::Absent),
            Carrier::Component,
        ];
        let carrier = *carriers.choose(&mut self.rng).unwrap();
        let origin = Origin { previous, room, token, carrier, ..Origin::default() };
        self.input(Input::Connected { connection, origin });
        if carrier == Carrier::Component {
            return self.connect_component(connection);
        }
        let domain = if self.rng.random_ratio(1, 3) { "v1.meet.example" } else { "meet.example" };
        let open = framing::client_open(domain);
        let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>".parse().unwrap();
        let enable = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>".parse().unwrap();
        let frames = [open.clone(), auth, open, bind::request("b", None), enable];
        let known = if self.rng.random_ratio(9, 10) { frames.len() } else { self.rng.random_range(0..frames.len()) };
        for frame in frames.into_iter().take(known) {
            if self.open.contains_key(&connection) {
                self.input(Input::Frame { connection, frame: Ok(frame) });
            }
        }
    }

    fn connect_component(&mut self, connection: ConnectionId) {
        let open = framing::client_open("gate.meet.example");
        self.input(Input::Frame { connection, frame: Ok(open) });
        let digest = sha1_hex(&format!("{}s3cret", self.stream_id));
        let digest = if self.rng.random_ratio(3, 4) { digest } else { "guessed".to_owned() };
        self.input(Input::Frame { connection, frame: Ok(component::handshake(&digest)) });
        if let Some(bound) = self.open.get_mut(&connection) {
            *bound = Some("a@gate.meet.example/r".to_owned());
        }
    }

    fn disconnect(&mut self, connection: ConnectionId) {
        self.open.remove(&connection);
        let ends = [ConnectionEnd::Lost, ConnectionEnd::GoingAway, ConnectionEnd::QueueFull];
        let end = *ends.choose(&mut self.rng).unwrap();
        self.input(Input::Disconnected { connection, end });
    }

    fn wait(&mut self) {
        let pause = Duration::from_millis(self.rng.random_range(0..12_000));
        let until = self.now.instant + pause;
        while let Some(next) = self.timeout.filter(|next| *next <= until) {
            self.now.instant = self.now.instant.max(next);
            self.input(Input::Timeout);
        }
        self.now.instant = until;
        self.now.unix_ms += u64::try_from(pause.as_millis()).unwrap();
    }

    /// A server of others answers something, or not in time.
    fn answer(&mut self) {
        let Some((call, form)) = self.asked.pop() else { return };
        let name = form.strip_prefix("name=").and_then(|form| form.split('&').next()).unwrap_or("a");
        let duration = self.now.unix_ms / 1000 + self.rng.random_range(0..60);
        let grant = serde_json::json!({
            "id": 1, "name": name, "mail_owner": "a", "start_time": "1970-01-01T00:00:00Z", "duration": duration,
            "max_occupants": 3, "lobby": self.rng.random_ratio(1, 8),
        });
        let answer = |status, body: &str| Ok(CallAnswer { status, body: body.as_bytes().to_vec() });
        let end = match self.rng.random_range(0..30) {
            0 => Err(CallFailed::TimedOut),
            1 => Err(CallFailed::Unreachable),
            2 => answer(403, "{\"message\":\"no\"}"),
            3 => answer(409, "{\"conflict_id\":1}"),
            4 => answer(200, "nothing"),
            _ => {
                self.granted += 1;
                answer(200, &grant.to_string())
            }
        };
        match call {
            AnswerTo::Question(call) => self.input(Input::CallEnded { call, end }),
            AnswerTo::Login(connection) => self.input(Input::AccessDecided { connection, end }),
            AnswerTo::Nobody { .. } => {}
        }
    }

    fn frame(&mut self, connection: ConnectionId) -> Element {
        let own = self.open[&connection].clone().unwrap_or_default();
        let templates = match self.rng.random_range(0..40) {
            0 => STREAM,
            1..16 => COMPONENTS,
            16..24 => VISITORS,
            _ => STANZAS,
        };
        let mut text = (*templates.choose(&mut self.rng).unwrap()).to_owned();
        if own.starts_with("focus@") && self.rng.random_ratio(1, 2) {
            (*FOCUS.choose(&mut self.rng).unwrap()).clone_into(&mut text);
        }
        let bound: Vec<String> = self.open.values().flatten().cloned().collect();
        let someone = bound.choose(&mut self.rng).cloned().unwrap_or_default();
        let someone_else = bound.choose(&mut self.rng).cloned().unwrap_or_default();
        let to = [
            "meet.example".to_owned(),
            "auth.meet.example".to_owned(),
            "focus.meet.example".to_owned(),
            format!("focus.meet.example/{someone_else}"),
            "muc.meet.example".to_owned(),
            "a@muc.meet.example".to_owned(),
            "jvbbrewery@internal-muc.meet.example/x".to_owned(),
            "other.example".to_owned(),
            "@".to_owned(),
            String::new(),
            someone.clone(),
            own.clone(),
        ];
        let n = self.rng.random_range(0..6).to_string();
        let nick: String = [&own, &someone].choose(&mut self.rng).unwrap().chars().take(8).collect();
        let breakout = self.breakouts.choose(&mut self.rng).cloned().unwrap_or_default();
        let previd = self.resume_ids.choose(&mut self.rng).cloned().unwrap_or_default();
        for (hole, choices) in [
            ("{to}", to.iter().map(String::as_str).collect::<Vec<_>>()),
            ("{room}", vec![A, A, A, B, B, B, "c@muc.meet.example", "d@muc.meet.example"]),
            ("{vroom}", vec!["a@muc.v1.meet.example", "b@muc.v1.meet.example"]),
            ("{breakout}", vec![breakout.as_str(), breakout.as_str(), "unknown@breakout.meet.example"]),
            ("{lobby}", vec!["a@lobby.meet.example", "b@lobby.meet.example"]),
            ("{nick}", vec![nick.as_str(), nick.as_str(), nick.as_str(), "focus", "x-y"]),
            ("{type}", vec!["get", "set", "result", "error", "unavailable", "groupchat", "chat", "odd"]),
            ("{aff}", vec!["owner", "admin", "member", "none", "outcast", "king"]),
            ("{role}", vec!["moderator", "participant", "visitor", "none", "king"]),
            ("{bool}", vec!["true", "false", "1", "perhaps"]),
            ("{n}", vec![n.as_str()]),
            ("{previd}", vec![previd.as_str(), "unknown"]),
        ] {
            text = text.replace(hole, choices.choose(&mut self.rng).unwrap());
        }
        let wrapped: Element = format!("<w xmlns='jabber:client'>{text}</w>").parse().unwrap();
        let frame = wrapped.children().next().unwrap().clone();
        // A component says whom it speaks for; most of the time it may.
        match own.split_once("@gate.") {
            Some(_) if self.rng.random_ratio(49, 50) => {
                let user = ["a", "b", "c"].choose(&mut self.rng).unwrap();
                frame.with_attr("from", format!("{user}@gate.meet.example/r"))
            }
            Some(_) | None => frame,
        }
    }

    fn end(&mut self) {
        while !self.asked.is_empty() {
            self.answer();
        }
        for connection in self.open.keys().copied().collect::<Vec<_>>() {
            // An earlier one may have ended others.
            if self.open.remove(&connection).is_some() {
                self.input(Input::Disconnected { connection, end: ConnectionEnd::Lost });
            }
        }
        while let Some(next) = self.timeout {
            self.now.instant = next;
            self.input(Input::Timeout);
        }
    }
}

fn sha1_hex(text: &str) -> String {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn nothing_is_left_of_clients_that_did_anything_in_any_order() {
    let (mut joined, mut visited, mut from_components, mut breakouts, mut granted) = (0, 0, 0, 0, 0);
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let mut disorder = Disorder::new(seed);
        for _ in 0..STEPS {
            disorder.step();
        }
        let metrics = disorder.metrics.clone();
        let received = |kind: &str| metrics.stanzas_received.with_label_values(&[kind]).get();
        assert!(received("iq") + received("presence") + received("message") > 1000, "the disorder reaches the router");
        joined += disorder.joined;
        visited += disorder.visited;
        disorder.end();
        assert_eq!((metrics.connections.get(), metrics.sessions.get(), metrics.hibernating_sessions.get()), (0, 0, 0));
        from_components += disorder.from_components;
        breakouts += disorder.breakouts.len();
        granted += disorder.granted;
        for service in ["conference", "lobby", "breakout", "visitors", "internal"] {
            assert_eq!(metrics.rooms.with_label_values(&[service]).get(), 0);
            assert_eq!(metrics.occupants.with_label_values(&[service]).get(), 0);
        }
        assert_eq!(disorder.server.remembered(), 0, "seed {seed}");
    }
    assert!(granted > 20, "the disorder reaches reservations: {granted} grants");
    assert!(joined > 200, "the disorder reaches the rooms: {joined} joins");
    assert!(visited > 100, "the disorder has visitors: {visited} joins");
    assert!(breakouts > 100, "the disorder makes breakout rooms: {breakouts} mentions");
    assert!(from_components > 1000, "the disorder reaches the components: {from_components} messages");
}
