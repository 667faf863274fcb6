//! One source on one shard: who gets it there, as what, and the packets that can be sent to them again.
//!
//! Here: the way from a packet to each of its receivers. Not here: who is subscribed (control's `allocation`), one
//! receiver's numbers (`send`), the seal (`egress`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{ExtSeqNum, RtpTimestamp, SeqNum, Ssrc, prefetch};
use rtp::red::MAX_REDUNDANT_BLOCKS;
use rtp::rtcp::{SenderInfo, write_sdes_cname, write_sender_report};
use streams::RtxCache;

use super::audio::{AudioForm, Part};
use super::dependencies::Dependencies;
use super::egress::{PaddingStream, Pending, Repeat};
use super::layers::Wanted;
use super::link::Link;
use super::message::{NewSource, ShardSet, SourceStreams};
use super::packet::{Descriptor, SharedSlot, StreamRole};
use super::peer::Peer;
use super::receive::KEY_FRAME_INTERVAL;
use super::rewrite::Rewrite;
use super::round::Round;
use super::send::{Decision, Distances, OfSource, Repairs, SendStream};
use super::{Held, Origin};
use crate::export::tap::SourceTaps;
use crate::keys::{KeyMap, PeerKey};
use crate::negotiated::LayerSsrcs;
use crate::ssrc_slots::{SlotMid, SlotNames};

/// Payload of a packet that is worth repeating for a probe: a smaller one has little to add to its header.
const MIN_REPEATED_LEN: u16 = 200;

/// As of a round (`shard`), for the visit of one packet, which takes less time.
const FAR_AHEAD: usize = 5;

/// A source and its receivers.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) new: Arc<NewSource>,
    /// Receivers that have their home here, by their keys.
    subscribers: Vec<Subscriber>,
    /// Other bridges that have their home here.
    links: Vec<Link>,
    /// Of each stream of a video source.
    encodings: Vec<Encoding>,
    /// The shards that want it; known at the owner's home.
    pub(crate) reach: ShardSet,
    /// Who gets copies, outside of the conference; known at the owner's home.
    pub(crate) exports: Option<Box<SourceTaps>>,
    /// The highest number of a source that is put in.
    pub(crate) highest_injected: Option<ExtSeqNum>,
    /// Packets of audio that were sent out of the redundancy of later ones, and that nobody counted yet.
    recovered: u64,
    /// What its sender reported last of each stream, the latest behind.
    reports: Vec<SenderInfo>,
}

#[derive(Debug)]
struct Encoding {
    ssrc: Ssrc,
    cache: RtxCache<SharedSlot>,
    last_key_frame_request: Option<Instant>,
    /// The newest dependency structures, for packets that come late too.
    structures: [Option<Arc<Dependencies>>; 2],
}

#[derive(Debug)]
struct Subscriber {
    peer: PeerKey,
    wanted: Wanted,
    /// Under which SSRCs it gets the source instead of those that signaling told.
    renamed: Option<SlotNames>,
    /// The frame of which it was sent a packet last.
    frame: Option<(Ssrc, RtpTimestamp)>,
    stream: Stream,
}

/// A packet that was sent to a receiver, and is still there.
struct Kept<'a> {
    /// The receiver's number of it, and the way from the source's.
    original: ExtSeqNum,
    sent: Distances,
    packet: &'a SharedSlot,
    age: Duration,
}

/// A subscriber's stream: there from the first packet on, as most sources of a large conference never send one.
#[derive(Debug)]
enum Stream {
    NotBegun,
    /// The receiver has something else under its SSRCs.
    Refused,
    Active(Box<SendStream>),
}

/// Whether a source has to send a key frame before a receiver can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFrame {
    Needed,
    NotNeeded,
}

/// A packet to be sent again.
#[derive(Debug)]
pub(crate) struct Retransmission {
    pub(crate) packet: SharedSlot,
    pub(crate) pending: Pending,
}

