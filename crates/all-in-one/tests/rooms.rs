//! Signaling and focus together, as they meet in one process, in virtual time and without a bridge: what moderators say to
//! components reaches the focus, and breakout rooms open.

#![allow(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a test ends where its helpers fail")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde_json::Value;
use signaling::{ConnectionId, Frame, Metrics, Now, Origin, Server};
use xmpp::{Element, bind, framing, ns};

const ROOM: &str = "demo@muc.meet.jitsi";
const FOCUS: ConnectionId = ConnectionId(0);

struct World {
    server: Server,
    focus: focus::Focus,
    now: Instant,
    clients: BTreeMap<ConnectionId, VecDeque<Element>>,
}

struct Client {
    connection: ConnectionId,
    jid: String,
    nick: String,
}

impl World {
    fn new() -> Self {
        let focus = focus::Settings::new("meet.jitsi").unwrap();
        Self::of(signaling::Settings::for_domain("meet.jitsi").unwrap(), focus)
    }

    /// With one node for visitors.
    fn with_visitors() -> Self {
        let mut signaling = signaling::Settings::for_domain("meet.jitsi").unwrap();
        let hosts = signaling::VisitorHosts::of(&signaling.hosts, 1, "meet.jitsi").unwrap();
        signaling.hosts.visitors = Some(hosts);
        let mut focus = focus::Settings::new("meet.jitsi").unwrap();
        let nodes = vec![focus::VisitorNode::at_main_server("v1", "meet.jitsi")];
        focus.visitors = Some(focus::VisitorSettings::new("meet.jitsi", nodes).unwrap());
        Self::of(signaling, focus)
    }

    #[expect(clippy::disallowed_methods, reason = "an instant to count from")]
    fn of(signaling: signaling::Settings, focus: focus::Settings) -> Self {
        let mut world = Self {
            server: Server::new(signaling, [7; 32], Metrics::new()),
            focus: focus::Focus::new(focus, [8; 32]).unwrap(),
            now: Instant::now(),
            clients: BTreeMap::new(),
        };
        let jid: xmpp::Jid = "focus@auth.meet.jitsi/focus".parse().unwrap();
        world.signaling(signaling::Input::ServiceAttached { connection: FOCUS, jid: jid.clone() });
        world.focus.handle_input(focus::Input::LinkUp { jid }, world.now);
        world.pump();
        world
    }

    fn signaling(&mut self, input: signaling::Input) {
        self.server.handle_input(Now { instant: self.now, unix_ms: 0 }, input);
        self.pump();
    }

    /// Hands on what both say until they are silent.
    fn pump(&mut self) {
        loop {
            let said = match self.server.poll_output() {
                signaling::Output::Send { connection, frame: Frame::Element(element) } => {
                    Some((connection, element.to_string()))
                }
                signaling::Output::Send { connection, frame: Frame::Stanza(stanza) } => {
                    Some((connection, stanza.to_string()))
                }
                signaling::Output::Send { .. } | signaling::Output::Close { .. } => continue,
                signaling::Output::CheckPassword { .. } | signaling::Output::LookUpAccount { .. } => {
                    panic!("nobody has a password here")
                }
                signaling::Output::Call(_) => panic!("nobody is called here"),
                signaling::Output::Timeout(_) => None,
            };
            if let Some((connection, text)) = said {
                let stanza = text.parse().unwrap();
                if connection == FOCUS {
                    self.focus.handle_input(focus::Input::Stanza(stanza), self.now);
                } else {
                    self.clients.entry(connection).or_default().push_back(stanza);
                }
                continue;
            }
            match self.focus.poll_output() {
                focus::Output::Send(stanza) => {
                    let input = signaling::Input::Frame { connection: FOCUS, frame: Ok(stanza) };
                    self.server.handle_input(Now { instant: self.now, unix_ms: 0 }, input);
                }
                focus::Output::SendToNode { .. } | focus::Output::HttpResponse { .. } => {}
                focus::Output::Timeout(_) => return,
            }
        }
    }

    fn connect(&mut self, number: u64) -> Client {
        self.connect_at(number, "meet.jitsi")
    }

