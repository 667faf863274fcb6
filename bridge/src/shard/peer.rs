//! One endpoint on its home shard: its keys, what comes in from it, and what it is told about that.
//!
//! Here: state and reports of one endpoint. Not here: packets on their way out (`egress`), streams of sources (`source`),
//! ICE and DTLS (control's `transport`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bwe::ProbeClusterId;
use ice::CheckResponder;
use jitsi_protocol::colibri2::ForceMute;
use model::{Bitrate, FiveTuple, PayloadType, Ssrc, TwccSeq, prefetch};
use net::{Lane, SendQueue};
use rtp::RtpParts;
use rtp::rtcp::{MAX_REPORT_BLOCKS, write_nack, write_pli, write_receiver_report, write_remb};

use super::audio::Audibility;
use super::bandwidth::Bandwidth;
use super::early::EarlyPackets;
use super::egress::{HeaderTemplates, UsualHeaderLen};
use super::message::{LinkTraffic, NewPeer, PeerKind};
use super::receive::ReceiveStreams;
use super::repairs::RepairBudget;
use super::round::Queue;
use super::sent_ssrcs::SentSsrcs;
use super::srtp_session::SrtpSession;
use super::wheel::{Due, TimerWheel};
use crate::audio::Redundancy;
use crate::capture::Tap;
use crate::counters::Counters;
use crate::keys::{PeerKey, SourceId};
use crate::negotiated::Negotiated;

/// Reports of what is received are sent this often (RFC 3550 §6.2 allows less than 5 s for few participants).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How much later they may be, and transport-wide feedback, whose own interval is five times that at least.
const REPORT_SLACK: Duration = Duration::from_millis(100);
const FEEDBACK_SLACK: Duration = Duration::from_millis(10);

/// Bytes that wait for a TCP connection whose peer has fallen behind: a second of a thumbnail, a quarter of one of
/// a large picture. Audio goes on, for which four times as much is left.
const BEHIND_BYTES: usize = 64 << 10;
/// Bytes at which it has caught up.
const CAUGHT_UP_BYTES: usize = 8 << 10;

/// What a link to another bridge is thought to carry. It begins with what a few cameras of many participants take, as lines
/// between hosts mostly do, and is no client's line whose end is nearer.
const LINK: bwe::Settings = bwe::Settings {
    initial: Bitrate::from_kbps(20_000),
    min: Bitrate::from_kbps(100),
    max: Bitrate::from_kbps(10_000_000),
    feedback: bwe::FeedbackKind::TransportWide,
};

/// Packets named in one NACK: at most four bytes each. Another is begun when a compound has this many bytes, so that
/// none exceeds a path's MTU.
const MAX_LOST_PER_NACK: usize = 128;
pub(super) const FULL_COMPOUND_LEN: usize = 600;

/// Everything that forwarding needs of one endpoint. What every packet to it needs stands first and together.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Peer {
    /// What leaves at the end of the round.
    pub(super) queue: Option<Queue>,
    pub(crate) srtp: Option<Box<SrtpSession>>,
    /// What passes is copied.
    pub(crate) tap: Option<Box<Tap>>,
    /// Where the receiver tells what reaches it.
    pub(crate) bandwidth: Option<Box<Bandwidth>>,
    /// Of another bridge.
    pub(crate) link: Option<Box<LinkState>>,
    /// The same for all who negotiated the same, which is near where one's own would not be.
    pub(crate) headers: Arc<HeaderTemplates>,
    path: Option<FiveTuple>,
    /// Limits what it makes the bridge send again.
    pub(crate) repairs: RepairBudget,
    next_transport_seq: u16,
    pub(crate) usual_header_len: UsualHeaderLen,
    /// It is reached over TCP and has fallen behind: no video goes to it until it has caught up.
    is_behind: bool,
    /// Media came in since control was last told.
    pub(crate) is_active: bool,
    /// Under which redundant audio goes to it, if it gets any.
    pub(crate) red: Option<PayloadType>,
    pub(crate) key: PeerKey,
    /// The bridge's SSRC in reports to it.
    pub(crate) feedback_ssrc: Ssrc,
    pub(crate) negotiated: Negotiated,
    pub(crate) receive: ReceiveStreams,
    pub(crate) sent: SentSsrcs,
    pub(crate) force_mute: ForceMute,
    /// Whether what it says is heard, where only the loudest are.
    pub(crate) audibility: Audibility,
    /// The round trip to the client, smoothed.
    pub(crate) rtt: Option<Duration>,
    /// Who answers its checks, while there is nothing to decide about them.
    pub(super) responder: Option<Box<CheckResponder>>,
    /// What it wants to be woken for; a wake-up at another time means nothing.
    pub(crate) timer: Option<Instant>,
    next_report: Instant,
    /// Sources of which it is told a report then.
    pub(super) reports_of: Vec<SourceId>,
    /// Scratch for compounds that are written.
    pub(crate) rtcp: Vec<u8>,
}