impl Source {
    pub(crate) fn new(new: Arc<NewSource>) -> Self {
        let ssrcs = match &new.streams {
            SourceStreams::Audio { .. } => &[],
            SourceStreams::Video { encodings, .. } => encodings.as_slice(),
        };
        let encoding = |ssrcs: &LayerSsrcs| Encoding {
            ssrc: ssrcs.primary,
            cache: RtxCache::default(),
            last_key_frame_request: None,
            structures: [const { None }; 2],
        };
        let encodings = ssrcs.iter().map(encoding).collect();
        Self {
            new,
            subscribers: Vec::new(),
            links: Vec::new(),
            encodings,
            reach: ShardSet::default(),
            exports: None,
            highest_injected: None,
            recovered: 0,
            reports: Vec::new(),
        }
    }

    /// A receiver is to get other layers of the source, or none.
    pub(crate) fn subscribe(&mut self, peer: PeerKey, wanted: Wanted) {
        if let Some(subscriber) = self.subscriber_mut(peer) {
            subscriber.set_wanted(wanted);
        }
    }

    /// Another bridge is to get other encodings of the source, or none.
    pub(crate) fn subscribe_link(&mut self, peer: PeerKey, wanted: Wanted, now: Instant) {
        let known = self.links.iter_mut().find(|link| link.peer == peer);
        match known {
            Some(link) => link.set_wanted(wanted, now),
            None => {
                let mut link = Link::new(peer);
                link.set_wanted(wanted, now);
                self.links.push(link);
            }
        }
    }

    /// A receiver with rewritten SSRCs gets the source under these from now on; under `None` it wants nothing of it. What it
    /// got until now ends.
    pub(crate) fn rename(&mut self, peer: &mut Peer, names: Option<SlotNames>) {
        let Some(subscriber) = self.subscriber_mut(peer.key) else { return };
        if let Stream::Active(stream) = &mut subscriber.stream {
            peer.sent.end(stream);
        }
        *subscriber = Subscriber { wanted: subscriber.wanted, renamed: names, ..Subscriber::new(peer.key) };
    }

    /// The receiver with this key, who may be new and want nothing yet.
    fn subscriber_mut(&mut self, peer: PeerKey) -> Option<&mut Subscriber> {
        let found = self.subscribers.binary_search_by_key(&peer, |subscriber| subscriber.peer);
        let at = found.unwrap_or_else(|at| {
            self.subscribers.insert(at, Subscriber::new(peer));
            at
        });
        self.subscribers.get_mut(at)
    }

    /// A receiver is gone.
    pub(crate) fn remove_subscriber(&mut self, peer: PeerKey) {
        if let Ok(at) = self.subscribers.binary_search_by_key(&peer, |subscriber| subscriber.peer) {
            self.subscribers.remove(at);
        }
        self.links.retain(|link| link.peer != peer);
    }

    /// The source is gone: its receivers note where their streams ended.
    pub(crate) fn end(self, peers: &mut KeyMap<Box<Peer>>) {
        for mut subscriber in self.subscribers {
            if let (Stream::Active(stream), Some(peer)) = (&mut subscriber.stream, peers.get_mut(subscriber.peer)) {
                peer.sent.end(stream);
            }
        }
        for mut link in self.links {
            let Some(peer) = peers.get_mut(link.peer) else { continue };
            link.active().for_each(|stream| peer.sent.end(stream));
        }
    }

    /// Receivers miss what comes now.
    pub(crate) fn pause(&mut self) {
        self.subscribers.iter_mut().for_each(Subscriber::pause);
        self.links.iter_mut().for_each(Link::pause);
    }

