//! How a service (focus, bridge) reaches the XMPP server: stanzas in, stanzas out, whichever way they travel.
//!
//! In one process the other end is a [`LinkPeer`] held by signaling; between processes it is a WebSocket stream. The
//! service cannot tell which.

use tokio::sync::mpsc;
use xmpp::{Element, Jid};

/// Stanzas that may wait in each direction. A conference of 500 that starts at once makes about 2000.
const LINK_CAPACITY: usize = 16 * 1024;

/// What a link tells its service.
#[derive(Debug)]
pub enum LinkEvent {
    /// The stream is bound as this full JID; rooms have to be joined (again).
    Up {
        /// The service's own address.
        jid: Jid,
    },
    /// A stanza arrived.
    Stanza(Element),
    /// The stream is gone; the link tries to come up again by itself.
    Down,
}

/// A service's end of its XMPP stream.
#[derive(Debug)]
pub struct Link {
    outgoing: mpsc::Sender<Element>,
    incoming: mpsc::Receiver<LinkEvent>,
}

/// The server's end of an in-process link.
#[derive(Debug)]
pub struct LinkPeer {
    /// The address under which the service is bound.
    pub jid: Jid,
    /// What the service sent.
    pub from_service: mpsc::Receiver<Element>,
    /// What goes to the service.
    pub to_service: mpsc::Sender<LinkEvent>,
}

impl Link {
    /// Both ends of a link within one process. The service sees [`LinkEvent::Up`] first.
    #[must_use]
    pub fn in_process(jid: Jid) -> (Link, LinkPeer) {
        let (outgoing, from_service) = mpsc::channel(LINK_CAPACITY);
        let (to_service, incoming) = mpsc::channel(LINK_CAPACITY);
        // The queue is empty and its other end alive: there is room for one event.
        let announced = to_service.try_send(LinkEvent::Up { jid: jid.clone() });
        debug_assert!(announced.is_ok(), "an empty queue has room");
        (Link { outgoing, incoming }, LinkPeer { jid, from_service, to_service })
    }

    /// A link and the other ends of its queues, for a task that carries stanzas over the network.
    pub(crate) fn over_network() -> (Link, mpsc::Receiver<Element>, mpsc::Sender<LinkEvent>) {
        let (outgoing, from_service) = mpsc::channel(LINK_CAPACITY);
        let (to_service, incoming) = mpsc::channel(LINK_CAPACITY);
        (Link { outgoing, incoming }, from_service, to_service)
    }

    /// Sends a stanza; waits while the queue is full. Answers whether the stream still exists.
    pub async fn send(&self, stanza: Element) -> bool {
        self.outgoing.send(stanza).await.is_ok()
    }

    /// The next event; `None` when the stream is gone for good.
    pub async fn recv(&mut self) -> Option<LinkEvent> {
        self.incoming.recv().await
    }
}
