//! Runs scripts of stanzas after Prosody's scansion, who sends and who receives: against the core in virtual time, and those in
//! which no time passes over real WebSockets as well ([`is_timeless`]).
//!
//! Each line is a step; a block of XML below it is indented. Everything that is sent has to be received by the end.
//!
//! ```text
//! settings occupants=2 secret=s3cret     before everything else
//! focus: service focus                   attached within the process, bound as focus@auth.meet.example/focus
//! alice: client sm                       logged in as a guest, here with stream management
//! bob: client room=other token={…}       whose page is about another room than demo, with the claims of a token; `bearer` beside
//!                                        it is shown to other servers
//! rec: account recorder@hidden.meet.example   bound at that address, with its user name for a nick
//! carol: connection previd={alice.sm}    an open WebSocket, nothing sent yet; with `tcp` a TCP connection that needs TLS,
//!                                        with `tcp secure` one that has it
//! gate: component                        an open TCP connection of a component
//! carol authenticates                    up to the features that offer binding
//! vic: visitor                           logged in at the first visitor node, or at=NODE, and otherwise as a client
//! vic visits                             the room {vroom} of that node, as `joins`
//! alice joins                            room {room} with her nick; what this sends to anybody is not looked at
//! alice sends / alice receives           a frame; several in one block for `receives`
//! alice receives text                    the same, compared as text
//! alice receives nothing                 so far
//! carol is told to start TLS              and does
//! alice is closed / alice is cut         <close/> and the end of the connection / the end alone
//! alice loses her connection / alice goes away / alice sends garbage / alice sends too much
//! everybody forgets                      what was sent to anybody is not looked at
//! wait 60                                seconds pass
//! everybody stays 600                    the same, with signs of life of all; what was sent to anybody is not looked at
//! the outside is asked                   a call to a server of others: its method, address and body, percent-decoded
//! the outside answers 200                the last such call, with a body
//! the outside is late / is not there     it gets no answer
//! the outside hears nothing              so far
//! the server stops
//! the journal says                       one of the lines that were written for operators since the last that was looked for
//! ```
//!
//! No password or secret of the settings may be logged, at whatever level.
//!
//! JSON in text is compared as JSON: keys in any order, names and holes within its texts.
//!
//! In XML, `jabber:client` is the default namespace, `{alice}` a full JID, `{alice.bare}` and `{alice.nick}` parts of
//! it; in what is received `{*}` is any value and `{=name}` any value to be known as `{name}` from then on.
//! `{item AFFILIATION ROLE JID CODE…}` stands for what a room says of an occupant, `{error TYPE CONDITION TEXT…}` for
//! the error of a stanza, `{permissions}` for what a moderator is told that he may do.

mod journal;
mod matching;
mod sockets;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use signaling::{
    AccessSettings, Account, AccountSource, AllOwners, AnswerTo, BadFrame, Call, CallAnswer, CallFailed, Carrier,
    ChannelBinding, Claims, ClientLogin, Component, ComponentHosts, ConnectionEnd, ConnectionId, EventSettings, Frame,
    Hosts, Input, KeySource, LookUp, Metrics, Moderators, Now, Origin, Output, OutsideServer, Patience, QueueSettings,
    ReservationSettings, Secret, Server, Settings, ShortLivedTokens, ShownToken, SigningKeys, Tls, TokenRefused,
    TokenRules, TokenSettings, VerifyingKey, VisitorHosts, WhenSilent,
};
use xmpp::{Element, Node, bind, framing, ns};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use base64::Engine as _;
use journal::Journal;
use matching::Variables;
use sockets::Sockets;

const ROOM: &str = "demo@muc.meet.example";
const VISITOR_ROOM: &str = "demo@muc.v1.meet.example";
const EPOCH_MS: u64 = 1_790_000_000_000;

/// What a script has to do without to be run over WebSockets: time and times, other transports and ends of connections, servers of
/// others, the journal, counts of stanzas, which signs of life would change, and tokens that are taken apart only in the room.
const TIMED: [&str; 25] = [
    "\nwait ",
    "\neverybody stays ",
    "\nthe outside ",
    "\nthe journal ",
    "\nthe server stops",
    " is cut",
    " is closed",
    " loses ",
    " goes away",
    " does not read",
    " sends garbage",
    " sends too much",
    ": connection",
    ": component",
    ": account ",
    "urn:xmpp:sm:3",
    ": client sm",
    " region=",
    " address=",
    " bearer=",
    "stanza_rates",
    "turn_secret=",
    "1790000000000",
    "2026-09-21T",
    "token_tenants",
];