    /// Puts a packet that is `held` on the way to everyone here who gets it in this round.
    pub(crate) fn forward(
        &mut self,
        whole: &Descriptor,
        held: u32,
        now: Instant,
        peers: &mut KeyMap<Box<Peer>>,
        round: &mut Round,
    ) -> KeyFrame {
        let Self { new, subscribers, links, encodings, recovered, .. } = self;
        let mut key_frame = KeyFrame::NotNeeded;
        let mut ssrcs = [Ssrc(0); crate::negotiated::MAX_LAYERS];
        for (ssrc, encoding) in ssrcs.iter_mut().zip(&*encodings) {
            *ssrc = encoding.ssrc;
        }
        let of_source = OfSource {
            encodings: ssrcs.get(..encodings.len()).unwrap_or_default(),
            dependencies: whole.dependency().and_then(|fields| structure(encodings, whole.ssrc, fields.structure)),
        };
        // To those who take no redundant audio.
        let primary = if whole.audio == AudioForm::Plain { None } else { whole.part(Part::Primary) };
        // It leaves when this packet is kept, and was not touched for a second.
        if let StreamRole::Video { encoding, .. } = whole.role
            && let Some(oldest) = encodings.get(usize::from(encoding)).and_then(|encoding| encoding.cache.oldest())
        {
            prefetch(&**oldest, 1);
        }
        subscribers.iter().take(FAR_AHEAD).for_each(|near| near.prefetch(peers));
        let mut rest = subscribers.as_mut_slice();
        while let Some((subscriber, later)) = rest.split_first_mut() {
            rest = later;
            if let Some(far) = rest.get(FAR_AHEAD) {
                far.prefetch(peers);
            }
            if subscriber.wanted.is_nothing() {
                continue;
            }
            let Some(peer) = peers.get_mut(subscriber.peer) else { continue };
            if !peer.is_connected() {
                // Numbers stand still while nothing leaves: the receiver could not tell how often they rolled over.
                subscriber.pause();
                continue;
            }
            if peer.is_behind() && !subscriber.finishes_frame(whole) {
                continue;
            }
            let (wanted, key, mid) = (subscriber.wanted, subscriber.peer, subscriber.mid());
            let Some(stream) = subscriber.stream_mut(new, peer) else { continue };
            let (packet, part) = match (whole.audio, &primary) {
                (AudioForm::Plain, _) => (whole, Part::Whole),
                (AudioForm::Opaque | AudioForm::Red(_), _) if peer.red.is_some() => (whole, Part::Whole),
                (AudioForm::Opaque | AudioForm::Red(_), Some(primary)) => (primary, Part::Primary),
                (AudioForm::Opaque | AudioForm::Red(_), None) => continue,
            };
            if part == Part::Primary && !stream.is_next(packet) {
                for before in lost_before(whole, stream, held, now).into_iter().flatten() {
                    *recovered += 1;
                    peer.push(before.under(mid), packet, key, round);
                }
            }
            match stream.handle_packet(packet, of_source, wanted, now) {
                Decision::Drop => {}
                Decision::NeedKeyFrame => key_frame = KeyFrame::Needed,
                Decision::Forward { numbers, rewrite, key_frame: wish } => {
                    if wish == KeyFrame::Needed {
                        key_frame = KeyFrame::Needed;
                    }
                    let ssrc = stream.ssrcs().primary;
                    subscriber.frame = Some((packet.ssrc, packet.timestamp));
                    let pending = Pending::new(held, ssrc, numbers.seq, numbers.timestamp, rewrite).of(part).under(mid);
                    peer.push(pending, packet, key, round);
                }
            }
        }
        if !links.is_empty() {
            for link in links {
                let wish = forward_over(link, whole, primary.as_ref(), of_source, held, now, new, peers, round);
                if wish == KeyFrame::Needed {
                    key_frame = KeyFrame::Needed;
                }
            }
        }
        key_frame
    }

    /// Keeps a packet of video for those who lose it. Answers one that is kept no longer.
    pub(crate) fn keep(
        &mut self,
        encoding: u8,
        seq: ExtSeqNum,
        packet: SharedSlot,
        now: Instant,
    ) -> Option<SharedSlot> {
        if self.subscribers.is_empty() && self.links.is_empty() {
            return Some(packet);
        }
        let cache = &mut self.encodings.get_mut(usize::from(encoding))?.cache;
        cache.insert(seq, packet, now)
    }

    /// A packet brings a structure for the dependency descriptors of its encoding.
    pub(crate) fn take_structure(&mut self, ssrc: Ssrc, structure: &Arc<Dependencies>) {
        if let Some(encoding) = self.encodings.iter_mut().find(|encoding| encoding.ssrc == ssrc) {
            let [newest, before] = &mut encoding.structures;
            if newest.as_ref().is_none_or(|newest| newest.id != structure.id) {
                *before = newest.replace(Arc::clone(structure));
            }
        }
    }