/// What only another bridge has.
#[derive(Debug, Default)]
pub(crate) struct LinkState {
    pub(super) early: EarlyPackets,
    /// What passed since control was last told.
    pub(super) traffic: LinkTraffic,
}

impl Peer {
    pub(crate) fn new(new: NewPeer, now: Instant) -> Self {
        Self {
            queue: None,
            srtp: None,
            tap: None,
            next_transport_seq: 1,
            usual_header_len: UsualHeaderLen::default(),
            bandwidth: None,
            is_behind: false,
            is_active: false,
            repairs: RepairBudget::default(),
            path: None,
            red: None,
            headers: Arc::default(),
            key: new.peer,
            feedback_ssrc: new.feedback_ssrc,
            negotiated: Negotiated::default(),
            receive: ReceiveStreams::new(now),
            sent: SentSsrcs::new(new.random),
            link: match new.kind {
                PeerKind::Endpoint => None,
                PeerKind::Relay => Some(Box::default()),
            },
            force_mute: ForceMute::default(),
            audibility: Audibility::default(),
            rtt: None,
            responder: None,
            timer: None,
            next_report: now + REPORT_INTERVAL,
            reports_of: Vec::new(),
            rtcp: Vec::new(),
        }
    }

    pub(crate) fn set_negotiated(
        &mut self,
        negotiated: Negotiated,
        headers: Arc<HeaderTemplates>,
        redundancy: Redundancy,
        now: Instant,
    ) {
        self.headers = headers;
        self.usual_header_len = self.headers.usual_len();
        self.red = negotiated.red.filter(|_| redundancy != Redundancy::Strip);
        let feedback = negotiated.bandwidth_feedback();
        if self.bandwidth.as_ref().map(|bandwidth| bandwidth.kind()) != feedback {
            let settings = if self.link.is_some() { LINK } else { bwe::Settings::default() };
            self.bandwidth = feedback
                .map(|feedback| Box::new(Bandwidth::new(bwe::Settings { feedback, ..settings }, self.path, now)));
        }
        self.receive.set_negotiated(&negotiated, now);
        self.negotiated = negotiated;
    }

    pub(crate) fn set_path(&mut self, path: Option<FiveTuple>, now: Instant) {
        self.path = path;
        if let Some(bandwidth) = &mut self.bandwidth {
            bandwidth.set_path(path, now);
        }
        self.is_behind = false;
    }

    /// Notes the bytes that wait for its TCP connection.
    pub(crate) const fn set_backlog(&mut self, bytes: usize) {
        if bytes > BEHIND_BYTES {
            self.is_behind = true;
        } else if bytes < CAUGHT_UP_BYTES {
            self.is_behind = false;
        }
    }

    /// Whether it does not read as fast as it is sent to.
    pub(crate) const fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Whether media can be sent to it now: not before keys are there, and not while it is silent for so long that it may
    /// not be sent to (RFC 7675).
    pub(crate) const fn is_connected(&self) -> bool {
        self.srtp.is_some() && self.path.is_some()
    }

    /// Brings near what [`push`](Self::push) needs: two cache lines.
    pub(crate) fn prefetch(&self) {
        prefetch(self, std::mem::offset_of!(Self, key));
    }