/// Whether a script can be run over WebSockets.
pub(crate) fn is_timeless(script: &str) -> bool {
    !TIMED.iter().any(|word| script.contains(word))
}

/// Runs a script; panics with the number of the line that does not hold.
pub(crate) fn run(script: &str) {
    play(script, World::new(script, |settings| Wire::Core(Box::new(Server::new(settings, [7; 32], Metrics::new())))));
}

/// The same over real WebSockets.
pub(crate) fn run_over_websockets(script: &str) {
    let wire = |mut settings: Settings| {
        // The core is told what a token says; here it has to be looked at.
        if script.contains(" token=") && matches!(settings.client_login, ClientLogin::Anonymous) {
            settings.client_login = ClientLogin::Tokens(tokens(true));
        }
        Wire::Sockets(Box::new(Sockets::start(settings)))
    };
    play(script, World::new(script, wire));
}

fn play(script: &str, mut world: World) {
    let mut lines = script.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let step = line.trim();
        if step.is_empty() || step.starts_with('#') || step.starts_with("settings ") {
            continue;
        }
        let mut block = String::new();
        while let Some((_, below)) = lines.next_if(|(_, below)| below.starts_with(' ') || below.is_empty()) {
            block.push_str(below.trim());
        }
        world.line = number + 1;
        world.step(step, &block);
    }
    world.line += 1;
    world.expect_silence();
}

/// Tokens for shared files, with a key of this run.
fn file_tokens() -> ShortLivedTokens {
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let body = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----");
    ShortLivedTokens::new("teranga", "key", &pem).unwrap()
}

/// A server of others.
fn outside() -> Arc<OutsideServer> {
    let patience = Patience { timeout: Duration::from_secs(20), retries: 3, pause: Duration::from_secs(3) };
    Arc::new(OutsideServer { url: "https://out.example/api".parse().unwrap(), headers: Vec::new(), patience })
}

fn reservations(say_all: bool) -> ReservationSettings {
    ReservationSettings { server: outside(), max_occupants: say_all, lobby: say_all, password: say_all }
}

/// What was written into a form.
fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut hex = || char::from(bytes.next().unwrap()).to_digit(16).unwrap();
        decoded.push(if byte == b'%' { u8::try_from(hex() * 16 + hex()).unwrap() } else { byte });
    }
    String::from_utf8(decoded).unwrap()
}

/// Tokens count. The scripts bring what they say, verified or refused by the shell already.
fn tokens(allow_empty: bool) -> TokenSettings {
    let key = VerifyingKey::shared(b"hush").unwrap();
    let rules = TokenRules {
        algorithms: TokenRules::stock_algorithms(Some(&key)),
        issuers: vec!["app".to_owned()],
        audiences: vec!["*".to_owned()],
        leeway: Duration::ZERO,
        requires_expiry: false,
        requires_room: true,
        requires_tenant: false,
    };
    TokenSettings { source: KeySource::Given(SigningKeys::One(Arc::new(key))), rules, allow_empty }
}

/// What is between actors and the server.
enum Wire {
    Core(Box<Server>),
    Sockets(Box<Sockets>),
}

struct World {
    wire: Wire,
    now: Now,
    line: usize,
    actors: BTreeMap<String, Actor>,
    variables: Variables,
    next_connection: u64,
    timeout: Option<Instant>,
    calls: VecDeque<Call>,
    /// Who waits for the answer to the call that was looked at last.
    asked: Option<AnswerTo>,
    journal: Journal,
    /// What may stand in no line of the log.
    secrets: Vec<String>,
}

struct Actor {
    connection: ConnectionId,
    received: VecDeque<Received>,
}

#[derive(Debug)]
enum Received {
    /// An element, as it goes over the wire.
    Text(String),
    /// TLS is to begin.
    StartTls,
    CloseFrame,
    Cut,
}