    /// The packet that a receiver asks for again, if it was sent to it, is due and still there.
    pub(crate) fn retransmission(
        &mut self,
        peer: &Peer,
        ssrc: Ssrc,
        lost: SeqNum,
        now: Instant,
    ) -> Option<Retransmission> {
        let Self { encodings, subscribers, links, .. } = self;
        let (stream, mid) = stream_of(subscribers, links, peer.key, Some(ssrc))?;
        let Kept { original, sent, packet, age } = Kept::find(encodings, stream, lost, now)?;
        let descriptor = packet.descriptor()?;
        let rtx = stream.ssrcs().rtx.filter(|_| peer.negotiated.rtx_of(descriptor.payload_type).is_some());
        // Under one number there is one key stream, for one packet (RFC 3711 §9.1): nothing in it may be new.
        let may_be_plain = peer.link.is_some() && peer.negotiated.transport_seq_id().is_none();
        if rtx.is_none() && !may_be_plain || !stream.admit_retransmission(original, age, peer.rtt, now) {
            return None;
        }
        let (ssrc, seq, repeat) = match rtx {
            Some(ssrc) => (ssrc, stream.take_rtx_seq(), Repeat::Rtx(original.wire())),
            None => (stream.ssrcs().primary, original, Repeat::Plain),
        };
        let timestamp = sent.timestamp(descriptor.timestamp);
        let pending = Pending::new(0, ssrc, seq, timestamp, sent.rewrite).repeating(repeat).under(mid);
        Some(Retransmission { packet: packet.clone(), pending })
    }

    /// The packet that was sent to a receiver `back` before the newest, as a retransmission that it did not ask for. `None`
    /// where there is none, it was not sent yet, or it is too small to be of use.
    pub(crate) fn repeat(&mut self, peer: &Peer, back: u64, now: Instant) -> Option<Retransmission> {
        let Self { encodings, subscribers, links, .. } = self;
        let (stream, mid) = stream_of(subscribers, links, peer.key, None)?;
        let ssrc = stream.ssrcs().rtx?;
        let newest = stream.repairs()?.newest;
        let seq = ExtSeqNum(newest.0.checked_sub(back)?).wire();
        let Kept { original, sent, packet, age } = Kept::find(encodings, stream, seq, now)?;
        // Packets of this round are not sealed yet, later ones than the first that waits neither.
        let unsent = peer.bandwidth.as_ref().map_or(Duration::ZERO, |bandwidth| bandwidth.longest_wait(now));
        if age <= unsent {
            return None;
        }
        let descriptor = packet.descriptor().filter(|descriptor| descriptor.payload_len >= MIN_REPEATED_LEN)?;
        if sent.rewrite.is_filler() || peer.negotiated.rtx_of(descriptor.payload_type).is_none() {
            return None;
        }
        let timestamp = sent.timestamp(descriptor.timestamp);
        let repeat = Repeat::Rtx(original.wire());
        let pending =
            Pending::new(0, ssrc, stream.take_rtx_seq(), timestamp, sent.rewrite).repeating(repeat).under(mid);
        Some(Retransmission { packet: packet.clone(), pending })
    }

    /// Whether the receiver gets the source and takes retransmissions of it.
    pub(crate) fn is_repeated(&mut self, peer: &Peer) -> bool {
        let repairs = self.stream_mut(peer.key, None).and_then(SendStream::repairs);
        repairs.is_some_and(|repairs| peer.negotiated.rtx_of(repairs.payload_type).is_some())
    }

    /// The stream of a receiver's retransmissions, and the number of the next one, for a packet of padding.
    pub(crate) fn begin_padding(&mut self, peer: &Peer) -> Option<(PaddingStream, ExtSeqNum)> {
        let (stream, mid) = stream_of(&mut self.subscribers, &mut self.links, peer.key, None)?;
        let Repairs { payload_type, timestamp, .. } = stream.repairs()?;
        let payload_type = peer.negotiated.rtx_of(payload_type)?;
        let ssrc = stream.ssrcs().rtx?;
        Some((PaddingStream { ssrc, payload_type, timestamp, mid }, stream.take_rtx_seq()))
    }

