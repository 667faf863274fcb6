//! A client as far as signaling goes: login, room, offer and answer over a WebSocket.

use std::net::{IpAddr, TcpStream};

use jitsi_protocol::conference_request::ConferenceRequest;
use model::{MediaType, Ssrc};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};
use xmpp::jingle::{Action, Content, Creator, IceTransport, Jingle, RtpDescription, RtpMedia, Source};
use xmpp::{Element, Jid, bind, framing, iq_result, ns};

use super::host::{HTTP_PORT, connect};

const ROOM: &str = "demo@muc.meet.jitsi";
/// Without rewriting of SSRCs: streams keep those of their senders.
const FEATURES: [&str; 5] = [
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:apps:rtp:video",
    "urn:xmpp:jingle:transports:dtls-sctp:1",
    "http://jitsi.org/json-encoded-sources",
    "http://jitsi.org/source-name",
];

pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    jid: Jid,
    offer: Option<(String, Jingle)>,
}

impl Client {
    /// Joins the room of all at the server of `at`.
    pub(crate) fn join(at: IpAddr) -> Self {
        let mut request = "ws://meet.example/xmpp-websocket?room=demo".into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", "xmpp".parse().unwrap());
        let (socket, _) = tungstenite::client(request, connect(at, HTTP_PORT)).unwrap();
        let mut client = Self { socket, jid: "unbound".parse().unwrap(), offer: None };
        client.send(&framing::client_open("meet.jitsi"));
        client.receive_named("features");
        client.send(&Element::new("auth", ns::SASL).with_attr("mechanism", "ANONYMOUS"));
        client.receive_named("success");
        client.send(&framing::client_open("meet.jitsi"));
        client.receive_named("features");
        client.send(&bind::request("bind", None));
        client.jid = bind::bound_jid(&client.receive_named("iq")).unwrap().unwrap();
        client.ask_for_conference();
        let nick: String = client.jid.local().unwrap().chars().take(8).collect();
        let presence = Element::new("presence", ns::CLIENT)
            .with_attr("to", format!("{ROOM}/{nick}"))
            .with_child(Element::new("x", ns::MUC));
        client.send(&presence);
        client
    }

    fn ask_for_conference(&mut self) {
        let request = ConferenceRequest::new(ROOM.parse().unwrap());
        let iq = Element::new("iq", ns::CLIENT)
            .with_attr("type", "set")
            .with_attr("id", "conference")
            .with_attr("to", "focus.meet.jitsi")
            .with_child(request.to_element());
        self.send(&iq);
        let answer = self.receive_named("iq");
        assert_eq!(answer.attr("type"), Some("result"), "{answer}");
    }

    /// Waits for the focus to offer a session, and answers what it asks meanwhile.
    pub(crate) fn wait_for_offer(&mut self) -> &Jingle {
        while self.offer.is_none() {
            let iq = self.receive_named("iq");
            let from = iq.attr("from").unwrap_or_default().to_owned();
            let Some(payload) = iq.children().next().filter(|_| iq.attr("type") != Some("result")) else { continue };
            if payload.is("query", ns::DISCO_INFO) {
                let feature = |var: &&str| Element::new("feature", ns::DISCO_INFO).with_attr("var", *var);
                let query = Element::new("query", ns::DISCO_INFO).with_children(FEATURES.iter().map(feature));
                self.send(&iq_result(&iq).with_child(query));
            } else {
                if payload.ns() == ns::JINGLE {
                    let jingle = Jingle::from_element(payload).unwrap();
                    if jingle.action == Action::SessionInitiate {
                        self.offer = Some((from, jingle));
                    }
                }
                self.send(&iq_result(&iq));
            }
        }
        &self.offer.as_ref().unwrap().1
    }

    /// Answers the offer: a microphone with `ssrc`, behind `transport`.
    pub(crate) fn accept(&mut self, ssrc: Ssrc, transport: &IceTransport) {
        let (focus, offer) = self.offer.clone().unwrap();
        let nick = self.jid.local().unwrap().chars().take(8).collect::<String>();
        let mut accept = Jingle::new(Action::SessionAccept, offer.sid.clone());
        accept.responder = Some(self.jid.to_string());
        for offered in &offer.contents {
            let mut description = offered.description.clone();
            if let Some(description) = &mut description {
                description.sources.clear();
                description.groups.clear();
            }
            if offered.name == MediaType::Audio.as_str() {
                let audio = description.get_or_insert_with(|| RtpDescription::new(RtpMedia::Rtp(MediaType::Audio)));
                audio.sources = vec![Source {
                    name: Some(format!("{nick}-a0").parse().unwrap()),
                    msid: Some(format!("{nick}-audio-0 track")),
                    ..Source::new(ssrc)
                }];
            }
            accept.contents.push(Content {
                creator: Creator::Responder,
                description,
                transport: Some(transport.clone()),
                ..Content::new(offered.name.clone())
            });
        }
        let iq = Element::new("iq", ns::CLIENT)
            .with_attr("type", "set")
            .with_attr("id", "accept")
            .with_attr("to", focus)
            .with_child(accept.to_element());
        self.send(&iq);
        loop {
            let iq = self.receive_named("iq");
            if iq.attr("id") == Some("accept") {
                assert_eq!(iq.attr("type"), Some("result"), "{iq}");
                return;
            }
            if iq.attr("type") == Some("set") {
                self.send(&iq_result(&iq));
            }
        }
    }

    fn send(&mut self, element: &Element) {
        self.socket.send(Message::text(element.to_string())).unwrap();
    }

    /// The next element of that name; presence of others and the like is passed over.
    fn receive_named(&mut self, name: &str) -> Element {
        loop {
            match self.socket.read().unwrap() {
                Message::Text(text) => {
                    let element: Element = text.as_str().parse().unwrap();
                    assert_ne!(element.name(), "close", "{element}");
                    if element.name() == name {
                        return element;
                    }
                }
                Message::Close(frame) => panic!("closed: {frame:?}"),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}
