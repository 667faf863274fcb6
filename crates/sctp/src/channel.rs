//! [`DataChannel`]: the association of one peer and the one channel in it.
//!
//! ```text
//!  server: Waiting ── INIT … COOKIE ECHO ──► Established ── DCEP OPEN ──► channel open
//!  client: Connecting ── COOKIE ACK ───────► Established ── OPEN, ACK ──► channel open
//! ```
//! A channel can close and another one open; an association that is lost stays lost.

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Payload,
    PayloadProtocolIdentifier, ReliabilityType, ServerConfig, StreamEvent, StreamId, TransportConfig,
};

use crate::dcep::{ChannelType, DcepMessage, DcepOpen, parse_dcep};
use crate::error::SctpError;
use crate::packet::{Addressing, ReflectedEnd, abort, addressing, is_init};

/// Who starts the association. A bridge is the server towards clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SctpRole {
    /// Sends INIT.
    Client,
    /// Waits for it.
    Server,
}

/// A turn in the life of the association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The channel can be used: the peer opened it, or it acknowledged ours.
    ChannelOpen {
        /// From the OPEN.
        label: String,
        /// From the OPEN.
        protocol: String,
    },
    /// A text message on the channel.
    Text(String),
    /// The peer closed the channel. It may open another one.
    ChannelClosed,
    /// The association is lost for good: closed, aborted or timed out.
    Closed,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this packet as one record of DTLS application data.
    Transmit(Bytes),
    /// Note this.
    Event(Event),
    /// Nothing more until this instant or the next input.
    Timeout(Instant),
}

/// What was refused or ignored, since the association exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SctpCounters {
    /// Packets that belong to no association.
    pub stray_packets: u64,
    /// OPENs of further channels.
    pub rejected_channels: u64,
    /// DCEP messages that do not parse or make no sense.
    pub malformed_dcep: u64,
    /// Text that is not UTF-8.
    pub malformed_text: u64,
    /// Binary messages and such of unknown kind.
    pub ignored_messages: u64,
}

/// One association with one channel.
///
/// Call [`Self::poll_output`] after every other call that takes `&mut self`, until it answers [`Output::Timeout`].
pub struct DataChannel {
    role: SctpRole,
    endpoint: Endpoint,
    association: Lifecycle,
    channel: Channel,
    /// As the last packet had it that went to the peer.
    to_peer: Option<Addressing>,
    outputs: VecDeque<Output>,
    last_now: Instant,
    counters: SctpCounters,
}

enum Lifecycle {
    Waiting,
    Running { handle: AssociationHandle, association: Box<Association>, is_established: bool },
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Channel {
    None,
    /// A client's OPEN, as soon as the association is there.
    Wanted(DcepOpen),
    /// A client's OPEN that waits for its ACK.
    Opening(StreamId, DcepOpen),
    Open(StreamId),
}

impl DataChannel {
    /// Longest message, both ways: what Jitsi's descriptions say (`max-message-size`).
    pub const MAX_MESSAGE_LEN: usize = 262_144;

    /// A server that waits, or a client whose INIT comes with the first [`Self::poll_output`].
    ///
    /// # Errors
    /// [`SctpError::Protocol`] if the library refuses; with these settings it has no reason to.
    pub fn new(now: Instant, role: SctpRole) -> Result<Self, SctpError> {
        let transport = Arc::new(transport_config());
        let mut endpoint_config = EndpointConfig::new();
        endpoint_config.max_payload_size(MAX_PAYLOAD_LEN);
        let mut server_config = ServerConfig::new();
        server_config.transport = Arc::clone(&transport);
        // A client has a server's configuration too: the library takes it for granted when an INIT comes.
        let mut endpoint = Endpoint::new(Arc::new(endpoint_config), Some(Arc::new(server_config)));
        let association = match role {
            SctpRole::Server => Lifecycle::Waiting,
            SctpRole::Client => {
                let mut config = ClientConfig::new();
                config.transport = transport;
                let (handle, association) =
                    endpoint.connect(config, PEER).map_err(|error| SctpError::Protocol(error.to_string()))?;
                endpoint.reject_new_associations();
                Lifecycle::Running { handle, association: Box::new(association), is_established: false }
            }
        };
        let mut channel = Self {
            role,
            endpoint,
            association,
            channel: Channel::None,
            to_peer: None,
            outputs: VecDeque::new(),
            last_now: now,
            counters: SctpCounters::default(),
        };
        channel.drain();
        Ok(channel)
    }