    /// The stream of a receiver; of another bridge the one under this SSRC, or any.
    pub(crate) fn stream_mut(&mut self, peer: PeerKey, ssrc: Option<Ssrc>) -> Option<&mut SendStream> {
        stream_of(&mut self.subscribers, &mut self.links, peer, ssrc).map(|(stream, _)| stream)
    }

    /// Lets go of what was sent to a receiver and is too old to be asked for.
    pub(crate) fn free_expired_to(&mut self, peer: PeerKey, now: Instant) {
        match self.links.iter_mut().find(|link| link.peer == peer) {
            Some(link) => link.active().for_each(|stream| stream.free_expired(now)),
            None => {
                if let Some(stream) = self.stream_mut(peer, None) {
                    stream.free_expired(now);
                }
            }
        }
    }

    /// Whether nobody here has asked for a key frame of this stream just now.
    pub(crate) fn is_key_frame_request_due(&self, ssrc: Ssrc, now: Instant) -> bool {
        self.encodings.iter().find(|encoding| encoding.ssrc == ssrc).is_some_and(|encoding| {
            let last = encoding.last_key_frame_request;
            last.is_none_or(|at| now.saturating_duration_since(at) >= KEY_FRAME_INTERVAL)
        })
    }

    /// Notes that somebody does.
    pub(crate) fn note_key_frame_request(&mut self, ssrc: Ssrc, now: Instant) {
        if let Some(encoding) = self.encodings.iter_mut().find(|encoding| encoding.ssrc == ssrc) {
            encoding.last_key_frame_request = Some(now);
        }
    }

    /// A report of the source goes on to each receiver: the first one at once, as with it sound and pictures come into step,
    /// later ones within a second, with those of other sources.
    pub(crate) fn forward_sender_report(
        &mut self,
        info: &SenderInfo,
        now: Instant,
        peers: &mut KeyMap<Box<Peer>>,
        out: &mut net::SendQueue,
    ) {
        self.reports.retain(|known| known.ssrc != info.ssrc);
        self.reports.push(*info);
        let (source, cname) = (self.new.source, self.new.cname.as_str());
        for subscriber in &mut self.subscribers {
            let Stream::Active(stream) = &mut subscriber.stream else { continue };
            let Some(peer) = peers.get_mut(subscriber.peer).filter(|peer| peer.is_connected()) else { continue };
            if !stream.reports.has_sent() {
                send_report(stream, info, cname, peer, now, out);
            } else if stream.sender_info(info).is_some() {
                peer.add_report(source);
            }
        }
        for link in &mut self.links {
            let Some(peer) = peers.get_mut(link.peer).filter(|peer| peer.is_connected()) else { continue };
            for stream in link.active() {
                send_report(stream, info, cname, peer, now, out);
            }
        }
    }

    /// Appends the last report of the source as `peer` is to be told it, on the clock of the stream that it gets.
    pub(crate) fn write_report(&mut self, peer: PeerKey, now: Instant, out: &mut Vec<u8>) {
        let Self { new, subscribers, links, reports, .. } = self;
        let Some((stream, _)) = stream_of(subscribers, links, peer, None) else { return };
        // Of simulcast, the one of the encoding that it gets.
        let len = out.len();
        for info in reports.iter().rev() {
            write_report(stream, info, new.cname.as_str(), now, out);
            if out.len() > len {
                return;
            }
        }
    }

    /// Packets of audio that receivers without redundancy were sent out of later ones, since the last time.
    pub(crate) const fn take_recovered(&mut self) -> u64 {
        std::mem::replace(&mut self.recovered, 0)
    }

    /// Lets go of packets that are too old to be asked for.
    pub(crate) fn free_expired(&mut self, now: Instant) {
        for encoding in &mut self.encodings {
            while encoding.cache.pop_expired(now).is_some() {}
        }
    }
}