impl World {
    fn new(script: &str, wire: impl FnOnce(Settings) -> Wire) -> Self {
        let hosts = Hosts::of("meet.example").unwrap();
        let plain = Hosts { lobby: None, breakout: None, components: ComponentHosts::default(), ..hosts.clone() };
        let mut settings = Settings::new(plain);
        let options = script.lines().filter_map(|line| line.strip_prefix("settings ")).flat_map(str::split_whitespace);
        let mut secrets = Vec::new();
        for option in options {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let number = || value.parse().unwrap();
            if matches!(name, "secret" | "account" | "component" | "turn_secret") {
                // A shorter one stands in words by chance.
                secrets.extend(value.rsplit(':').next().filter(|secret| secret.len() >= 5).map(str::to_owned));
            }
            match name {
                "secret" => settings.service_secret = Secret::new(value),
                "push_disco" => settings.push_disco = true,
                "components" => settings.hosts = hosts.clone(),
                "file_sharing" => settings.hosts.components.file_sharing = "filesharing.meet.example".parse().ok(),
                "translation" => {
                    settings.hosts.components.audio_translation = "audiotranslation.meet.example".parse().ok();
                    settings.conference.translations = number();
                }
                "async_transcription" => settings.conference.async_transcription = true,
                "guests_configure_nothing" => settings.conference.guests_configure_nothing = true,
                "services_for_occupants" => settings.conference.services_for_occupants = true,
                "hosts_walk_past" => settings.conference.lobby.hosts_walk_past = true,
                "lobby_on_demand" => settings.conference.lobby.on_demand = true,
                "autostart" => settings.conference.lobby.autostart = true,
                "lobby_whitelist" => settings.conference.lobby.whitelist.push(value.to_owned()),
                "access_whitelist" => settings.conference.access_whitelist.push(value.to_owned()),
                "password_whitelist" => settings.conference.password_whitelist.push(value.to_owned()),
                "wait_for_host" => settings.conference.wait_for_host = true,
                "all_owners" => {
                    let moderated_rooms = if value.is_empty() { Vec::new() } else { vec![value.to_owned()] };
                    settings.conference.all_owners = Some(AllOwners { moderated_rooms, ..AllOwners::default() });
                }
                "joins" => settings.conference.joins_per_second = value.parse().ok(),
                "leaves" => settings.conference.leaves_per_second = value.parse().ok(),
                "messages" => settings.conference.messages = value.parse().ok(),
                "calls" => settings.conference.outgoing_calls = value.parse().ok(),
                "owners_first" => settings.conference.owners_come_first = true,
                "without_owner" => settings.conference.without_owner_for = Some(Duration::from_secs(number() as u64)),
                "longest" => settings.conference.longest = Some(Duration::from_secs(number() as u64)),
                "stanza_rates" => settings.limits.stanzas = Some(signaling::StanzaRates::STOCK),
                "token_tenants" => settings.conference.token_rooms.checks_tenant = true,
                "tokens" => settings.client_login = ClientLogin::Tokens(tokens(value == "or_none")),
                "tokens_or_accounts" => {
                    settings.client_login = ClientLogin::TokensOrPasswords(tokens(false), AccountSource::Store);
                }
                "moderators" => {
                    settings.conference.moderators = match value {
                        "authenticated" => Moderators::Authenticated,
                        "token" => Moderators::Token,
                        "none" => Moderators::None,
                        other => panic!("no moderators {other}"),
                    }
                }
                "failed_logins" => settings.limits.failed_logins = value.parse().ok(),
                "accounts" => settings.client_login = ClientLogin::Passwords(AccountSource::Store),
                "guests" => settings.hosts.guest = "guest.meet.example".parse().ok(),
                "file_tokens" => settings.short_lived_tokens = Some(file_tokens()),
                "strict_nicks" => settings.conference.strict_nicks = true,
                "hide_names" => settings.conference.hide_names_from_guests = true,
                "account" => {
                    let (jid, password) = value.split_once(':').unwrap();
                    let password = Secret::new(password).unwrap();
                    settings.accounts.push(Account { jid: jid.parse().unwrap(), password });
                }
                "component" => {
                    let (domain, secret) = value.split_once(':').unwrap();
                    let secret = Secret::new(secret).unwrap();
                    settings.components.push(Component { domain: domain.parse().unwrap(), secret });
                }
                "shard" => settings.deployment.shard = Some(value.to_owned()),
                "region" => settings.deployment.region = Some(value.to_owned()),
                "release" => settings.deployment.release = Some(value.to_owned()),
                "reservations" => settings.outside.reservations = Some(reservations(value == "say_all")),
                "access" => {
                    let when_silent = if value == "admit" { WhenSilent::Admit } else { WhenSilent::Refuse };
                    settings.outside.access = Some(AccessSettings { server: outside(), when_silent });
                }
                "events" => {
                    let speaker_times = value == "speaker_times";
                    settings.outside.events = Some(EventSettings { server: outside(), speaker_times, secret: None });
                }
                "jibri_queue" => {
                    settings.hosts.components.jibri_queue = "jibriqueue.meet.example".parse().ok();
                    settings.outside.jibri_queue = Some(QueueSettings { server: outside(), tokens: file_tokens() });
                }
                "visitors" => {
                    let nodes = VisitorHosts::of(&settings.hosts, value.parse().unwrap(), "meet.example");
                    settings.hosts.visitors = Some(nodes.unwrap());
                }
                "visitors_ask" => settings.visitors.auto_allow = false,
                "visitor_messages" => settings.visitors.messages = value.parse().ok(),
                "visitor_joins" => settings.visitors.joins_per_second = value.parse().ok(),
                "visitors_per_node" => settings.visitors.per_node = number(),
                "visitors_queue" => {
                    settings.outside.visitors_queue = Some(QueueSettings { server: outside(), tokens: file_tokens() });
                }
                "occupants" => settings.limits.occupants = Some(number()),
                "sessions" => settings.limits.sessions = number(),
                "rooms" => settings.limits.rooms = number(),
                "rooms_per_session" => settings.limits.rooms_per_session = number(),
                "unacknowledged" => settings.limits.unacknowledged = number(),
                "stun" => settings.external_services.servers.push(signaling::IceServer {
                    kind: signaling::IceServerKind::Stun,
                    host: Some(value.to_owned()),
                    port: 3478,
                }),
                "turn_secret" => {
                    settings.external_services.turn = Secret::new(value)
                        .map(|secret| signaling::TurnCredentials { secret, lifetime: Duration::from_secs(600) });
                }
                "turns" => settings.external_services.servers.push(signaling::IceServer {
                    kind: signaling::IceServerKind::Turns,
                    host: (value != "here").then(|| value.to_owned()),
                    port: 443,
                }),
                other => panic!("no setting {other}"),
            }
        }
        #[expect(clippy::disallowed_methods, reason = "an instant to count from")]
        let now = Now { instant: Instant::now(), unix_ms: EPOCH_MS };
        let mut variables = Variables::default();
        variables.set("room", ROOM);
        variables.set("vroom", VISITOR_ROOM);
        let journal = Journal::start();
        Self {
            wire: wire(settings),
            now,
            line: 0,
            actors: BTreeMap::new(),
            variables,
            next_connection: 0,
            timeout: None,
            calls: VecDeque::new(),
            asked: None,
            journal,
            secrets,
        }
    }

