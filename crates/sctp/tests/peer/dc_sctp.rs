//! `dcsctp`, by the authors of the SCTP of Chromium.

use std::time::{Duration, Instant};

use dcsctp::api::{DcSctpSocket, ErrorKind, Message, Options, PpId, SendOptions, SocketEvent, SocketTime, StreamId};

use super::{Delivery, Heard, Peer};

pub(crate) struct DcSctp {
    socket: Box<dyn DcSctpSocket>,
    start: Instant,
}

impl DcSctp {
    pub(crate) fn boxed(now: Instant) -> Box<dyn Peer> {
        Box::new(Self { socket: dcsctp::new_socket("peer", &Options::default()), start: now })
    }
}

impl Peer for DcSctp {
    fn connect(&mut self, now: Instant) {
        self.handle_timeout(now);
        self.socket.connect();
    }

    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        self.handle_timeout(now);
        self.socket.handle_input(datagram);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.socket.advance_time(SocketTime::zero() + now.saturating_duration_since(self.start));
    }

    fn timeout(&self) -> Option<Instant> {
        let due = self.socket.poll_timeout() - SocketTime::zero();
        (due != Duration::MAX).then(|| self.start + due)
    }

    fn drain(&mut self, _now: Instant) -> (Vec<Vec<u8>>, Vec<Heard>) {
        let (mut datagrams, mut heard) = (Vec::new(), Vec::new());
        while let Some(event) = self.socket.poll_event() {
            match event {
                SocketEvent::SendPacket(datagram) => datagrams.push(datagram),
                SocketEvent::OnConnected() => heard.push(Heard::Connected),
                SocketEvent::OnClosed() | SocketEvent::OnAborted(..) => heard.push(Heard::Closed),
                SocketEvent::OnIncomingStreamReset(streams) => {
                    heard.extend(streams.into_iter().map(|stream| Heard::Reset(stream.0)));
                }
                // What the network damaged.
                SocketEvent::OnError(ErrorKind::ParseFailed, _) => {}
                SocketEvent::OnError(kind, text) => panic!("{kind:?}: {text}"),
                SocketEvent::OnConnectionRestarted()
                | SocketEvent::OnBufferedAmountLow(_)
                | SocketEvent::OnTotalBufferedAmountLow()
                | SocketEvent::OnStreamsResetFailed(_)
                | SocketEvent::OnStreamsResetPerformed(_)
                | SocketEvent::OnLifecycleMessageFullySent(_)
                | SocketEvent::OnLifecycleMessageMaybeExpired(_)
                | SocketEvent::OnLifecycleMessageExpired(_)
                | SocketEvent::OnLifecycleMessageDelivered(_)
                | SocketEvent::OnLifecycleEnd(_) => {}
            }
        }
        while let Some(Message { stream_id, ppid, payload, .. }) = self.socket.get_next_message() {
            heard.push(Heard::Message { stream: stream_id.0, ppid: ppid.0, bytes: payload });
        }
        (datagrams, heard)
    }

    fn send(&mut self, now: Instant, stream: u16, ppid: u32, bytes: &[u8], delivery: Delivery) {
        self.handle_timeout(now);
        let options = SendOptions {
            unordered: delivery == Delivery::Unordered,
            max_retransmissions: (delivery == Delivery::Once).then_some(0),
            ..SendOptions::default()
        };
        self.socket.send(Message::new(StreamId(stream), PpId(ppid), bytes.to_vec()), &options).expect("it is taken");
    }

    fn reset(&mut self, now: Instant, stream: u16) {
        self.handle_timeout(now);
        self.socket.reset_streams(&[StreamId(stream)]).expect("we support it");
    }

    fn abort(&mut self) {
        self.socket.close();
    }

    fn shutdown(&mut self) {
        self.socket.shutdown();
    }
}
