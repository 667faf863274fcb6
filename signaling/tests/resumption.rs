//! A client whose connections break anywhere: no stanza is lost and none comes twice, in either direction (XEP-0198 §5).

#![expect(clippy::unwrap_used, reason = "a test ends where its helpers fail")]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use signaling::{
    Carrier, ConnectionEnd, ConnectionId, Frame, Hosts, Input, Metrics, Now, Origin, Output, Server, Settings, Tls,
};
use xmpp::sm::StreamManagement;
use xmpp::{Element, bind, framing, ns};

const SEEDS: u64 = 30;
const STEPS: usize = 600;
const FOCUS: ConnectionId = ConnectionId(0);
const ROOM: &str = "demo@muc.meet.example";

/// A client that does what XEP-0198 says, and what is on its way to it and from it.
struct World {
    server: Server,
    rng: StdRng,
    now: Now,
    carrier: Carrier,
    /// Numbers of connections so far.
    connections: u64,
    /// The client's connection.
    connection: Option<ConnectionId>,
    /// Connections that are broken without the server having noticed.
    half_open: Vec<ConnectionId>,
    to_server: VecDeque<Element>,
    to_client: VecDeque<Element>,
    client: Client,
    /// Ids of what the focus sent to the client, and of what it got from it.
    focus_sent: Vec<String>,
    focus_received: Vec<String>,
    cuts: usize,
    resumptions: usize,
}

#[derive(Default)]
struct Client {
    jid: String,
    sm_id: String,
    /// Whether stanzas are counted, and may be sent: not while a resumption is under way.
    is_up: bool,
    /// Stanzas of the server that were handled.
    handled: u32,
    acknowledged: u32,
    unacknowledged: VecDeque<Element>,
    sent: Vec<String>,
    /// Ids of what came from the focus.
    received: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an instant to count from")]
        let now = Now { instant: Instant::now(), unix_ms: 0 };
        let settings = Settings::new(Hosts::of("meet.example").unwrap());
        let mut world = Self {
            server: Server::new(settings, [5; 32], Metrics::new()),
            rng: StdRng::seed_from_u64(seed),
            now,
            carrier: if seed.is_multiple_of(2) { Carrier::WebSocket } else { Carrier::Tcp(Tls::Established) },
            connections: 0,
            connection: None,
            half_open: Vec::new(),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            client: Client::default(),
            focus_sent: Vec::new(),
            focus_received: Vec::new(),
            cuts: 0,
            resumptions: 0,
        };
        let jid = "focus@auth.meet.example/focus".parse().unwrap();
        world.input(Input::ServiceAttached { connection: FOCUS, jid });
        world.focus_sends(&join("focus"));
        world.connect();
        world.to_server.extend([bind::request("b", None), StreamManagement::Enable { resume: true }.to_element()]);
        world.drain();
        assert!(world.client.is_up && !world.client.sm_id.is_empty());
        let nick: String = world.client.jid.chars().take(8).collect();
        world.client_sends(join(&nick));
        world.drain();
        world
    }

    fn connect(&mut self) {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.connection = Some(connection);
        let previous = Some(self.client.sm_id.clone()).filter(|id| !id.is_empty());
        let origin = Origin { previous, carrier: self.carrier, ..Origin::default() };
        self.input(Input::Connected { connection, origin });
        let open = framing::client_open("meet.example");
        let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>".parse().unwrap();
        self.to_server.extend([open.clone(), auth, open]);
    }

    fn reconnect(&mut self) {
        self.connect();
        let (previd, h) = (self.client.sm_id.clone(), self.client.handled);
        self.to_server.push_back(StreamManagement::Resume { previd, h }.to_element());
    }

    /// What is on its way either way is gone. The server notices now, later, or not before the client is back.
    fn cut(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        self.cuts += 1;
        self.client.is_up = false;
        self.to_server.clear();
        self.to_client.clear();
        if self.rng.random() {
            self.input(Input::Disconnected { connection, end: ConnectionEnd::Lost });
        } else {
            self.half_open.push(connection);
        }
    }

    fn input(&mut self, input: Input) {
        self.server.handle_input(self.now, input);
        loop {
            match self.server.poll_output() {
                Output::Send { connection, frame } => {
                    let text = match frame {
                        Frame::Element(element) => element.to_string(),
                        Frame::Stanza(stanza) => stanza.to_string(),
                        Frame::StartTls | Frame::Trust | Frame::Close => continue,
                    };
                    self.on_sent(connection, text.parse().unwrap());
                }
                Output::Close { connection } => {
                    self.half_open.retain(|open| *open != connection);
                    assert_ne!(Some(connection), self.connection, "the server closed a connection that is well");
                }
                Output::CheckPassword { .. } | Output::LookUpAccount { .. } => panic!("nobody has a password"),
                Output::Call(call) => panic!("nobody is to be called: {call:?}"),
                Output::Timeout(_) => return,
            }
        }
    }

    fn on_sent(&mut self, connection: ConnectionId, element: Element) {
        if connection == FOCUS {
            if let Some(id) = element.attr("id").filter(|id| id.starts_with('c')) {
                self.focus_received.push(id.to_owned());
            }
        } else if Some(connection) == self.connection {
            self.to_client.push_back(element);
        }
    }

    fn focus_sends(&mut self, stanza: &Element) {
        self.input(Input::Frame { connection: FOCUS, frame: Ok(stanza.clone()) });
    }

    fn client_sends(&mut self, stanza: Element) {
        self.client.unacknowledged.push_back(stanza.clone());
        self.to_server.push_back(stanza);
    }

    fn deliver_to_server(&mut self) {
        let (Some(connection), Some(frame)) = (self.connection, self.to_server.pop_front()) else { return };
        self.input(Input::Frame { connection, frame: Ok(frame) });
    }

    fn deliver_to_client(&mut self) {
        let Some(element) = self.to_client.pop_front() else { return };
        match StreamManagement::parse(&element) {
            Some(StreamManagement::Enabled { id, .. }) => {
                self.client.sm_id = id.unwrap();
                self.client.is_up = true;
            }
            Some(StreamManagement::Request) => {
                self.to_server.push_back(StreamManagement::Ack { h: self.client.handled }.to_element());
            }
            Some(StreamManagement::Ack { h }) => self.client.on_ack(h),
            Some(StreamManagement::Resumed { h, .. }) => {
                self.client.on_ack(h);
                self.client.is_up = true;
                self.resumptions += 1;
                self.to_server.extend(self.client.unacknowledged.iter().cloned());
            }
            Some(failed @ StreamManagement::Failed { .. }) => panic!("{failed:?}"),
            Some(StreamManagement::Enable { .. } | StreamManagement::Resume { .. }) => panic!("{element}"),
            None => self.client.on_stanza(&element),
        }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..20 => {
                let id = format!("s{}", self.focus_sent.len());
                let to = self.client.jid.clone();
                self.focus_sends(&Element::new("message", ns::CLIENT).with_attr("to", to).with_attr("id", id.as_str()));
                self.focus_sent.push(id);
            }
            20..40 if self.client.is_up => {
                let id = format!("c{}", self.client.sent.len());
                let message = Element::new("message", ns::CLIENT)
                    .with_attr("to", ROOM)
                    .with_attr("type", "groupchat")
                    .with_attr("id", id.as_str())
                    .with_child(Element::new("body", ns::CLIENT).with_text("b"));
                self.client_sends(message);
                self.client.sent.push(id);
            }
            40..65 => self.deliver_to_server(),
            65..90 => self.deliver_to_client(),
            90..93 if self.client.is_up => self.to_server.push_back(StreamManagement::Request.to_element()),
            93..96 => self.cut(),
            96 => {
                if let Some(connection) = self.half_open.pop() {
                    self.input(Input::Disconnected { connection, end: ConnectionEnd::Lost });
                }
            }
            97 => {
                self.now.instant += Duration::from_millis(200);
                self.input(Input::Timeout);
            }
            _ if self.connection.is_none() => self.reconnect(),
            _ => {}
        }
    }

    fn drain(&mut self) {
        while !self.to_server.is_empty() || !self.to_client.is_empty() {
            self.deliver_to_server();
            self.deliver_to_client();
        }
    }
}