    fn step(&mut self, step: &str, block: &str) {
        if let Some((name, kind)) = step.split_once(": ") {
            return self.introduce(name, kind);
        }
        match step {
            "everybody forgets" => return self.forget(),
            "the server stops" => return self.input(Input::Shutdown),
            "the outside is asked" => return self.expect_call(block),
            "the outside is late" => return self.answer_call(Err(CallFailed::TimedOut)),
            "the outside is not there" => return self.answer_call(Err(CallFailed::Unreachable)),
            "the journal says" => {
                let said = self.journal.has(&self.variables.expand(block));
                return said.unwrap_or_else(|error| panic!("line {}: {error}", self.line));
            }
            "the outside hears nothing" => {
                return assert!(self.calls.is_empty(), "line {}: {:?}", self.line, self.calls);
            }
            _ => {}
        }
        if let Some(status) = step.strip_prefix("the outside answers ") {
            let (status, body) = (status.parse().unwrap(), self.variables.expand(block).into_bytes());
            return self.answer_call(Ok(CallAnswer { status, body }));
        }
        if let Some(seconds) = step.strip_prefix("everybody stays ") {
            return self.stay(seconds.parse().unwrap());
        }
        if let Some(seconds) = step.strip_prefix("wait ") {
            return self.wait(Duration::from_secs(seconds.parse().unwrap()));
        }
        let (name, action) = step.split_once(' ').unwrap_or((step, ""));
        assert!(self.actors.contains_key(name), "line {}: who is {name}?", self.line);
        match action {
            "authenticates" => self.authenticate(name, "meet.example"),
            "joins" => self.join(name, ROOM),
            "visits" => self.join(name, VISITOR_ROOM),
            "sends" => {
                for frame in self.elements(block) {
                    self.send(name, Ok(frame));
                }
            }
            "sends garbage" => self.send(name, Err(BadFrame::NotWellFormed)),
            "sends too much" => self.send(name, Err(BadFrame::TooLarge)),
            "receives" => self.expect_elements(name, block),
            "receives text" => {
                let expected = self.variables.expand(block);
                match self.next(name) {
                    Received::Text(text) => assert_eq!(text, expected, "line {}", self.line),
                    other @ (Received::StartTls | Received::CloseFrame | Received::Cut) => {
                        panic!("line {}: {name} received {other:?}", self.line)
                    }
                }
            }
            "is told to start TLS" => {
                assert!(matches!(self.next(name), Received::StartTls), "line {}: no TLS", self.line);
                let connection = self.actors[name].connection;
                let binding = ChannelBinding { name: "tls-exporter", data: vec![7] };
                self.input(Input::TlsEstablished { connection, bindings: vec![binding] });
            }
            "receives nothing" => {
                let waiting = &self.actors[name].received;
                assert!(waiting.is_empty(), "line {}: {name} received {waiting:?}", self.line);
            }
            "is closed" => {
                assert!(matches!(self.next(name), Received::CloseFrame), "line {}: no closing frame", self.line);
                assert!(matches!(self.next(name), Received::Cut), "line {}: not closed", self.line);
            }
            "is cut" => assert!(matches!(self.next(name), Received::Cut), "line {}: not closed", self.line),
            "goes away" => self.disconnect(name, ConnectionEnd::GoingAway),
            "does not read" => self.disconnect(name, ConnectionEnd::QueueFull),
            "loses her connection" | "loses his connection" => self.disconnect(name, ConnectionEnd::Lost),
            other => panic!("line {}: what is {other:?}?", self.line),
        }
    }