    fn connect_at(&mut self, number: u64, domain: &str) -> Client {
        let connection = ConnectionId(number);
        let origin = Origin { room: Some("demo".to_owned()), ..Origin::default() };
        self.signaling(signaling::Input::Connected { connection, origin });
        let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>".parse().unwrap();
        let open = framing::client_open(domain);
        for frame in [open.clone(), auth, open, bind::request("b", None)] {
            self.signaling(signaling::Input::Frame { connection, frame: Ok(frame) });
        }
        let jid = self.clients[&connection].iter().find_map(|stanza| bind::bound_jid(stanza).and_then(Result::ok));
        let jid = jid.unwrap();
        Client { connection, nick: jid.local().unwrap().chars().take(8).collect(), jid: jid.to_string() }
    }

    fn send(&mut self, client: &Client, stanza: &str) {
        let wrapped: Element = format!("<w xmlns='jabber:client'>{stanza}</w>").parse().unwrap();
        let frame = wrapped.children().next().unwrap().clone();
        self.signaling(signaling::Input::Frame { connection: client.connection, frame: Ok(frame) });
    }

    /// Asks for the conference and enters the room.
    fn join(&mut self, client: &Client, room: &str) {
        let request = format!(
            "<iq type='set' id='c' to='focus.meet.jitsi'><conference xmlns='http://jitsi.org/protocol/focus' room='{room}'/></iq>"
        );
        self.send(client, &request);
        let ready = self.received(client, |stanza| stanza.attr("id") == Some("c"));
        assert_eq!(
            ready.child("conference", ns::FOCUS).and_then(|answer| answer.attr("ready")),
            Some("true"),
            "{ready}"
        );
        self.send(
            client,
            &format!("<presence to='{room}/{}'><x xmlns='http://jabber.org/protocol/muc'/></presence>", client.nick),
        );
        let own = format!("{room}/{}", client.nick);
        self.received(client, |stanza| stanza.name() == "presence" && stanza.attr("from") == Some(&own));
    }

    /// The first of that kind since the last that was asked for.
    fn received(&mut self, client: &Client, is_it: impl Fn(&Element) -> bool) -> Element {
        let waiting = self.clients.get_mut(&client.connection).unwrap();
        let at = waiting.iter().position(is_it).unwrap_or_else(|| panic!("nothing of that kind in {waiting:?}"));
        waiting.drain(..=at).next_back().unwrap()
    }

    fn wait(&mut self, milliseconds: u64) {
        self.now += std::time::Duration::from_millis(milliseconds);
        self.signaling(signaling::Input::Timeout);
        self.focus.handle_input(focus::Input::Timeout, self.now);
        self.pump();
    }
}

fn is_mute(stanza: &Element) -> bool {
    stanza.child("mute", ns::MUTE_AUDIO).is_some() && stanza.attr("type") == Some("set")
}

#[test]
fn the_focus_mutes_whom_a_moderator_says_and_refuses_unmuting() {
    let mut world = World::new();
    let (alice, bob) = (world.connect(1), world.connect(2));
    world.join(&alice, ROOM);
    world.join(&bob, ROOM);
    // The first is an owner, by the focus.
    world.send(
        &alice,
        "<message to='avmoderation.meet.jitsi'><av_moderation enable='true' mediaType='audio'/></message>",
    );
    let mute = world.received(&bob, is_mute);
    assert_eq!(mute.attr("from"), Some("demo@muc.meet.jitsi/focus"));
    assert_eq!(
        mute.child("mute", ns::MUTE_AUDIO).unwrap().attr("actor"),
        Some(format!("{ROOM}/{}", alice.nick).as_str())
    );
    let unmute = format!(
        "<iq type='set' id='u' to='{ROOM}/focus'><mute xmlns='http://jitsi.org/jitmeet/audio' jid='{ROOM}/{}'>false</mute></iq>",
        bob.nick
    );
    world.send(&bob, &unmute);
    let answer = world.received(&bob, |stanza| stanza.attr("id") == Some("u"));
    assert_eq!(answer.attr("type"), Some("error"), "{answer}");
    world.send(
        &alice,
        &format!(
            "<message to='avmoderation.meet.jitsi'><av_moderation mediaType='audio' jidToWhitelist='{ROOM}/{}'/></message>",
            bob.nick
        ),
    );
    world.send(&bob, &unmute);
    let answer = world.received(&bob, |stanza| stanza.attr("id") == Some("u"));
    assert_eq!(answer.attr("type"), Some("result"), "{answer}");
    assert!(!world.clients[&alice.connection].iter().any(is_mute), "moderators are not muted");
}

