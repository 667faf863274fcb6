//! `rtc-sctp`. It has ancestors in common with the library that we use, and went its own way since.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rtc_sctp::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier, ReliabilityType, ServerConfig, StreamEvent, TransportConfig,
};
use rtc_shared::TransportProtocol;

use super::{Delivery, Heard, Peer};

pub(crate) struct RtcSctp {
    endpoint: Endpoint,
    /// One for each INIT that came, until one of them is established: the first. Then it alone.
    associations: Vec<(AssociationHandle, Association)>,
    is_connected: bool,
    is_closed: bool,
}

impl RtcSctp {
    pub(crate) fn boxed(_now: Instant) -> Box<dyn Peer> {
        let server = ServerConfig::new(TransportConfig::default());
        let config = Arc::new(EndpointConfig::new());
        let endpoint = Endpoint::new(address(1), TransportProtocol::UDP, config, Some(Arc::new(server)));
        Box::new(Self { endpoint, associations: Vec::new(), is_connected: false, is_closed: false })
    }

    fn association(&mut self) -> &mut Association {
        self.associations.first_mut().map(|(_, association)| association).expect("a test connects first")
    }
}

impl Peer for RtcSctp {
    fn connect(&mut self, now: Instant) {
        let config = ClientConfig::new(TransportConfig::default());
        self.endpoint.reject_new_associations();
        self.associations.push(self.endpoint.connect(now, config, address(2)).expect("nothing is in the way"));
    }

    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        match self.endpoint.handle(now, address(2), None, datagram.to_vec().into()) {
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some((_, association)) = self.associations.iter_mut().find(|(known, _)| *known == handle) {
                    association.handle_event(event);
                }
            }
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                self.associations.push((handle, association));
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        for (_, association) in &mut self.associations {
            association.handle_timeout(now);
        }
    }

    fn timeout(&self) -> Option<Instant> {
        self.associations.iter().filter_map(|(_, association)| association.poll_timeout()).min()
    }

    fn drain(&mut self, now: Instant) -> (Vec<Vec<u8>>, Vec<Heard>) {
        let (mut datagrams, mut heard) = (Vec::new(), Vec::new());
        if !self.is_connected {
            let connected = self.associations.iter().position(|(_, association)| !association.is_handshaking());
            if let Some(at) = connected {
                self.associations = vec![self.associations.swap_remove(at)];
                self.endpoint.reject_new_associations();
                self.is_connected = true;
            }
        }
        for (_, association) in &mut self.associations {
            while let Some(event) = association.poll() {
                handle_event(association, &event, &mut heard);
            }
            while let Some(message) = association.poll_transmit(now) {
                if let Payload::RawEncode(packets) = message.message {
                    datagrams.extend(packets.into_iter().map(|packet| packet.to_vec()));
                }
            }
        }
        if self.is_connected && !self.is_closed && self.association().is_closed() {
            self.is_closed = true;
            heard.push(Heard::Closed);
        }
        (datagrams, heard)
    }

    fn send(&mut self, now: Instant, stream: u16, ppid: u32, bytes: &[u8], delivery: Delivery) {
        let ppid = PayloadProtocolIdentifier::from(ppid);
        let association = self.association();
        if association.stream(stream).is_err() {
            association.open_stream(stream, ppid).expect("it is new");
        }
        let mut stream = association.stream(stream).expect("it is open");
        let reliability = match delivery {
            Delivery::Ordered | Delivery::Unordered => ReliabilityType::Reliable,
            Delivery::Once => ReliabilityType::Rexmit,
        };
        stream.set_reliability_params(delivery == Delivery::Unordered, reliability, 0).expect("it is open");
        stream.write_with_ppi(now, bytes, ppid).expect("it is taken");
    }

    fn reset(&mut self, now: Instant, stream: u16) {
        self.association().stream(stream).and_then(|mut stream| stream.close(now)).expect("it is open");
    }

    fn abort(&mut self) {
        self.association().abort().expect("it is always possible");
    }

    fn shutdown(&mut self) {
        self.association().shutdown().expect("it is established");
    }
}

fn handle_event(association: &mut Association, event: &Event, heard: &mut Vec<Heard>) {
    match event {
        Event::Connected => heard.push(Heard::Connected),
        Event::HandshakeFailed { reason } => panic!("{reason}"),
        Event::Stream(StreamEvent::Readable { id }) => {
            while let Ok(Some(chunks)) = association.stream(*id).and_then(|mut stream| stream.read_sctp()) {
                let bytes = chunks.to_payload(1 << 20).expect("it is shorter").to_vec();
                heard.push(Heard::Message { stream: *id, ppid: chunks.ppi as u32, bytes });
            }
        }
        // Told for each stream, when it is reset and when the association ends.
        Event::AssociationLost { id, .. } if !association.is_closed() => heard.push(Heard::Reset(*id)),
        Event::AssociationLost { .. } | Event::Stream(_) | Event::DatagramReceived | _ => {}
    }
}

/// Where it is and where we are, in its own eyes only.
fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 5_000))
}