    /// Takes one packet out of DTLS. Anything that is not for this association is dropped and counted.
    pub fn handle_datagram(&mut self, now: Instant, packet: &[u8]) {
        self.last_now = self.last_now.max(now);
        if is_init(packet) && matches!(self.association, Lifecycle::Running { is_established: true, .. }) {
            // COMPAT: sctp-proto 0.10 closes an established association when the retransmission of an INIT comes late;
            // RFC 9260 §5.2.2 leaves it alone. The peer has its answer by then.
            self.counters.stray_packets += 1;
            return;
        }
        if let Some(end) = self.to_peer.and_then(|to_peer| ReflectedEnd::parse(packet, &to_peer)) {
            self.on_reflected_end(end);
            self.drain();
            return;
        }
        match self.endpoint.handle(self.last_now, PEER, None, None, Bytes::copy_from_slice(packet)) {
            Some((_, DatagramEvent::AssociationEvent(event))) => {
                if let Lifecycle::Running { association, .. } = &mut self.association {
                    association.handle_event(event);
                }
            }
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                self.endpoint.reject_new_associations();
                self.association =
                    Lifecycle::Running { handle, association: Box::new(association), is_established: false };
            }
            None => self.counters.stray_packets += 1,
        }
        self.drain();
    }

    /// Lets time pass: retransmissions and delayed acknowledgements.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.last_now = self.last_now.max(now);
        if let Lifecycle::Running { association, .. } = &mut self.association {
            association.handle_timeout(self.last_now);
        }
        self.drain();
    }

    /// Opens the channel, now or as soon as the association is established: reliable and ordered, as Jitsi's is.
    ///
    /// # Errors
    /// [`SctpError::AlreadyOpen`], or [`SctpError::NotOpen`] when the association is lost.
    pub fn open_channel(&mut self, label: &str, protocol: &str) -> Result<(), SctpError> {
        if self.channel != Channel::None {
            return Err(SctpError::AlreadyOpen);
        }
        if matches!(self.association, Lifecycle::Closed) {
            return Err(SctpError::NotOpen);
        }
        self.channel = Channel::Wanted(DcepOpen {
            channel_type: ChannelType::Reliable,
            reliability: 0,
            priority: 256,
            label: label.to_owned(),
            protocol: protocol.to_owned(),
        });
        self.drain();
        Ok(())
    }

    /// Queues a text message.
    ///
    /// # Errors
    /// [`SctpError::NotOpen`], [`SctpError::MessageTooLong`], [`SctpError::QueueFull`]: the message is not queued.
    pub fn send_text(&mut self, text: &str) -> Result<(), SctpError> {
        let (Channel::Open(id), Lifecycle::Running { association, .. }) = (&self.channel, &mut self.association) else {
            return Err(SctpError::NotOpen);
        };
        if text.len() > Self::MAX_MESSAGE_LEN {
            return Err(SctpError::MessageTooLong { len: text.len(), limit: Self::MAX_MESSAGE_LEN });
        }
        let mut stream = association.stream(*id).map_err(|_| SctpError::NotOpen)?;
        if stream.buffered_amount().unwrap_or_default() + text.len() > MAX_QUEUED_LEN {
            return Err(SctpError::QueueFull);
        }
        // RFC 8831 §6.6: SCTP has no empty messages, so an empty string is one byte with a kind of its own.
        let sent = if text.is_empty() {
            stream.write_with_ppi(&[0], PayloadProtocolIdentifier::StringEmpty)
        } else {
            stream.write_with_ppi(text.as_bytes(), PayloadProtocolIdentifier::String)
        };
        sent.map_err(|error| SctpError::Protocol(error.to_string()))?;
        self.drain();
        Ok(())
    }

    /// Ends the association with an ABORT, as a browser that leaves does; [`Event::Closed`] follows.
    pub fn close(&mut self) {
        match &self.association {
            Lifecycle::Running { .. } => self.abort_association(),
            Lifecycle::Waiting => {
                self.endpoint.reject_new_associations();
                self.on_closed();
            }
            Lifecycle::Closed => {}
        }
        self.drain();
    }

    /// The next thing to do. After [`Output::Timeout`] nothing is left until then or until the next input.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        let due = match &self.association {
            Lifecycle::Running { association, .. } => association.poll_timeout(),
            Lifecycle::Waiting | Lifecycle::Closed => None,
        };
        Output::Timeout(due.unwrap_or(self.last_now + IDLE).max(self.last_now + MIN_TIMER))
    }

    /// Whether [`Self::send_text`] has a channel to send on.
    pub fn is_open(&self) -> bool {
        matches!(self.channel, Channel::Open(_)) && matches!(self.association, Lifecycle::Running { .. })
    }

    /// What was refused so far.
    pub fn counters(&self) -> SctpCounters {
        self.counters
    }

    /// Takes everything that the library has to say and answers it, until it has nothing more.
    fn drain(&mut self) {
        while let Some(event) = self.poll_event() {
            match event {
                sctp_proto::Event::Connected => self.on_established(),
                sctp_proto::Event::Stream(StreamEvent::Opened { .. }) => self.on_stream_opened(),
                sctp_proto::Event::Stream(StreamEvent::Readable { id }) => self.on_readable(id),
                sctp_proto::Event::Stream(StreamEvent::Finished { id } | StreamEvent::Stopped { id, .. }) => {
                    self.on_stream_finished(id);
                }
                sctp_proto::Event::HandshakeFailed { .. } | sctp_proto::Event::AssociationLost { .. } => {
                    self.collect_transmits();
                    self.on_closed();
                }
                sctp_proto::Event::Stream(_)
                | sctp_proto::Event::DataChannelStatsFinal(_)
                | sctp_proto::Event::DatagramReceived
                | _ => {}
            }
        }
        if let Channel::Wanted(open) = &self.channel
            && matches!(self.association, Lifecycle::Running { is_established: true, .. })
        {
            let open = open.clone();
            self.send_open(open);
        }
        self.collect_transmits();
    }

    fn poll_event(&mut self) -> Option<sctp_proto::Event> {
        let Lifecycle::Running { handle, association, .. } = &mut self.association else { return None };
        while let Some(event) = association.poll_endpoint_event() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                association.handle_event(event);
            }
        }
        association.poll()
    }

    fn collect_transmits(&mut self) {
        let transmits = std::iter::from_fn(|| self.endpoint.poll_transmit());
        let now = self.last_now;
        let from_association = match &mut self.association {
            Lifecycle::Running { association, .. } => Some(association),
            Lifecycle::Waiting | Lifecycle::Closed => None,
        };
        let of_association =
            from_association.into_iter().flat_map(|a| std::iter::from_fn(move || a.poll_transmit(now)));
        for transmit in transmits.chain(of_association) {
            if let Payload::RawEncode(packets) = transmit.payload {
                self.to_peer = packets.last().and_then(|packet| addressing(packet)).or(self.to_peer);
                self.outputs.extend(packets.into_iter().map(Output::Transmit));
            }
        }
    }

    fn on_established(&mut self) {
        let Lifecycle::Running { association, is_established, .. } = &mut self.association else { return };
        *is_established = true;
        for id in association.stream_ids() {
            self.on_readable(id);
        }
    }

    /// COMPAT: sctp-proto 0.10 looks for the association of a packet by our tag only. Without this, the end that a peer
    /// tells when it has forgotten the association would never come.
    fn on_reflected_end(&mut self, end: ReflectedEnd) {
        match (end, &mut self.association) {
            (ReflectedEnd::Abort, Lifecycle::Running { association, .. }) => {
                // Closing can only fail if it is closed.
                let _ = association.close();
            }
            (ReflectedEnd::ShutdownComplete, Lifecycle::Running { association, .. }) if association.is_closing() => {
                let _ = association.close();
            }
            (ReflectedEnd::Abort | ReflectedEnd::ShutdownComplete, _) => self.counters.stray_packets += 1,
        }
    }

    /// The first of the client's own stream numbers: even ones are the DTLS client's (RFC 8832 §6), and in a bridge the
    /// association is started by the side that started DTLS.
    fn send_open(&mut self, open: DcepOpen) {
        let Lifecycle::Running { association, .. } = &mut self.association else { return };
        let id = match self.role {
            SctpRole::Client => 0,
            SctpRole::Server => 1,
        };
        let message = DcepMessage::Open(open.clone()).to_bytes();
        let written = association.open_stream(id, PayloadProtocolIdentifier::String).and_then(|mut stream| {
            stream.set_reliability_params(false, ReliabilityType::Reliable, 0)?;
            stream.write_with_ppi(&message, PayloadProtocolIdentifier::Dcep)
        });
        match written {
            Ok(_) => self.channel = Channel::Opening(id, open),
            Err(error) => {
                tracing::debug!(%error, "cannot open the data channel");
                self.channel = Channel::None;
                self.outputs.push_back(Output::Event(Event::ChannelClosed));
            }
        }
    }

    fn on_stream_opened(&mut self) {
        let Lifecycle::Running { association, .. } = &mut self.association else { return };
        while association.accept_stream().is_some() {}
        if association.stream_ids().len() > MAX_STREAMS {
            tracing::debug!(limit = MAX_STREAMS, "peer opened too many SCTP streams");
            self.abort_association();
        }
    }

    fn on_readable(&mut self, id: StreamId) {
        loop {
            // Data may overtake a lost COOKIE ACK. Nothing can be answered before it came, so such messages are read then.
            let Lifecycle::Running { association, is_established: true, .. } = &mut self.association else { return };
            let Ok(Some(chunks)) = association.stream(id).and_then(|mut stream| stream.read_sctp()) else { return };
            let mut message = vec![0; chunks.len()];
            if chunks.read(&mut message).is_err() {
                continue;
            }
            match chunks.ppi {
                PayloadProtocolIdentifier::Dcep => self.on_dcep(id, &message),
                PayloadProtocolIdentifier::String => self.on_text(id, message),
                PayloadProtocolIdentifier::StringEmpty => self.on_text(id, Vec::new()),
                PayloadProtocolIdentifier::Binary
                | PayloadProtocolIdentifier::BinaryEmpty
                | PayloadProtocolIdentifier::Unknown => self.counters.ignored_messages += 1,
            }
        }
    }

    fn on_dcep(&mut self, id: StreamId, message: &[u8]) {
        match (parse_dcep(message), &self.channel) {
            (Ok(DcepMessage::Open(open)), Channel::None) => self.on_open(id, open),
            // Sent twice, by a peer that does not trust SCTP: the channel is as it was.
            (Ok(DcepMessage::Open(_)), Channel::Open(known)) if *known == id => self.counters.malformed_dcep += 1,
            (Ok(DcepMessage::Open(_)), Channel::Wanted(_) | Channel::Opening(..) | Channel::Open(_)) => {
                self.counters.rejected_channels += 1;
                self.reset_stream(id);
            }
            (Ok(DcepMessage::Ack), Channel::Opening(known, _)) if *known == id => self.on_acknowledged(),
            (Ok(DcepMessage::Ack), Channel::None | Channel::Wanted(_) | Channel::Opening(..) | Channel::Open(_)) => {
                self.counters.malformed_dcep += 1
            }
            (Err(error), _) => {
                tracing::debug!(%error, "DCEP message dropped");
                self.counters.malformed_dcep += 1;
                let is_ours =
                    matches!(&self.channel, Channel::Open(known) | Channel::Opening(known, _) if *known == id);
                if !is_ours {
                    self.reset_stream(id);
                }
            }
        }
    }

    fn on_open(&mut self, id: StreamId, open: DcepOpen) {
        let Lifecycle::Running { association, .. } = &mut self.association else { return };
        let ack = DcepMessage::Ack.to_bytes();
        let written = association.stream(id).and_then(|mut stream| {
            // RFC 8832 §6: the answering side sends with the order and reliability of the OPEN. All messages of a
            // bridge are sent in order and repeated until they arrive, which such a peer takes as well.
            stream.set_reliability_params(false, ReliabilityType::Reliable, 0)?;
            stream.write_with_ppi(&ack, PayloadProtocolIdentifier::Dcep)
        });
        if let Err(error) = written {
            tracing::debug!(%error, "cannot acknowledge the data channel");
            return;
        }
        self.channel = Channel::Open(id);
        let DcepOpen { label, protocol, .. } = open;
        self.outputs.push_back(Output::Event(Event::ChannelOpen { label, protocol }));
    }

    fn on_acknowledged(&mut self) {
        if let Channel::Opening(id, DcepOpen { label, protocol, .. }) =
            std::mem::replace(&mut self.channel, Channel::None)
        {
            self.channel = Channel::Open(id);
            self.outputs.push_back(Output::Event(Event::ChannelOpen { label, protocol }));
        }
    }

    fn on_text(&mut self, id: StreamId, message: Vec<u8>) {
        match &self.channel {
            // RFC 8832 §6: data may overtake the ACK, and means the same.
            Channel::Opening(known, _) if *known == id => self.on_acknowledged(),
            Channel::Open(known) if *known == id => {}
            Channel::None | Channel::Wanted(_) | Channel::Opening(..) | Channel::Open(_) => {
                self.counters.ignored_messages += 1;
                return;
            }
        }
        match String::from_utf8(message) {
            Ok(text) => self.outputs.push_back(Output::Event(Event::Text(text))),
            Err(_) => self.counters.malformed_text += 1,
        }
    }

    fn on_stream_finished(&mut self, id: StreamId) {
        if matches!(&self.channel, Channel::Open(known) | Channel::Opening(known, _) if *known == id) {
            self.channel = Channel::None;
            self.outputs.push_back(Output::Event(Event::ChannelClosed));
        }
        self.reset_stream(id);
    }

    /// RFC 8831 §6.7: closing a channel resets both directions of its stream.
    fn reset_stream(&mut self, id: StreamId) {
        if let Lifecycle::Running { association, .. } = &mut self.association
            && let Ok(mut stream) = association.stream(id)
        {
            // It fails when the association ends, and everything with it.
            let _ = stream.close();
        }
    }

    /// COMPAT: sctp-proto 0.10 closes without a word to the peer (RFC 9260 §9.1), so the ABORT is ours.
    fn abort_association(&mut self) {
        let Lifecycle::Running { association, .. } = &mut self.association else { return };
        if !association.is_closed() {
            self.outputs.extend(self.to_peer.map(|to_peer| Output::Transmit(abort(&to_peer))));
        }
        // Closing can only fail if it is closed.
        let _ = association.close();
    }

    fn on_closed(&mut self) {
        if !matches!(self.association, Lifecycle::Closed) {
            self.association = Lifecycle::Closed;
            self.channel = Channel::None;
            self.outputs.push_back(Output::Event(Event::Closed));
        }
    }
}