impl Retransmission {
    /// Puts it into the round of its receiver.
    pub(super) fn put(mut self, peer: &mut Peer, held: &mut Vec<Held>, round: &mut Round) {
        let Some(descriptor) = self.packet.descriptor() else { return };
        self.pending.held = held.len() as u32;
        peer.push(self.pending, descriptor, peer.key, round);
        held.push(Held { slot: self.packet, origin: Origin::Elsewhere });
    }
}

impl<'a> Kept<'a> {
    fn find(encodings: &'a [Encoding], stream: &mut SendStream, seq: SeqNum, now: Instant) -> Option<Self> {
        let (original, sent) = stream.find_sent(seq)?;
        let encoding = encodings.iter().find(|encoding| encoding.ssrc == sent.source)?;
        let (packet, age) = encoding.cache.get_with_age(sent.source_seq(original), now)?;
        Some(Self { original, sent, packet, age })
    }
}

/// Appends a report of a source for the receiver of a stream, if that can be told any.
fn write_report(stream: &mut SendStream, info: &SenderInfo, cname: &str, now: Instant, out: &mut Vec<u8>) {
    let Some(info) = stream.sender_info(info) else { return };
    stream.reports.handle_report_sent(info.ntp, now);
    write_sender_report(out, &info, &[]);
    write_sdes_cname(out, info.ssrc, cname);
}

fn send_report(
    stream: &mut SendStream,
    info: &SenderInfo,
    cname: &str,
    peer: &mut Peer,
    now: Instant,
    out: &mut net::SendQueue,
) {
    peer.rtcp.clear();
    write_report(stream, info, cname, now, &mut peer.rtcp);
    if !peer.rtcp.is_empty() {
        peer.send_rtcp(now, out);
    }
}

/// The stream of a receiver and the mid that it knows it by; of another bridge the one under an SSRC, or any.
fn stream_of<'a>(
    subscribers: &'a mut [Subscriber],
    links: &'a mut [Link],
    peer: PeerKey,
    ssrc: Option<Ssrc>,
) -> Option<(&'a mut SendStream, Option<SlotMid>)> {
    let Ok(at) = subscribers.binary_search_by_key(&peer, |subscriber| subscriber.peer) else {
        let link = links.iter_mut().find(|link| link.peer == peer)?;
        return link.stream_mut(ssrc).map(|stream| (stream, None));
    };
    let subscriber = subscribers.get_mut(at)?;
    let mid = subscriber.mid();
    match &mut subscriber.stream {
        Stream::Active(stream) => Some((stream, mid)),
        Stream::NotBegun | Stream::Refused => None,
    }
}

/// Puts a packet on the way to another bridge; those that take no redundant audio get the `primary` block.
#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "what one packet and its shard have, for a step out of line")]
fn forward_over(
    link: &mut Link,
    whole: &Descriptor,
    primary: Option<&Descriptor>,
    source: OfSource<'_>,
    held: u32,
    now: Instant,
    new: &NewSource,
    peers: &mut KeyMap<Box<Peer>>,
    round: &mut Round,
) -> KeyFrame {
    if link.is_idle() {
        return KeyFrame::NotNeeded;
    }
    let Some(peer) = peers.get_mut(link.peer) else { return KeyFrame::NotNeeded };
    if !peer.is_connected() {
        link.pause();
        return KeyFrame::NotNeeded;
    }
    let (packet, part) = match (whole.audio, primary) {
        (AudioForm::Opaque | AudioForm::Red(_), Some(primary)) if peer.red.is_none() => (primary, Part::Primary),
        (AudioForm::Opaque | AudioForm::Red(_), None) if peer.red.is_none() => return KeyFrame::NotNeeded,
        (AudioForm::Plain | AudioForm::Opaque | AudioForm::Red(_), _) => (whole, Part::Whole),
    };
    match link.handle_packet(packet, source.dependencies, new, peer, now) {
        (Decision::Drop, _) => KeyFrame::NotNeeded,
        (Decision::NeedKeyFrame, _) => KeyFrame::Needed,
        (Decision::Forward { numbers, rewrite, key_frame }, ssrc) => {
            let pending = Pending::new(held, ssrc, numbers.seq, numbers.timestamp, rewrite).of(part);
            let pending = pending.in_order_of(new.streams.first_ssrc().unwrap_or(ssrc));
            peer.push(pending, packet, link.peer, round);
            key_frame
        }
    }
}

