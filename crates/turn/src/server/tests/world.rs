//! What the tests of the server share: a clock, clients, relays that open or do not.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::FiveTuple;

use crate::channel_data::{self, ChannelNumber};
use crate::stun::{
    AttributeType, Class, IntegrityAlgorithm, IntegrityKey, Message, MessageBuilder, Method, PasswordAlgorithm,
    TransactionId,
};
use crate::{
    BridgeAddress, Input, Metrics, Now, Output, PeerPolicy, RelayError, RelayId, Server, Settings, SharedSecret,
};

pub(super) const SECRET: &str = "north";
pub(super) const REALM: &str = "turn";

pub(super) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The bridge, behind a NAT: clients know the first address.
pub(super) fn bridge() -> BridgeAddress {
    BridgeAddress { advertised: at("203.0.113.7:10000"), local: at("10.0.0.5:10000") }
}

pub(super) fn settings() -> Settings {
    let mut settings = Settings::new(SharedSecret::new(SECRET).unwrap());
    settings.listen = Some(at("10.0.0.5:3478"));
    settings.relay_addresses = vec!["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()];
    settings.peers = PeerPolicy::bridges([bridge(), BridgeAddress::direct(at("[fd00::5]:10000"))])
        .with_own_addresses(["10.0.0.5", "203.0.113.7", "fd00::5"].map(|ip| ip.parse().unwrap()));
    settings
}

pub(super) struct World {
    pub(super) server: Server,
    pub(super) metrics: Metrics,
    pub(super) now: Now,
    /// Ports that other programs have.
    pub(super) foreign_ports: HashSet<u16>,
    /// Relays that are open.
    pub(super) relays: Vec<(RelayId, SocketAddr)>,
    pub(super) to_clients: Vec<(FiveTuple, Vec<u8>)>,
    pub(super) to_peers: Vec<(RelayId, SocketAddr, Vec<u8>)>,
    pub(super) closed_streams: Vec<FiveTuple>,
    transactions: u8,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an instant to count from")]
        let now = Now { instant: Instant::now(), unix_s: 1_790_000_000 };
        let metrics = Metrics::new();
        Self {
            server: Server::new(now, settings, [7; 32], metrics.clone()),
            metrics,
            now,
            foreign_ports: HashSet::new(),
            relays: Vec::new(),
            to_clients: Vec::new(),
            to_peers: Vec::new(),
            closed_streams: Vec::new(),
            transactions: 0,
        }
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        self.server.handle_input(self.now, input);
        loop {
            match self.server.poll_output() {
                Output::ToClient { path, bytes } => self.to_clients.push((path, bytes)),
                Output::ToPeer { relay, destination, bytes } => self.to_peers.push((relay, destination, bytes)),
                Output::OpenRelay { relay, address } => {
                    let is_taken = self.relays.iter().any(|(_, other)| *other == address);
                    let result = if is_taken || self.foreign_ports.contains(&address.port()) {
                        Err(RelayError::PortInUse)
                    } else {
                        self.relays.push((relay, address));
                        Ok(())
                    };
                    self.server.handle_input(self.now, Input::RelayOpened { relay, result });
                }
                Output::CloseRelay { relay } => self.relays.retain(|(other, _)| *other != relay),
                Output::CloseStream { path } => self.closed_streams.push(path),
                Output::Timeout(_) => return,
            }
        }
    }

    /// Lets time pass, with every timer at its instant.
    pub(super) fn wait(&mut self, seconds: u64) {
        let end = self.now.instant + Duration::from_secs(seconds);
        let start = self.now;
        while let Output::Timeout(Some(next)) = self.server.poll_output()
            && next <= end
        {
            self.now.instant = next;
            self.now.unix_s = start.unix_s + (next - start.instant).as_secs();
            self.input(Input::Timeout);
        }
        self.now = Now { instant: end, unix_s: start.unix_s + seconds };
        self.input(Input::Timeout);
    }

    pub(super) fn dropped(&self, reason: &str) -> u64 {
        self.metrics.dropped.with_label_values(&[reason]).get()
    }

    pub(super) fn send(&mut self, client: &Client, bytes: &[u8]) {
        self.input(Input::FromClient { path: client.path, bytes });
    }

    /// Sends a request without credentials, then again with those that the server asks for. Answers the last reply.
    pub(super) fn request(
        &mut self,
        client: &Client,
        method: Method,
        attributes: &[(AttributeType, Vec<u8>)],
    ) -> Reply {
        let nonce = self.nonce(client, method);
        self.signed(client, method, &nonce, attributes)
    }

    pub(super) fn nonce(&mut self, client: &Client, method: Method) -> Vec<u8> {
        let transaction = self.transaction();
        let request = MessageBuilder::new(Class::Request, method, transaction);
        let request = request.attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0]).finish(false);
        self.send(client, &request);
        let challenge = self.reply(client);
        assert_eq!(challenge.code, Some(401));
        challenge.nonce.expect("a nonce")
    }

    pub(super) fn signed(
        &mut self,
        client: &Client,
        method: Method,
        nonce: &[u8],
        attributes: &[(AttributeType, Vec<u8>)],
    ) -> Reply {
        let bytes = self.signed_bytes(client, method, nonce, attributes);
        self.send(client, &bytes);
        self.reply(client)
    }

    pub(super) fn signed_bytes(
        &mut self,
        client: &Client,
        method: Method,
        nonce: &[u8],
        attributes: &[(AttributeType, Vec<u8>)],
    ) -> Vec<u8> {
        let transaction = self.transaction();
        let mut request = MessageBuilder::new(Class::Request, method, transaction);
        for (kind, value) in attributes {
            request = match *kind {
                // The value is a peer's address as text: it has to be hidden with the transaction.
                AttributeType::XOR_PEER_ADDRESS => request.address(*kind, at(std::str::from_utf8(value).unwrap())),
                kind => request.attribute(kind, value),
            };
        }
        let request = request
            .attribute(AttributeType::USERNAME, client.username.as_bytes())
            .attribute(AttributeType::REALM, REALM.as_bytes())
            .attribute(AttributeType::NONCE, nonce);
        request.finish_signed(&client.key(), client.algorithm, true)
    }

    fn transaction(&mut self) -> TransactionId {
        self.transactions = self.transactions.wrapping_add(1);
        TransactionId([self.transactions; 12])
    }

    /// The one message that waits for a client.
    pub(super) fn reply(&mut self, client: &Client) -> Reply {
        assert_eq!(self.to_clients.len(), 1, "one answer");
        let (path, bytes) = self.to_clients.pop().unwrap();
        assert_eq!(path, client.path);
        Reply::parse(&bytes, client)
    }

    pub(super) fn allocate(&mut self, client: &Client) -> Reply {
        self.request(client, Method::Allocate, &[(AttributeType::REQUESTED_TRANSPORT, vec![17, 0, 0, 0])])
    }

    pub(super) fn permit(&mut self, client: &Client, peer: &str) -> Reply {
        self.request(client, Method::CreatePermission, &[(AttributeType::XOR_PEER_ADDRESS, peer.into())])
    }

    pub(super) fn bind(&mut self, client: &Client, channel: u16, peer: &str) -> Reply {
        let number = [&channel.to_be_bytes()[..], &[0, 0]].concat();
        let attributes =
            [(AttributeType::CHANNEL_NUMBER, number), (AttributeType::XOR_PEER_ADDRESS, peer.as_bytes().to_vec())];
        self.request(client, Method::ChannelBind, &attributes)
    }

    pub(super) fn send_indication(&mut self, client: &Client, peer: &str, data: &[u8]) {
        let transaction = self.transaction();
        let indication = MessageBuilder::new(Class::Indication, Method::Send, transaction)
            .address(AttributeType::XOR_PEER_ADDRESS, at(peer))
            .attribute(AttributeType::DATA, data)
            .finish(false);
        self.send(client, &indication);
    }

    pub(super) fn send_channel_data(&mut self, client: &Client, channel: u16, data: &[u8]) {
        let bytes = channel_data::write(ChannelNumber::new(channel).unwrap(), data, false).unwrap();
        self.send(client, &bytes);
    }

    /// A datagram from a peer to a client's relay.
    pub(super) fn peer_sends(&mut self, relayed: SocketAddr, source: &str, bytes: &[u8]) {
        let (relay, _) = *self.relays.iter().find(|(_, address)| *address == relayed).expect("the relay is open");
        self.input(Input::FromPeer { relay, source: at(source), bytes });
    }
}

