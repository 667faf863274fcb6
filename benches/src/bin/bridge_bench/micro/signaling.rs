//! What is done for a stanza.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context;
use signaling::{ConnectionId, Frame, Input, Metrics, Now, Origin, Output, Server, Settings};
use xmpp::{Element, bind, framing, ns};

use super::{Operation, Piece};

/// Occupants of the room that a presence goes to.
const OCCUPANTS: usize = 100;
const ROOM: &str = "bench@muc.meet.example";

pub(super) fn pieces() -> Vec<Piece> {
    vec![
        Piece::new("parse a presence", |_| parse()),
        Piece::new("write a presence", |_| write()),
        Piece::new("room: one presence to 100, an occupant", |_| broadcast()).in_calls_of(OCCUPANTS),
        Piece::new("room: a newcomer among 100, an occupant", |_| newcomer()).in_calls_of(OCCUPANTS),
    ]
}

/// As a stock client sends it (client.md §5.2), but with the address in this place.
fn presence(to: &str) -> String {
    format!(
        "<presence to='{to}' xmlns='jabber:client'><stats-id>Karlie-9Xy</stats-id><c hash='sha-1' \
         node='https://jitsi.org/jitsi-meet' ver='aGVsbG8sIHdvcmxkIGFnYWluIQ=' xmlns='http://jabber.org/protocol/caps'/>\
         <SourceInfo>{{\"abcd1234-a0\":{{\"muted\":true}},\"abcd1234-v0\":{{\"muted\":false}}}}</SourceInfo>\
         <jitsi_participant_codecList>av1,vp9,vp8,h264</jitsi_participant_codecList>\
         <nick xmlns='http://jabber.org/protocol/nick'>Alice</nick></presence>"
    )
}

fn parse() -> anyhow::Result<Operation> {
    let text = presence(&format!("{ROOM}/abcd1234"));
    Element::parse(&text).context("the presence does not parse")?;
    Ok(Box::new(move || {
        black_box(Element::parse(black_box(&text)).ok());
    }))
}

fn write() -> anyhow::Result<Operation> {
    let element = Element::parse(&presence(&format!("{ROOM}/abcd1234")))?;
    Ok(Box::new(move || {
        black_box(black_box(&element).to_string());
    }))
}

/// A presence comes in as text and goes out as text to everybody, each with its own address.
fn broadcast() -> anyhow::Result<Operation> {
    let mut room = Room::new()?;
    let text = presence(&format!("{ROOM}/{}", room.nicks.first().context("nobody is there")?));
    let sent = room.say(0, Element::parse(&text)?);
    anyhow::ensure!(sent >= OCCUPANTS, "{sent} of {OCCUPANTS} got it");
    Ok(Box::new(move || {
        if let Ok(element) = Element::parse(&text) {
            black_box(room.say(0, element));
        }
    }))
}

/// Everybody's presence goes to somebody who joins, and his to everybody. He was there before, so that the room stays as it
/// is: to be told, a newcomer and who joins once more are the same.
fn newcomer() -> anyhow::Result<Operation> {
    let mut room = Room::new()?;
    let mut stanza = Element::parse(&presence(&format!("{ROOM}/{}", room.nicks.first().context("nobody is there")?)))?;
    stanza.push(Element::new("x", ns::MUC));
    let sent = room.say(0, stanza.clone());
    anyhow::ensure!(sent >= 2 * OCCUPANTS, "{sent} stanzas to and about {OCCUPANTS}");
    Ok(Box::new(move || {
        black_box(room.say(0, stanza.clone()));
    }))
}

/// A room with [`OCCUPANTS`] clients and the focus.
struct Room {
    server: Server,
    now: Now,
    nicks: Vec<String>,
}

/// The focus' connection; those of clients have their place as number.
const FOCUS: ConnectionId = ConnectionId(u64::MAX);

impl Room {
    fn new() -> anyhow::Result<Self> {
        let settings = Settings::for_domain("meet.example")?;
        let now = Now { instant: Instant::now(), unix_ms: 1_790_000_000_000 };
        let mut room = Self { server: Server::new(settings, [7; 32], Metrics::new()), now, nicks: Vec::new() };
        let jid = "focus@auth.meet.example/focus".parse()?;
        room.server.handle_input(now, Input::ServiceAttached { connection: FOCUS, jid });
        room.frame(FOCUS, join("focus"));
        for client in 0..OCCUPANTS {
            room.join(client)?;
        }
        Ok(room)
    }

    fn join(&mut self, client: usize) -> anyhow::Result<()> {
        let connection = ConnectionId(client as u64);
        self.server.handle_input(self.now, Input::Connected { connection, origin: Origin::default() });
        self.frame(connection, framing::client_open("meet.example"));
        self.frame(connection, Element::new("auth", ns::SASL).with_attr("mechanism", "ANONYMOUS"));
        self.frame(connection, framing::client_open("meet.example"));
        self.drain();
        self.frame(connection, bind::request("bind", None));
        let bound = self.drain().into_iter().find_map(|element| bind::bound_jid(&element.parse().ok()?));
        let jid = bound.context("no resource is bound")??;
        let nick: String = jid.local().unwrap_or_default().chars().take(8).collect();
        let mut join = Element::parse(&presence(&format!("{ROOM}/{nick}")))?;
        join.push(Element::new("x", ns::MUC));
        self.frame(connection, join);
        self.drain();
        self.nicks.push(nick);
        Ok(())
    }

    /// A client says something; answers how many hear it.
    fn say(&mut self, client: usize, element: Element) -> usize {
        self.frame(ConnectionId(client as u64), element);
        self.drain().len()
    }

    fn frame(&mut self, connection: ConnectionId, element: Element) {
        self.server.handle_input(self.now, Input::Frame { connection, frame: Ok(element) });
    }

    /// What the server sends, as text.
    fn drain(&mut self) -> Vec<String> {
        let mut sent = Vec::new();
        loop {
            match self.server.poll_output() {
                Output::Send { frame: Frame::Element(element), .. } => sent.push(element.to_string()),
                Output::Send { frame: Frame::Stanza(stanza), .. } => sent.push(stanza.to_string()),
                // Nobody here has a password.
                Output::Send { frame: Frame::StartTls | Frame::Trust | Frame::Close, .. }
                | Output::CheckPassword { .. }
                | Output::LookUpAccount { .. }
                | Output::Call(_)
                | Output::Close { .. } => {}
                Output::Timeout(_) => return sent,
            }
        }
    }
}

fn join(nick: &str) -> Element {
    Element::new("presence", ns::CLIENT)
        .with_attr("to", format!("{ROOM}/{nick}"))
        .with_child(Element::new("x", ns::MUC))
}