/// Packets that a receiver without redundancy missed and that one repeats, the oldest first.
#[inline(never)]
fn lost_before(
    packet: &Descriptor,
    stream: &mut SendStream,
    held: u32,
    now: Instant,
) -> [Option<Pending>; MAX_REDUNDANT_BLOCKS] {
    let mut distances: [u8; MAX_REDUNDANT_BLOCKS] = std::array::from_fn(|at| at as u8 + 1);
    distances.reverse();
    distances.map(|distance| {
        let part = Part::Before(distance);
        let numbers = stream.recover(&packet.part(part)?, now)?;
        let ssrc = stream.ssrcs().primary;
        Some(Pending::new(held, ssrc, numbers.seq, numbers.timestamp, Rewrite::default()).of(part))
    })
}

/// The structure `id` of an encoding.
fn structure(encodings: &[Encoding], ssrc: Ssrc, id: u8) -> Option<&Dependencies> {
    let encoding = encodings.iter().find(|encoding| encoding.ssrc == ssrc)?;
    encoding.structures.iter().flatten().find(|structure| structure.id == id).map(|structure| &**structure)
}

impl Subscriber {
    const fn new(peer: PeerKey) -> Self {
        Self { peer, wanted: Wanted::NOTHING, renamed: None, frame: None, stream: Stream::NotBegun }
    }

    fn mid(&self) -> Option<SlotMid> {
        self.renamed?.mid
    }

    /// Brings near what the next packet needs.
    #[inline]
    fn prefetch(&self, peers: &KeyMap<Box<Peer>>) {
        if self.wanted.is_nothing() {
            return;
        }
        if let Stream::Active(stream) = &self.stream {
            stream.prefetch();
        }
        if let Some(peer) = peers.get(self.peer) {
            peer.prefetch();
        }
    }

    fn set_wanted(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        if wanted.is_nothing() {
            self.pause();
        }
        if matches!(self.stream, Stream::Refused) {
            self.stream = Stream::NotBegun;
        }
    }

    /// Whether a receiver that has fallen behind still gets a packet: audio, and what is left of a frame. What is left
    /// out of video is left out by whole frames, up to a key frame once it has caught up.
    fn finishes_frame(&mut self, packet: &Descriptor) -> bool {
        let is_finished = match packet.role {
            StreamRole::Audio { .. } => true,
            StreamRole::Video { .. } => self.frame == Some((packet.ssrc, packet.timestamp)),
        };
        if !is_finished {
            self.pause();
        }
        is_finished
    }

    fn pause(&mut self) {
        self.frame = None;
        if let Stream::Active(stream) = &mut self.stream {
            stream.pause();
        }
    }

    fn stream_mut(&mut self, source: &NewSource, peer: &mut Peer) -> Option<&mut SendStream> {
        if matches!(self.stream, Stream::NotBegun) {
            self.stream = match &source.streams {
                SourceStreams::Audio { ssrc } => {
                    let sent_as = self.renamed.map_or(*ssrc, |names| names.ssrcs.primary);
                    let first = peer.sent.begin(source.source, LayerSsrcs { primary: sent_as, rtx: None });
                    first.map(|first| SendStream::audio(*ssrc, sent_as, first))
                }
                SourceStreams::Video { signaled, .. } => {
                    let sent_as = self.renamed.map_or(*signaled, |names| names.ssrcs);
                    peer.sent.begin(source.source, sent_as).map(|first| SendStream::video(sent_as, first))
                }
            }
            .map_or(Stream::Refused, |stream| Stream::Active(Box::new(stream)));
        }
        match &mut self.stream {
            Stream::Active(stream) => Some(stream),
            Stream::NotBegun | Stream::Refused => None,
        }
    }
}