#[test]
fn the_focus_opens_breakout_rooms_and_keeps_the_main_room() {
    let mut world = World::new();
    let (alice, bob) = (world.connect(1), world.connect(2));
    world.join(&alice, ROOM);
    world.join(&bob, ROOM);
    world.send(
        &alice,
        "<message to='breakout.meet.jitsi'><breakout_rooms type='features/breakout-rooms/add' subject='B'/></message>",
    );
    world.wait(300);
    let update = world.received(&bob, |stanza| stanza.attr("from") == Some("breakout.meet.jitsi"));
    let update: Value = serde_json::from_str(&update.child("json-message", ns::JITMEET).unwrap().text()).unwrap();
    let rooms = update["rooms"].as_object().unwrap();
    let breakout =
        rooms.values().find(|room| room["isMainRoom"].is_null()).unwrap()["jid"].as_str().unwrap().to_owned();
    for client in [&bob, &alice] {
        world.send(
            client,
            &format!(
                "<presence type='unavailable' to='{ROOM}/{}'><status>switch_room</status></presence>",
                client.nick
            ),
        );
        world.join(client, &breakout);
    }
    // She owns the main room, hence this one; nobody was made owner here.
    let shown = world.received(&bob, |stanza| stanza.attr("from") == Some(&format!("{breakout}/{}", alice.nick)));
    let item = shown.child("x", ns::MUC_USER).and_then(|x| x.child("item", ns::MUC_USER)).unwrap();
    assert_eq!((item.attr("affiliation"), item.attr("jid")), (Some("owner"), Some(alice.jid.as_str())));
    // And back, where nobody was meanwhile.
    world.send(
        &bob,
        &format!("<presence type='unavailable' to='{breakout}/{}'><status>switch_room</status></presence>", bob.nick),
    );
    world.join(&bob, ROOM);
}

/// One takes part, another watches on a node: the focus enters the room there and has it connected, each side sees what it may,
/// and rooms are told how many watch.
#[test]
fn visitors_watch_on_a_node() {
    let mut world = World::with_visitors();
    let ada = world.connect(1);
    world.join(&ada, ROOM);
    let guest = world.connect(2);
    world.send(
        &guest,
        &format!(
            "<iq type='set' id='v' to='focus.meet.jitsi'><conference xmlns='http://jitsi.org/protocol/focus' room='{ROOM}'>\
             <property name='visitors-version' value='1'/><property name='visitor' value='true'/></conference></iq>"
        ),
    );
    let answer = world.received(&guest, |stanza| stanza.attr("id") == Some("v"));
    let answer = answer.child("conference", ns::FOCUS).unwrap().clone();
    assert_eq!((answer.attr("ready"), answer.attr("vnode")), (Some("true"), Some("v1")), "{answer}");
    assert_eq!(answer.attr("focusjid"), Some("focus@auth.meet.jitsi"));

    let room = "demo@muc.v1.meet.jitsi";
    let visitor = world.connect_at(3, "v1.meet.jitsi");
    let own = format!("{room}/{}", visitor.nick);
    world.send(&visitor, &format!("<presence to='{own}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"));
    let shown = format!("{room}/{}", ada.nick);
    world.received(&visitor, |stanza| stanza.name() == "presence" && stanza.attr("from") == Some(&shown));
    let entered = world.received(&visitor, |stanza| stanza.attr("from") == Some(&own));
    assert!(entered.to_string().contains("role='visitor'"), "{entered}");
    let tells = |count: usize| {
        move |stanza: &Element| stanza.to_string().contains(&format!("key='visitor-count' value='{count}'"))
    };
    world.received(&ada, tells(1));
    assert!(!world.clients[&ada.connection].iter().any(|stanza| stanza.to_string().contains(&visitor.nick)));
    assert_eq!(world.focus.metrics().visitors_current.get(), 1);

    world.send(&visitor, &format!("<presence type='unavailable' to='{own}'/>"));
    assert_eq!(world.focus.metrics().visitors_current.get(), 0);
    world.wait(15_000);
    world.received(&ada, tells(0));

    // With nobody who takes part there is nothing to see.
    world.send(&visitor, &format!("<presence to='{own}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"));
    world.send(&ada, &format!("<presence type='unavailable' to='{ROOM}/{}'/>", ada.nick));
    assert_eq!(world.focus.metrics().conferences.get(), 0);
    assert_eq!(world.focus.metrics().visitors_current.get(), 0);
}
