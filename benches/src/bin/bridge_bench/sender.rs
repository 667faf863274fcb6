//! What one participant sends: sealed packets of its microphone and its camera, to one server or the other.

use std::io::IoSlice;
use std::net::{SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::anyhow;
use model::{ExtSeqNum, RtpTimestamp, Ssrc, TwccSeq};
use rand::Rng;
use rand::rngs::SmallRng;
use rtp::{MAX_OUTGOING_HEADER_LEN, RtpParts};
use srtp::SrtpSender;

use crate::packets::{IDEAL_SSRC_BIT, Numbers, Vp8Frame, ssrc_of, write_header, write_time};
use crate::signaling::TransportFeedback;
use crate::traffic::{Kind, Scenario, audio_bytes, cut_frame};
use benches::batch::SendBatch;

/// Which server the traffic goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    Bridge,
    Ideal,
}

/// What generator and receiver of a participant share: counts for sender reports, the clock of its streams, and whether
/// somebody asked for a key frame.
#[derive(Debug)]
pub(crate) struct Outgoing {
    start: Instant,
    clock_offset: u32,
    packets: [AtomicU64; 2],
    octets: [AtomicU64; 2],
    wants_key_frame: AtomicBool,
}

impl Outgoing {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            clock_offset: rand::random(),
            packets: Default::default(),
            octets: Default::default(),
            wants_key_frame: AtomicBool::new(true),
        }
    }

    pub(crate) fn ask_for_key_frame(&self) {
        self.wants_key_frame.store(true, Ordering::Relaxed);
    }

    /// Packets and bytes of payload that went to the bridge.
    pub(crate) fn counts(&self, kind: Kind) -> (u64, u64) {
        let of = |counts: &[AtomicU64; 2]| {
            let [audio, video] = counts;
            if kind == Kind::Audio { audio.load(Ordering::Relaxed) } else { video.load(Ordering::Relaxed) }
        };
        (of(&self.packets), of(&self.octets))
    }

    fn count(&self, kind: Kind, octets: usize) {
        for (counts, more) in [(&self.packets, 1), (&self.octets, octets as u64)] {
            let [audio, video] = counts;
            let count = if kind == Kind::Audio { audio } else { video };
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Media time: that of audio in steps of a packet.
    pub(crate) fn timestamp(&self, kind: Kind, now: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(self.start);
        let ticks = match kind {
            Kind::Audio => elapsed.as_millis() / 20 * 960,
            Kind::Video => elapsed.as_micros() * 9 / 100,
        };
        self.clock_offset.wrapping_add(ticks as u32)
    }
}

/// Numbers of the streams to one server.
#[derive(Clone, Copy, Debug, Default)]
struct Numbering {
    next_audio: u64,
    next_video: u64,
    next_twcc: u16,
    next_picture: u16,
    tl0_pic_idx: u8,
    frames: usize,
}

/// The sending half of a participant.
pub(crate) struct Sender {
    pub(crate) index: usize,
    socket: Arc<UdpSocket>,
    srtp: SrtpSender,
    bridge: SocketAddrV4,
    ideal: Option<SocketAddrV4>,
    feedback: TransportFeedback,
    to_bridge: Numbering,
    to_ideal: Numbering,
    outgoing: Arc<Outgoing>,
    /// Packets since [`Self::take_sent`], audio and video.
    sent: [u64; 2],
}

impl Sender {
    pub(crate) fn new(
        index: usize,
        socket: Arc<UdpSocket>,
        srtp: SrtpSender,
        addresses: (SocketAddrV4, Option<SocketAddrV4>),
        feedback: TransportFeedback,
        outgoing: Arc<Outgoing>,
    ) -> Self {
        // Below half of the numbers, so that receivers count roll-overs from 0 as we do.
        let numbering = Numbering {
            next_audio: u64::from(rand::random::<u16>() & 0x7fff),
            next_video: u64::from(rand::random::<u16>() & 0x7fff),
            ..Numbering::default()
        };
        let (bridge, ideal) = addresses;
        Self {
            index,
            socket,
            srtp,
            bridge,
            ideal,
            feedback,
            to_bridge: numbering,
            to_ideal: numbering,
            outgoing,
            sent: [0; 2],
        }
    }

    /// Packets of audio and video since the last call.
    pub(crate) fn take_sent(&mut self) -> [u64; 2] {
        std::mem::take(&mut self.sent)
    }

    /// Sends the next packet of audio, or the packets of the next frame of video at once.
    pub(crate) fn send(
        &mut self,
        scenario: &Scenario,
        kind: Kind,
        target: Target,
        scratch: &mut Scratch,
        now: Instant,
    ) -> anyhow::Result<()> {
        let mut numbering = match target {
            Target::Bridge => self.to_bridge,
            Target::Ideal => self.to_ideal,
        };
        scratch.datagrams.clear();
        match kind {
            Kind::Audio => {
                let bytes = audio_bytes(&mut scratch.random);
                self.seal(kind, target, &mut numbering, bytes, true, None, scratch, now)?;
            }
            Kind::Video => {
                let is_key = match target {
                    Target::Bridge => self.outgoing.wants_key_frame.swap(false, Ordering::Relaxed),
                    Target::Ideal => numbering.frames == 0,
                };
                // L1T3: 0 2 1 2.
                let temporal_layer =
                    if is_key { 0 } else { [0, 2, 1, 2].get(numbering.frames % 4).copied().unwrap_or(0) };
                numbering.tl0_pic_idx = numbering.tl0_pic_idx.wrapping_add(u8::from(temporal_layer == 0));
                let frame = Vp8Frame {
                    picture_id: numbering.next_picture,
                    tl0_pic_idx: numbering.tl0_pic_idx,
                    temporal_layer,
                    is_key,
                };
                numbering.next_picture = (numbering.next_picture + 1) & 0x7fff;
                numbering.frames += 1;
                let mut sizes = cut_frame(scenario.frame_bytes(is_key, &mut scratch.random)).peekable();
                let mut is_first = true;
                while let Some(bytes) = sizes.next() {
                    let is_last = sizes.peek().is_none();
                    self.seal(kind, target, &mut numbering, bytes, is_last, Some((frame, is_first)), scratch, now)?;
                    is_first = false;
                }
            }
        }
        let to = match target {
            Target::Bridge => {
                self.to_bridge = numbering;
                self.bridge
            }
            Target::Ideal => {
                self.to_ideal = numbering;
                self.ideal.ok_or_else(|| anyhow!("no ideal loop"))?
            }
        };
        let Scratch { slab, datagrams, batch, .. } = scratch;
        let slices: Vec<[IoSlice<'_>; 1]> =
            datagrams.iter().map(|range| [IoSlice::new(slab.get(range.clone()).unwrap_or_default())]).collect();
        let left = batch.send_each(&self.socket, to, &slices)?;
        let [audio, video] = &mut self.sent;
        *(if kind == Kind::Audio { audio } else { video }) += left as u64;
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "everything about a packet")]
    fn seal(
        &self,
        kind: Kind,
        target: Target,
        numbering: &mut Numbering,
        bytes: usize,
        is_last: bool,
        frame: Option<(Vp8Frame, bool)>,
        scratch: &mut Scratch,
        now: Instant,
    ) -> anyhow::Result<()> {
        let next = match kind {
            Kind::Audio => &mut numbering.next_audio,
            Kind::Video => &mut numbering.next_video,
        };
        let seq = ExtSeqNum(*next);
        *next += 1;
        let ssrc = ssrc_of(self.index, kind);
        let numbers = Numbers {
            ssrc: match target {
                Target::Bridge => ssrc,
                Target::Ideal => Ssrc(ssrc.0 | IDEAL_SSRC_BIT),
            },
            seq,
            timestamp: RtpTimestamp(self.outgoing.timestamp(kind, now)),
            marker: kind == Kind::Video && is_last,
            twcc: match (target, self.feedback) {
                (Target::Bridge, TransportFeedback::Off) => None,
                (Target::Bridge, TransportFeedback::On) | (Target::Ideal, _) => Some(TwccSeq(numbering.next_twcc)),
            },
        };
        numbering.next_twcc = numbering.next_twcc.wrapping_add(1);
        let mut header = [0; MAX_OUTGOING_HEADER_LEN];
        let header_len = write_header(kind, &numbers, &mut header)?;
        let Scratch { slab, datagrams, filling, .. } = scratch;
        let payload = filling.get_mut(..bytes).ok_or_else(|| anyhow!("a packet of {bytes} bytes"))?;
        if let Some((frame, is_first)) = frame {
            frame.write_over(payload, is_first);
        }
        let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
        write_time(payload, u64::try_from(wall.as_nanos())?);
        let start = datagrams.last().map_or(0, |range| range.end);
        let parts = RtpParts { header: header.get(..header_len).unwrap_or_default(), prefix: &[], payload };
        let space = slab.get_mut(start..).unwrap_or_default();
        let len = self.srtp.protect_rtp(&parts, seq, space)?;
        datagrams.push(start..start + len);
        if target == Target::Bridge {
            self.outgoing.count(kind, bytes);
        }
        Ok(())
    }
}

/// What all senders of a thread share.
pub(crate) struct Scratch {
    slab: Vec<u8>,
    datagrams: Vec<std::ops::Range<usize>>,
    /// Noise, as codecs make it; descriptor and time are written over it.
    filling: Vec<u8>,
    batch: SendBatch,
    pub(crate) random: SmallRng,
}

impl Scratch {
    pub(crate) fn new(mut random: SmallRng) -> Self {
        let mut filling = vec![0; 2_048];
        random.fill(filling.as_mut_slice());
        Self { slab: vec![0; MAX_BURST_BYTES], datagrams: Vec::new(), filling, batch: SendBatch::new(), random }
    }
}

/// A key frame and its headers.
const MAX_BURST_BYTES: usize = 128 * 1024;
