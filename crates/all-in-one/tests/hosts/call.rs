//! A conference of participants that send what a microphone does, over real sockets.

use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dtls::DtlsContext;
use ice::DatagramKind;
use model::{ExtSeqNum, Ssrc};
use rtp::RtpParts;
use srtp::{SrtpReceiver, SrtpSender};
use tests::peer::Peer;

use super::client::Client;
use super::host::PATIENCE;

/// More than stay together on one thread.
const PARTICIPANTS: u32 = 4;
/// Sent by each, in runs of one length, which the kernel may cut from one message.
const PACKETS: u64 = 60;
const PACKETS_IN_A_RUN: u64 = 6;
const RUN_EVERY: Duration = Duration::from_millis(20);
/// Opus, as Jitsi offers it.
const PAYLOAD_TYPE: u8 = 111;
const PAYLOAD_BYTES: usize = 80;
/// SSRC of the first participant; the rest follows.
const FIRST_SSRC: u32 = 0x5000_0001;

/// Four join at the server of `at`; every packet of each gets to all others, once.
pub(crate) fn four_hear_each_other(at: IpAddr) {
    let context = Arc::new(DtlsContext::new().unwrap());
    let mut clients: Vec<Client> = (0..PARTICIPANTS).map(|_| Client::join(at)).collect();
    let mut all: Vec<Participant> = (FIRST_SSRC..)
        .zip(&mut clients)
        .map(|(ssrc, client)| {
            let mut participant = Participant::new(at, Ssrc(ssrc), Arc::clone(&context));
            participant.join(client);
            participant
        })
        .collect();

    let give_up_at = Instant::now() + PATIENCE;
    let mut next_run = Instant::now();
    let expected = usize::try_from(u64::from(PARTICIPANTS - 1) * PACKETS).unwrap();
    while !all.iter().all(|participant| participant.heard.len() == expected) {
        let now = Instant::now();
        assert!(now < give_up_at, "{}", all.iter().map(Participant::state).collect::<Vec<_>>().join("; "));
        // Media starts when all are there, so that nobody misses the beginning.
        if now >= next_run && all.iter().all(Participant::is_connected) {
            next_run = now + RUN_EVERY;
            all.iter_mut().for_each(Participant::send_run);
        }
        let received: usize = all.iter_mut().map(|participant| participant.poll(now)).sum();
        if received == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

struct Participant {
    ssrc: Ssrc,
    socket: UdpSocket,
    peer: Peer,
    media: Option<(SrtpSender, SrtpReceiver)>,
    sent: u64,
    /// Whose packets, and their numbers.
    heard: BTreeSet<(Ssrc, u64)>,
}

impl Participant {
    fn new(at: IpAddr, ssrc: Ssrc, context: Arc<DtlsContext>) -> Self {
        let socket = UdpSocket::bind((at, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let peer = Peer::new(socket.local_addr().unwrap(), context, Instant::now()).unwrap();
        Self { ssrc, socket, peer, media: None, sent: 0, heard: BTreeSet::new() }
    }

    fn join(&mut self, client: &mut Client) {
        let offer = client.wait_for_offer();
        let transport = offer.contents.iter().find_map(|content| content.transport.clone()).unwrap();
        let own = self.peer.description();
        client.accept(self.ssrc, &own);
        self.peer.take_description(&transport, Instant::now()).unwrap();
    }

    fn is_connected(&self) -> bool {
        self.media.is_some() && self.peer.is_channel_open()
    }

    fn state(&self) -> String {
        format!("connected: {}, sent: {}, heard: {}", self.is_connected(), self.sent, self.heard.len())
    }

    /// Takes what waits and sends what is due; answers how many datagrams came.
    fn poll(&mut self, now: Instant) -> usize {
        let mut buffer = [0; 2048];
        let mut received = 0;
        while let Ok((len, from)) = self.socket.recv_from(&mut buffer) {
            received += 1;
            let datagram = &mut buffer[..len];
            match DatagramKind::of(datagram) {
                DatagramKind::Stun => self.peer.handle_stun(now, from, datagram),
                DatagramKind::Dtls => self.peer.handle_dtls(now, datagram).unwrap(),
                DatagramKind::Media if rtp::is_rtcp(datagram) => {}
                DatagramKind::Media => self.handle_rtp(datagram),
                DatagramKind::Unknown => panic!("the bridge sent {datagram:?}"),
            }
        }
        if self.peer.deadline <= now {
            self.peer.handle_timeout(now).unwrap();
        }
        for datagram in self.peer.drain(now).unwrap() {
            self.socket.send_to(&datagram.bytes, datagram.to).unwrap();
        }
        if self.media.is_none()
            && let Some(keys) = self.peer.session_keys()
        {
            let keys = keys.unwrap();
            self.media = Some((SrtpSender::new(&keys.outbound).unwrap(), SrtpReceiver::new(&keys.inbound).unwrap()));
        }
        received
    }

    fn handle_rtp(&mut self, datagram: &mut [u8]) {
        let (_, receiver) = self.media.as_mut().unwrap();
        let plain = receiver.unprotect_rtp(datagram).unwrap();
        // The payload says which packet it is, whatever numbers the bridge gives.
        let payload = &datagram[plain.header.header_len()..plain.len];
        assert_eq!(payload.len(), PAYLOAD_BYTES);
        let number = u64::from_be_bytes(*payload.first_chunk().unwrap());
        assert_ne!(plain.header.ssrc, self.ssrc, "its own voice");
        assert!(self.heard.insert((plain.header.ssrc, number)), "{number} came twice");
    }

    fn send_run(&mut self) {
        for _ in 0..PACKETS_IN_A_RUN {
            if self.sent == PACKETS {
                return;
            }
            let (seq, timestamp) = (self.sent as u16, self.sent as u32 * 960);
            let mut header = vec![0x80, PAYLOAD_TYPE];
            header.extend(seq.to_be_bytes());
            header.extend(timestamp.to_be_bytes());
            header.extend(self.ssrc.0.to_be_bytes());
            let mut payload = [0; PAYLOAD_BYTES];
            payload[..8].copy_from_slice(&self.sent.to_be_bytes());
            let parts = RtpParts { header: &header, prefix: &[], payload: &payload };
            let mut sealed = [0; 256];
            let (sender, _) = self.media.as_ref().unwrap();
            let len = sender.protect_rtp(&parts, ExtSeqNum(self.sent), &mut sealed).unwrap();
            self.socket.send_to(&sealed[..len], self.peer.bridge()).unwrap();
            self.sent += 1;
        }
    }
}
