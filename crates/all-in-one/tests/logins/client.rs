//! A stock client as far as logins go: stream, SASL, conference request, room.

use std::collections::HashMap;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use jitsi_protocol::conference_request::{ConferenceRequest, ConferenceResponse};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};
use xmpp::sasl::PlainCredentials;
use xmpp::{Element, Jid, bind, framing, ns};

const ROOM: &str = "demo@muc.meet.jitsi";

pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    /// Mechanisms that were offered.
    pub(crate) offered: String,
    pub(crate) jid: Jid,
    /// The last role of each occupant that was told.
    roles: HashMap<String, String>,
}

impl Client {
    /// Opens a stream; `None` where the domain is not served.
    pub(crate) fn open(http_port: &str, domain: &str) -> Option<Self> {
        Self::open_at(http_port, domain, "ws://meet.example/xmpp-websocket?room=demo")
    }

    /// Logs in with a token, or with none; the words of a refusal.
    pub(crate) fn with_token(http_port: &str, token: Option<&str>) -> Result<Self, String> {
        let token = token.map(|token| format!("&token={token}")).unwrap_or_default();
        let url = format!("ws://meet.example/xmpp-websocket?room=demo{token}");
        let mut client = Self::open_at(http_port, "meet.jitsi", &url).ok_or("no such domain")?;
        client.send(&Element::new("auth", ns::SASL).with_attr("mechanism", "ANONYMOUS"));
        client.finish()
    }

