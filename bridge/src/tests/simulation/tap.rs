//! What the bridge sent to one client, before the network did anything to it.

use std::collections::BTreeMap;
use std::time::Instant;

use rtp::{ExtensionId, RtpView};
use srtp::{MasterKey, SrtpReceiver};

use super::super::camera::{OPUS, VIDEO};
use super::super::client::DEPENDENCY_DESCRIPTOR_ID;
use super::super::judge::Received;

/// A packet as it was sent first.
#[derive(Clone, Debug)]
pub(in crate::tests) struct Tapped {
    pub(in crate::tests) at: Instant,
    pub(in crate::tests) packet: Received,
}

/// A stream under one SSRC.
#[derive(Debug, Default)]
pub(in crate::tests) struct TappedStream {
    pub(in crate::tests) is_video: bool,
    pub(in crate::tests) packets: BTreeMap<u64, Tapped>,
}

/// All streams.
#[derive(Default)]
pub(in crate::tests) struct Tap {
    srtp: Option<SrtpReceiver>,
    /// What came before the client had its keys.
    early: Vec<(Instant, Vec<u8>)>,
    pub(in crate::tests) streams: BTreeMap<u32, TappedStream>,
}

impl Tap {
    /// A datagram that the bridge sends, of media or not. `key` is that of its session, once it is known.
    pub(in crate::tests) fn take(&mut self, datagram: &[u8], key: Option<&MasterKey>, now: Instant) {
        let is_media = datagram.first().is_some_and(|first| (128..192).contains(first)) && !rtp::is_rtcp(datagram);
        if is_media {
            self.early.push((now, datagram.to_vec()));
        }
        let Some(key) = key else { return };
        let mut srtp = self.srtp.take().unwrap_or_else(|| SrtpReceiver::new(key).unwrap());
        for (at, mut datagram) in std::mem::take(&mut self.early) {
            let plain = srtp.unprotect_rtp(&mut datagram).unwrap();
            self.take_plain(plain.seq.0, &datagram[..plain.len], at);
        }
        self.srtp = Some(srtp);
    }

    fn take_plain(&mut self, seq: u64, packet: &[u8], at: Instant) {
        let view = RtpView::parse(packet).unwrap();
        let payload_type = view.payload_type().get();
        // Repairs are checked where they arrive.
        if VIDEO.iter().any(|(_, rtx, _)| *rtx == payload_type) {
            return;
        }
        let descriptor = view.extension(ExtensionId::try_from(DEPENDENCY_DESCRIPTOR_ID).unwrap());
        let packet = Received {
            seq,
            timestamp: view.timestamp().0,
            marker: view.marker(),
            payload: view.payload().to_vec(),
            dependency_descriptor: descriptor.map(|element| element.data.to_vec()),
        };
        let stream = self.streams.entry(view.ssrc().0).or_default();
        stream.is_video |= payload_type != OPUS;
        let before = stream.packets.insert(seq, Tapped { at, packet });
        assert!(before.is_none(), "number {seq} came twice");
    }
}