#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) path: FiveTuple,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) algorithm: IntegrityAlgorithm,
}

impl Client {
    /// A client over UDP whose credentials serve for an hour.
    pub(super) fn udp(port: u16) -> Self {
        Self::named(FiveTuple::udp(at("10.0.0.5:3478"), SocketAddr::from(([198, 51, 100, 7], port))), "alice")
    }

    pub(super) fn tcp(port: u16) -> Self {
        Self::named(FiveTuple::tcp(at("10.0.0.5:8443"), SocketAddr::from(([198, 51, 100, 7], port))), "alice")
    }

    pub(super) fn named(path: FiveTuple, name: &str) -> Self {
        Self { path, algorithm: IntegrityAlgorithm::Sha1, username: String::new(), password: String::new() }
            .with_username(format!("1790003600:{name}"))
    }

    pub(super) fn with_username(self, username: String) -> Self {
        let password = SharedSecret::new(SECRET).unwrap().password_of(&username);
        Self { username, password, ..self }
    }

    fn key(&self) -> IntegrityKey {
        IntegrityKey::long_term(&self.username, REALM, &self.password, PasswordAlgorithm::Md5)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The error code, if it is an error.
    pub(super) code: Option<u16>,
    pub(super) len: usize,
    pub(super) nonce: Option<Vec<u8>>,
    pub(super) relayed: Option<SocketAddr>,
    pub(super) mapped: Option<SocketAddr>,
    pub(super) lifetime: Option<u32>,
    pub(super) unknown: Option<Vec<u8>>,
    pub(super) address_error: Option<Vec<u8>>,
}

impl Reply {
    /// Reads an answer; one to a request with credentials has to be signed likewise.
    fn parse(bytes: &[u8], client: &Client) -> Self {
        let message = Message::parse(bytes).unwrap();
        let code =
            message.attribute(AttributeType::ERROR_CODE).map(|value| u16::from(value[2]) * 100 + u16::from(value[3]));
        assert_eq!(message.class, if code.is_some() { Class::Error } else { Class::Success });
        let is_to_stranger = matches!(code, Some(400 | 401 | 438)) && message.integrity_algorithm().is_none();
        if !is_to_stranger && message.method != Method::Binding {
            assert!(message.is_authentic(&client.key()), "the answer is not signed: {message:?}");
            assert_eq!(message.integrity_algorithm(), Some(client.algorithm));
        }
        let address = |kind| {
            let value = message.attribute(kind)?;
            crate::stun::xor_address::parse(value, message.transaction)
        };
        let owned = |kind| message.attribute(kind).map(<[u8]>::to_vec);
        Self {
            code,
            len: bytes.len(),
            nonce: owned(AttributeType::NONCE),
            relayed: address(AttributeType::XOR_RELAYED_ADDRESS),
            mapped: address(AttributeType::XOR_MAPPED_ADDRESS),
            lifetime: message.number(AttributeType::LIFETIME),
            unknown: owned(AttributeType::UNKNOWN_ATTRIBUTES),
            address_error: owned(AttributeType::ADDRESS_ERROR_CODE),
        }
    }
}

/// Peer and data of a Data indication.
pub(super) fn data_indication(bytes: &[u8]) -> (SocketAddr, Vec<u8>) {
    let message = Message::parse(bytes).unwrap();
    assert_eq!((message.class, message.method), (Class::Indication, Method::Data));
    let peer = message.peers().next().flatten().unwrap();
    (peer, message.attribute(AttributeType::DATA).unwrap().to_vec())
}