impl Client {
    fn on_ack(&mut self, h: u32) {
        for _ in self.acknowledged..h {
            self.unacknowledged.pop_front().expect("the server counts no more than was sent");
        }
        self.acknowledged = h;
    }

    fn on_stanza(&mut self, stanza: &Element) {
        if let Some(jid) = bind::bound_jid(stanza) {
            self.jid = jid.unwrap().to_string();
        } else if stanza.ns() == ns::CLIENT && self.is_up {
            self.handled += 1;
            self.received.extend(stanza.attr("id").filter(|id| id.starts_with('s')).map(str::to_owned));
        }
    }
}

fn join(nick: &str) -> Element {
    Element::new("presence", ns::CLIENT)
        .with_attr("to", format!("{ROOM}/{nick}"))
        .with_child(Element::new("x", ns::MUC))
}

#[test]
fn no_stanza_is_lost_or_doubled_wherever_connections_break() {
    let (mut cuts, mut resumptions) = (0, 0);
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        if world.connection.is_none() {
            world.reconnect();
        }
        world.drain();
        assert_eq!(world.client.received, world.focus_sent, "seed {seed}: to the client");
        assert_eq!(world.focus_received, world.client.sent, "seed {seed}: from the client");
        cuts += world.cuts;
        resumptions += world.resumptions;
    }
    assert!(cuts > 250 && resumptions > 150, "{cuts} cuts and {resumptions} resumptions");
}