impl fmt::Debug for DataChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataChannel").field("role", &self.role).field("channel", &self.channel).finish_non_exhaustive()
    }
}

fn transport_config() -> TransportConfig {
    TransportConfig::default()
        .with_max_receive_buffer_size(RECEIVE_BUFFER_LEN)
        .with_max_receive_message_size(DataChannel::MAX_MESSAGE_LEN as u32)
        .with_max_send_message_size(DataChannel::MAX_MESSAGE_LEN as u32)
        .with_max_num_inbound_streams(STREAMS)
        .with_max_num_outbound_streams(STREAMS)
        .with_rto_initial_ms(RTO_INITIAL_MS)
        .with_rto_min_ms(RTO_MIN_MS)
        .with_rto_max_ms(RTO_MAX_MS)
        .with_max_init_retransmits(None)
        .with_max_data_retransmits(None)
}

/// DTLS has one peer, so its address is a constant.
const PEER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 5_000));

/// One packet has to fit into a DTLS record of 1 200 bytes: 1.2 adds 37, and both SCTP headers together have 28. The
/// library leaves padding out of its count, a few bytes a chunk.
const MAX_PAYLOAD_LEN: u32 = 1_100;

/// One message of the largest size and the start of another: memory that a peer can hold.
const RECEIVE_BUFFER_LEN: u32 = 2 * DataChannel::MAX_MESSAGE_LEN as u32;

/// Bytes that wait for a slow peer; the messages of a large conference joining at once need a tenth.
const MAX_QUEUED_LEN: usize = 1 << 20;

/// What Jitsi's descriptions say (`sctpmap@streams`).
const STREAMS: u16 = 1_024;

/// Streams that exist at once. One is used; rejected ones go away within a round trip.
const MAX_STREAMS: usize = 32;

/// libwebrtc's values; RFC 9260 §16 proposes 1 s each, made for paths without a jitter bound.
const RTO_INITIAL_MS: u64 = 500;
const RTO_MIN_MS: u64 = 400;

/// The videobridge's value.
const RTO_MAX_MS: u64 = 3_000;

/// No timer of SCTP is that short; a late one of the library does not make its caller spin.
const MIN_TIMER: Duration = Duration::from_millis(5);

/// When nothing is due.
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