    /// Brings near what [`flush`](Self::flush) needs, but for what [`prefetch_behind_flush`](Self::prefetch_behind_flush) does.
    pub(crate) fn prefetch_flush(&self) {
        if let Some(srtp) = &self.srtp {
            srtp.prefetch_sender();
        }
        if let Some(bandwidth) = &self.bandwidth {
            bandwidth.prefetch();
        }
    }

    /// Brings near what that leads to, the key and what holds packets back; to be called when
    /// [`prefetch_flush`](Self::prefetch_flush) was a while ago.
    pub(crate) fn prefetch_behind_flush(&self) {
        if let Some(srtp) = &self.srtp {
            srtp.prefetch_key();
        }
        if let Some(bandwidth) = &self.bandwidth {
            bandwidth.prefetch_pacer();
        }
    }

    /// The way to it, if there is one.
    pub(crate) const fn path(&self) -> Option<FiveTuple> {
        self.path
    }

    /// Protects an RTP packet and queues it. Answers whether it left.
    pub(crate) fn send_rtp(
        &self,
        packet: &RtpParts<'_>,
        seq: model::ExtSeqNum,
        now: Instant,
        out: &mut Lane<'_>,
    ) -> bool {
        let Some(srtp) = &self.srtp else { return false };
        let tap = self.tap.as_ref().map(|tap| (tap, *out.path()));
        out.push_with(packet.len() + srtp::MAX_RTP_OVERHEAD, |space| {
            let len = srtp.protect_rtp(packet, seq, space)?;
            if let Some((tap, path)) = tap {
                tap.note_rtp(&path, packet, space.get(..len).unwrap_or_default(), now);
            }
            Some(len)
        })
    }

    /// Protects the compound in the scratch buffer and queues it.
    pub(crate) fn send_rtcp(&mut self, now: Instant, out: &mut SendQueue) {
        let Self { srtp, path, rtcp, tap, .. } = self;
        send_rtcp(srtp, path.as_ref(), rtcp, tap.as_deref(), now, out);
    }

    /// Has it told the report of a source with its own next ones: each source has its own second, and a receiver many sources.
    pub(super) fn add_report(&mut self, of: SourceId) {
        if !self.reports_of.contains(&of) {
            self.reports_of.push(of);
        }
    }

    /// The transport-wide number of a packet that leaves now, `len` bytes of RTP.
    pub(crate) fn take_transport_seq(&mut self, len: u16, probe: Option<ProbeClusterId>, now: Instant) -> TwccSeq {
        if let Some(bandwidth) = &mut self.bandwidth {
            return bandwidth.handle_sent(len, probe, now);
        }
        let seq = TwccSeq(self.next_transport_seq);
        self.next_transport_seq = self.next_transport_seq.wrapping_add(1);
        seq
    }

    /// Notes a round trip that a report block tells (RFC 6298 §2.3).
    pub(crate) fn handle_rtt(&mut self, sample: Duration) {
        self.rtt = Some(self.rtt.map_or(sample, |smoothed| (smoothed * 7 + sample) / 8));
        if let Some(bandwidth) = &mut self.bandwidth {
            bandwidth.handle_rtt(sample);
        }
    }

    /// Asks the endpoint for a key frame of one of its streams, unless one was asked for just now.
    pub(crate) fn request_key_frame(&mut self, ssrc: Ssrc, now: Instant, counters: &Counters, out: &mut SendQueue) {
        if !self.receive.is_key_frame_request_due(ssrc, now) {
            return;
        }
        self.receive.note_key_frame_request(ssrc, now);
        counters.key_frames_requested.add(1);
        self.rtcp.clear();
        write_receiver_report(&mut self.rtcp, self.feedback_ssrc, &[]);
        write_pli(&mut self.rtcp, self.feedback_ssrc, ssrc);
        self.send_rtcp(now, out);
    }