    fn expect_call(&mut self, block: &str) {
        let call = self.calls.pop_front();
        let call = call.unwrap_or_else(|| panic!("line {}: nobody was called", self.line));
        let body = percent_decoded(&call.body);
        let mut expected = block.splitn(3, ' ');
        for (expected, called) in [
            (expected.next(), call.method.as_str()),
            (expected.next(), call.uri.to_string().as_str()),
            (expected.next(), body.as_str()),
        ] {
            let is_same = self.variables.compare_text(&self.variables.expand(expected.unwrap_or_default()), called);
            assert!(is_same.is_ok(), "line {}: {called} is not {expected:?}", self.line);
        }
        self.asked = Some(call.answer_to);
    }

    fn answer_call(&mut self, end: Result<CallAnswer, CallFailed>) {
        match self.asked.take() {
            Some(AnswerTo::Question(call)) => self.input(Input::CallEnded { call, end }),
            Some(AnswerTo::Login(connection)) => self.input(Input::AccessDecided { connection, end }),
            Some(AnswerTo::Nobody { .. }) | None => panic!("line {}: nobody waits for an answer", self.line),
        }
    }

    fn introduce(&mut self, name: &str, kind: &str) {
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.actors.insert(name.to_owned(), Actor { connection, received: VecDeque::new() });
        let kind = self.variables.expand(kind);
        let mut words = kind.split(' ');
        let first = words.next();
        if first == Some("service") {
            let account = words.next().unwrap();
            let jid = format!("{account}@auth.meet.example/{account}");
            self.variables.set_jid(name, &jid, account);
            if let Wire::Sockets(sockets) = &mut self.wire {
                return sockets.attach(connection, account);
            }
            return self.input(Input::ServiceAttached { connection, jid: jid.parse().unwrap() });
        }
        if first == Some("account") {
            let bare = words.next().unwrap();
            self.variables.set_jid(name, &format!("{bare}/r"), bare.split('@').next().unwrap());
            return self.input(Input::ServiceAttached { connection, jid: format!("{bare}/r").parse().unwrap() });
        }
        let options: Vec<&str> = words.collect();
        let option = |name: &str| options.iter().find_map(|option| option.strip_prefix(name)).map(str::to_owned);
        let previous = option("previd=");
        let room = option("room=").or_else(|| Some("demo".to_owned()));
        let tenant = option("tenant=");
        let token = option("token=").map(|token| serde_json::from_str::<serde_json::Value>(&token).unwrap());
        let is_refused = options.contains(&"bad_token");
        if let Wire::Sockets(sockets) = &mut self.wire {
            let shown = token.clone().or_else(|| is_refused.then(|| serde_json::json!({ "room": "*" })));
            let shown = shown.map(|claims| sockets::signed(&claims, !is_refused));
            let query = [("room", room), ("prefix", tenant), ("token", shown), ("customusername", option("username="))];
            sockets.connect(connection, &query);
            return self.log_in(name, first.unwrap(), &options);
        }
        let refused = is_refused.then_some(ShownToken::Refused(TokenRefused::InvalidSignature));
        let verified = token.map(|token| ShownToken::Verified(Arc::new(Claims::of_payload(&token))));
        let token = verified.or(refused).unwrap_or_default();
        let has = |option: &str| options.contains(&option);
        let carrier = match first {
            Some("component") => Carrier::Component,
            _ if has("tcp") => Carrier::Tcp(if has("secure") { Tls::Established } else { Tls::Required }),
            _ => Carrier::WebSocket,
        };
        let region = option("region=");
        let address = option("address=").map(|address| address.parse().unwrap());
        let host = Some("here.example".to_owned());
        let custom_username = option("username=");
        let bearer = option("bearer=").and_then(|token| Secret::new(format!("Bearer {token}")));
        self.secrets.extend(option("bearer="));
        let origin = Origin { carrier, address, region, previous, room, tenant, token, bearer, custom_username, host };
        self.input(Input::Connected { connection, origin });
        self.log_in(name, first.unwrap(), &options);
    }