    fn open_at(http_port: &str, domain: &str, url: &str) -> Option<Self> {
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", "xmpp".parse().unwrap());
        let stream = TcpStream::connect(format!("127.0.0.1:{http_port}")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let (socket, _) = tungstenite::client(request, stream).unwrap();
        let mut client = Self { socket, offered: String::new(), jid: domain.parse().unwrap(), roles: HashMap::new() };
        client.send(&framing::client_open(domain));
        loop {
            let element = client.receive()?;
            match element.name() {
                "features" => {
                    let mechanisms = element.child("mechanisms", ns::SASL);
                    client.offered = mechanisms.map(Element::to_string).unwrap_or_default();
                    return Some(client);
                }
                "error" => return None,
                _ => {}
            }
        }
    }

    /// Logs in with a password; the name of the condition where that is refused.
    pub(crate) fn log_in(http_port: &str, name: &str, password: &str) -> Result<Self, String> {
        let mut client = Self::open(http_port, "meet.jitsi").ok_or("no such domain")?;
        client.send_plain(name, password);
        client.finish()
    }

    /// Comes in without an account.
    pub(crate) fn guest(http_port: &str, domain: &str) -> Self {
        let mut client = Self::open(http_port, domain).unwrap();
        client.send(&Element::new("auth", ns::SASL).with_attr("mechanism", "ANONYMOUS"));
        client.finish().map_err(|condition| panic!("a guest is refused: {condition}")).unwrap()
    }

    pub(crate) fn send_plain(&mut self, name: &str, password: &str) {
        let credentials = PlainCredentials { authzid: None, authcid: name.to_owned(), password: password.to_owned() };
        self.send(&credentials.to_auth());
    }

    pub(crate) fn finish(mut self) -> Result<Self, String> {
        let domain = self.jid.to_string();
        loop {
            let element = self.receive().ok_or("closed")?;
            match element.name() {
                "success" => break,
                "failure" => {
                    let text = element.child("text", ns::SASL).map(Element::text);
                    return Err(text.unwrap_or_else(|| element.children().next().unwrap().name().to_owned()));
                }
                _ => {}
            }
        }
        self.send(&framing::client_open(&domain));
        self.wait_for(|element| element.name() == "features");
        self.send(&bind::request("bind", None));
        let bound = self.wait_for(|element| element.attr("id") == Some("bind"));
        self.jid = bind::bound_jid(&bound).unwrap().unwrap();
        Ok(self)
    }

    /// Asks the focus for the room until it is ready; the condition of its refusal.
    pub(crate) fn ask(&mut self, session_id: Option<&str>) -> Result<ConferenceResponse, String> {
        let mut request = ConferenceRequest::new(ROOM.parse().unwrap());
        request.machine_uid = Some("machine".to_owned());
        request.session_id = session_id.map(str::to_owned);
        for attempt in 0..50 {
            let id = format!("conference{attempt}");
            let iq = Element::new("iq", ns::CLIENT)
                .with_attr("type", "set")
                .with_attr("id", id.as_str())
                .with_attr("to", "focus.meet.jitsi")
                .with_child(request.to_element());
            self.send(&iq);
            let answer = self.wait_for(|element| element.attr("id") == Some(id.as_str()));
            let Some(conference) = answer.child("conference", ns::FOCUS) else {
                let error = answer.children().find(|child| child.name() == "error").unwrap();
                return Err(error.children().next().unwrap().name().to_owned());
            };
            let response = ConferenceResponse::from_element(conference).unwrap();
            if response.ready {
                return Ok(response);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the focus is never ready");
    }

    /// Joins the room and waits for the own presence.
    pub(crate) fn join(&mut self) -> String {
        let nick: String = self.jid.local().unwrap().chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        let address = format!("{ROOM}/{nick}");
        let presence = Element::new("presence", ns::CLIENT)
            .with_attr("to", address.as_str())
            .with_child(Element::new("x", ns::MUC));
        self.send(&presence);
        self.wait_for(|element| element.name() == "presence" && element.attr("from") == Some(address.as_str()));
        address
    }

    /// The words with which the room refuses a join.
    pub(crate) fn is_refused_by(&mut self, room: &str) -> String {
        let presence = Element::new("presence", ns::CLIENT)
            .with_attr("to", format!("{room}/deadbeef").as_str())
            .with_child(Element::new("x", ns::MUC));
        self.send(&presence);
        let refusal = self.wait_for(|element| element.name() == "presence" && element.attr("type") == Some("error"));
        let error = refusal.children().find(|child| child.name() == "error").unwrap();
        error.child_named("text").map(Element::text).unwrap_or_default()
    }

    /// Waits for the presence of somebody else, and answers it.
    pub(crate) fn sees(&mut self, occupant: &str) -> Element {
        self.wait_for(|element| element.name() == "presence" && element.attr("from") == Some(occupant))
    }

    /// Leaves the room.
    pub(crate) fn leave(&mut self, occupant: &str) {
        let goodbye = Element::new("presence", ns::CLIENT).with_attr("type", "unavailable").with_attr("to", occupant);
        self.send(&goodbye);
        self.wait_for(|element| element.attr("type") == Some("unavailable") && element.attr("from") == Some(occupant));
    }

    /// Waits until the occupant has this role.
    pub(crate) fn wait_for_role(&mut self, occupant: &str, role: &str) {
        while self.roles.get(occupant).map(String::as_str) != Some(role) {
            self.wait_for(|element| element.name() == "presence" && element.attr("from") == Some(occupant));
        }
    }

    /// Whether the server ends the stream.
    pub(crate) fn is_closed_by_server(&mut self) -> bool {
        loop {
            match self.receive() {
                Some(element) if element.name() == "error" && element.ns() == ns::STREAMS => return true,
                Some(_) => {}
                None => return true,
            }
        }
    }

    pub(crate) fn send(&mut self, element: &Element) {
        self.socket.send(Message::text(element.to_string())).unwrap();
    }

    /// Waits for an element; a minute at most, whatever else comes.
    #[expect(clippy::disallowed_methods, reason = "a real server, which answers in time of its own")]
    fn wait_for(&mut self, is_it: impl Fn(&Element) -> bool) -> Element {
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < Duration::from_secs(60), "what is waited for does not come");
            let element = self.receive().expect("the stream goes on");
            if is_it(&element) {
                return element;
            }
        }
    }

    /// The next element; `None` when the stream is over.
    fn receive(&mut self) -> Option<Element> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let element: Element = text.as_str().parse().unwrap();
                    if element.name() == "iq" && element.attr("type") == Some("get") {
                        self.send(&xmpp::iq_result(&element));
                        continue;
                    }
                    self.note_role(&element);
                    return Some(element);
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    fn note_role(&mut self, presence: &Element) {
        let item = presence.child("x", ns::MUC_USER).and_then(|x| x.child("item", ns::MUC_USER));
        if let (Some(occupant), Some(role)) = (presence.attr("from"), item.and_then(|item| item.attr("role"))) {
            self.roles.insert(occupant.to_owned(), role.to_owned());
        }
    }
}
