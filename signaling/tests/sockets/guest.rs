//! A guest over any of the transports, for what has to hold over all of them.

use std::collections::VecDeque;

use tokio::net::TcpStream;
use xmpp::{Element, ns};

use crate::bosh::Bosh;
use crate::client::{Served, Tcp, Ws};

/// A bound guest.
pub(crate) struct Guest<'a> {
    pub(crate) jid: String,
    transport: Transport<'a>,
}

enum Transport<'a> {
    Tcp(Box<Tcp<TcpStream>>),
    WebSocket(Box<Ws>),
    /// With what an answer brought besides the stanza that was read.
    Bosh(Bosh<'a>, VecDeque<Element>),
}

impl<'a> Guest<'a> {
    /// One over each transport.
    pub(crate) async fn of_each_kind(served: &'a Served) -> [Self; 3] {
        let (tcp, web_socket) = (served.guest().await, Ws::guest(served).await);
        let (bosh, jid) = Bosh::guest(served).await;
        [
            Self { jid: tcp.jid.clone(), transport: Transport::Tcp(Box::new(tcp)) },
            Self { jid: web_socket.jid.clone(), transport: Transport::WebSocket(Box::new(web_socket)) },
            Self { jid, transport: Transport::Bosh(bosh, VecDeque::new()) },
        ]
    }

    /// The nick of a stock client.
    pub(crate) fn nick(&self) -> String {
        self.jid.chars().take(8).collect()
    }

    pub(crate) async fn send(&mut self, stanza: &str) {
        match &mut self.transport {
            Transport::Tcp(tcp) => tcp.send(stanza).await,
            Transport::WebSocket(web_socket) => web_socket.send(stanza).await,
            Transport::Bosh(bosh, received) => received.extend(bosh.send("", stanza).await.into_children()),
        }
    }

    pub(crate) async fn receive(&mut self) -> Element {
        match &mut self.transport {
            Transport::Tcp(tcp) => tcp.receive().await,
            Transport::WebSocket(web_socket) => web_socket.receive().await,
            Transport::Bosh(bosh, received) => loop {
                if let Some(stanza) = received.pop_front() {
                    return stanza;
                }
                received.extend(bosh.send("", "").await.into_children());
            },
        }
    }

    /// The next stanza that it is.
    pub(crate) async fn receive_that(&mut self, is_it: impl Fn(&Element) -> bool) -> Element {
        loop {
            let stanza = self.receive().await;
            if is_it(&stanza) {
                return stanza;
            }
        }
    }

    /// Waits for the answer to a question to the domain; what comes before it is dropped.
    pub(crate) async fn ping(&mut self) {
        self.send("<iq xmlns='jabber:client' type='get' id='p' to='meet.jitsi'><ping xmlns='urn:xmpp:ping'/></iq>")
            .await;
        let answer = self.receive_that(|stanza| stanza.attr("id") == Some("p")).await;
        assert!(answer.is("iq", ns::CLIENT) && answer.attr("type") == Some("result"), "{answer}");
    }
}