    /// Binds who comes as a client or visitor.
    fn log_in(&mut self, name: &str, kind: &str, options: &[&str]) {
        if !matches!(kind, "client" | "visitor") {
            return;
        }
        let node = options.iter().find_map(|option| option.strip_prefix("at=")).unwrap_or("v1");
        let domain = if kind == "visitor" { format!("{node}.meet.example") } else { "meet.example".to_owned() };
        self.authenticate(name, &domain);
        self.send(name, Ok(bind::request("bind", None)));
        let jid = bind::bound_jid(&self.next_element(name)).unwrap().unwrap();
        let nick: String = jid.local().unwrap().chars().take(8).collect();
        self.variables.set_jid(name, jid.as_str(), &nick);
        if let Wire::Sockets(sockets) = &mut self.wire {
            sockets.note_bound(self.actors[name].connection);
        }
        if options.contains(&"sm") {
            self.send(name, Ok("<enable xmlns='urn:xmpp:sm:3' resume='true'/>".parse().unwrap()));
            let enabled = self.next_element(name);
            self.variables.set(&format!("{name}.sm"), enabled.attr("id").unwrap());
        }
    }

    fn authenticate(&mut self, name: &str, domain: &str) {
        self.send(name, Ok(framing::client_open(domain)));
        self.send(name, Ok("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>".parse().unwrap()));
        self.send(name, Ok(framing::client_open(domain)));
        for expected in ["open", "features", "success", "open", "features"] {
            assert_eq!(self.next_element(name).name(), expected, "line {}", self.line);
        }
    }

    fn join(&mut self, name: &str, room: &str) {
        let nick = self.variables.expand(&format!("{{{name}.nick}}"));
        let join = Element::new("presence", ns::CLIENT)
            .with_attr("to", format!("{room}/{nick}"))
            .with_child(Element::new("x", ns::MUC));
        self.send(name, Ok(join));
        self.forget();
    }

    fn send(&mut self, name: &str, frame: Result<Element, BadFrame>) {
        let connection = self.actors[name].connection;
        let Wire::Sockets(sockets) = &mut self.wire else { return self.input(Input::Frame { connection, frame }) };
        sockets.send(connection, &frame.unwrap());
        for (connection, received) in sockets.settle() {
            self.deliver(connection, received);
        }
    }

    fn disconnect(&mut self, name: &str, end: ConnectionEnd) {
        let connection = self.actors[name].connection;
        self.input(Input::Disconnected { connection, end });
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now.instant + time;
        while let Some(next) = self.timeout.filter(|next| *next <= end) {
            self.pass(next.saturating_duration_since(self.now.instant));
            self.input(Input::Timeout);
            assert_ne!(self.timeout, Some(next), "line {}: a timer that does not move", self.line);
        }
        self.pass(end - self.now.instant);
    }