    /// Sends what is due about what came in: reports, requests for missing packets, transport-wide feedback. Answers
    /// whether a report was due, so that old state may be freed too.
    pub(crate) fn send_feedback(&mut self, now: Instant, out: &mut SendQueue) -> ReportDue {
        let is_due = self.next_report <= now;
        if is_due {
            self.next_report = now + REPORT_INTERVAL;
        }
        if !self.is_connected() {
            return if is_due { ReportDue::Yes } else { ReportDue::No };
        }
        let Self { receive, rtcp, rtt, srtp, path, feedback_ssrc, tap, .. } = self;
        let (path, sender_ssrc) = (path.as_ref(), *feedback_ssrc);
        let mut send_rtcp = |compound: &[u8]| send_rtcp(srtp, path, compound, tap.as_deref(), now, out);
        if is_due {
            let mut blocks = Vec::new();
            receive.report_blocks(now, &mut blocks);
            for blocks in blocks.chunks(MAX_REPORT_BLOCKS) {
                rtcp.clear();
                write_receiver_report(rtcp, sender_ssrc, blocks);
                send_rtcp(rtcp);
            }
            if let Some(bitrate) = receive.remb(*rtt) {
                let ssrcs: Vec<_> = receive.ssrcs().collect();
                rtcp.clear();
                write_receiver_report(rtcp, sender_ssrc, &[]);
                write_remb(rtcp, sender_ssrc, bitrate, &ssrcs);
                send_rtcp(rtcp);
            }
        }
        rtcp.clear();
        write_receiver_report(rtcp, sender_ssrc, &[]);
        let empty_report_len = rtcp.len();
        receive.poll_nacks(now, *rtt, |ssrc, lost| {
            for lost in lost.chunks(MAX_LOST_PER_NACK) {
                write_nack(rtcp, sender_ssrc, ssrc, lost.iter().copied());
                if rtcp.len() > FULL_COMPOUND_LEN {
                    send_rtcp(rtcp);
                    rtcp.truncate(empty_report_len);
                }
            }
        });
        if rtcp.len() > empty_report_len {
            send_rtcp(rtcp);
        }
        loop {
            rtcp.clear();
            write_receiver_report(rtcp, sender_ssrc, &[]);
            if !receive.poll_twcc(sender_ssrc, now, rtcp) {
                break;
            }
            send_rtcp(rtcp);
        }
        if is_due { ReportDue::Yes } else { ReportDue::No }
    }

    /// Has it woken when that is due, unless it is woken sooner anyway.
    pub(super) fn wake_within(&mut self, due: Due, timers: &mut TimerWheel<PeerKey>) {
        if self.timer.is_none_or(|timer| due.until < timer) {
            self.timer = Some(timers.set_within(self.key, due));
        }
    }

    /// When [`send_feedback`](Self::send_feedback) has something to do.
    pub(crate) fn next_timeout(&mut self) -> Due {
        let report = Due::within(self.next_report, REPORT_SLACK);
        if !self.is_connected() {
            // What came in is still there to be reported, and nothing can be: that alone is no reason to wake up.
            return report;
        }
        let bandwidth = self.bandwidth.as_mut().and_then(|bandwidth| bandwidth.next_timeout());
        bandwidth.into_iter().chain(self.reception_due()).fold(report, Due::sooner)
    }

    /// What of that a packet that came in may have changed.
    pub(crate) fn reception_due(&self) -> Option<Due> {
        let feedback = self.receive.next_feedback().map(|at| Due::within(at, FEEDBACK_SLACK));
        self.receive.next_nack().map(Due::at).into_iter().chain(feedback).reduce(Due::sooner)
    }
}

/// What every packet needs is prefetched as two lines.
const _: () = assert!(std::mem::offset_of!(Peer, key) <= 128);

/// Whether the time for reports had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportDue {
    Yes,
    No,
}

fn send_rtcp(
    srtp: &mut Option<Box<SrtpSession>>,
    path: Option<&FiveTuple>,
    compound: &[u8],
    tap: Option<&Tap>,
    now: Instant,
    out: &mut SendQueue,
) {
    let (Some(srtp), Some(path)) = (srtp, path) else { return };
    let capacity = compound.len() + srtp::MAX_RTCP_OVERHEAD;
    out.push_with(path, capacity, |space| {
        let len = srtp.protect_rtcp(compound, space)?;
        if let Some(tap) = tap {
            tap.note_rtcp(path, compound, space.get(..len).unwrap_or_default(), now);
        }
        Some(len)
    });
}