    /// Time passes for clients that ping as stock ones do.
    fn stay(&mut self, seconds: u64) {
        let mut left = seconds;
        while left > 0 {
            let step = left.min(10);
            self.wait(Duration::from_secs(step));
            left -= step;
            for connection in self.actors.values().map(|actor| actor.connection).collect::<Vec<_>>() {
                let ping = "<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
                self.input(Input::Frame { connection, frame: Ok(ping.parse().unwrap()) });
            }
        }
        self.forget();
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.unix_ms += u64::try_from(time.as_millis()).unwrap();
    }

    fn deliver(&mut self, connection: ConnectionId, received: Received) {
        if let Some(actor) = self.actors.values_mut().find(|actor| actor.connection == connection) {
            actor.received.push_back(received);
        }
    }

    fn input(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        loop {
            let Wire::Core(server) = &mut self.wire else { panic!("line {}: not over WebSockets", self.line) };
            if let Some(input) = inputs.pop_front() {
                server.handle_input(self.now, input);
            }
            let (connection, received) = match server.poll_output() {
                Output::Send { connection, frame: Frame::Element(element) } => {
                    (connection, Received::Text(element.to_string()))
                }
                Output::Send { connection, frame: Frame::Stanza(stanza) } => {
                    (connection, Received::Text(stanza.to_string()))
                }
                Output::Send { connection, frame: Frame::Close } => (connection, Received::CloseFrame),
                Output::Send { connection, frame: Frame::StartTls } => (connection, Received::StartTls),
                Output::Send { frame: Frame::Trust, .. } => continue,
                Output::Call(call) => {
                    self.calls.push_back(call);
                    continue;
                }
                Output::CheckPassword { connection, check } => {
                    inputs.push_back(Input::PasswordChecked { connection, verdict: check.run() });
                    continue;
                }
                Output::LookUpAccount { connection, .. } => {
                    inputs.push_back(Input::AccountLookedUp { connection, found: LookUp::NoSuchAccount });
                    continue;
                }
                Output::Close { connection } => (connection, Received::Cut),
                Output::Timeout(timeout) => {
                    self.timeout = timeout;
                    return;
                }
            };
            self.deliver(connection, received);
        }
    }

    fn next(&mut self, name: &str) -> Received {
        let Actor { connection, received } = self.actors.get_mut(name).unwrap();
        let mut next = received.pop_front();
        if let (None, Wire::Sockets(sockets)) = (&next, &mut self.wire) {
            next = Some(sockets.receive(*connection));
        }
        next.unwrap_or_else(|| panic!("line {}: {name} received nothing", self.line))
    }

    fn next_element(&mut self, name: &str) -> Element {
        match self.next(name) {
            Received::Text(text) => text.parse().unwrap(),
            other @ (Received::StartTls | Received::CloseFrame | Received::Cut) => {
                panic!("line {}: {name} received {other:?}", self.line)
            }
        }
    }

    fn expect_elements(&mut self, name: &str, block: &str) {
        for expected in self.elements(block) {
            let received = self.next_element(name);
            if let Err(difference) = self.variables.compare(&expected, &received) {
                panic!("line {}: {difference}\nexpected {expected}\nreceived {received}", self.line);
            }
        }
    }

    /// The elements of a block; names that are not known yet stay as they are.
    fn elements(&self, block: &str) -> Vec<Element> {
        let text = format!("<block xmlns='jabber:client'>{}</block>", self.variables.expand(block));
        let wrapper = Element::parse(&text).unwrap_or_else(|error| panic!("line {}: {error}\n{text}", self.line));
        let elements = wrapper.nodes().iter().filter_map(|node| match node {
            Node::Element(element) => Some(element.clone()),
            Node::Text(_) => None,
        });
        elements.collect()
    }

    fn forget(&mut self) {
        for actor in self.actors.values_mut() {
            actor.received.clear();
        }
    }

    fn expect_silence(&self) {
        self.journal.expect_none_of(&self.secrets);
        assert!(self.calls.is_empty(), "at the end the outside heard {:?}", self.calls);
        for (name, actor) in &self.actors {
            assert!(actor.received.is_empty(), "at the end {name} received {:?}", actor.received);
        }
    }
}
