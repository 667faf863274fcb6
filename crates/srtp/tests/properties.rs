//! Roll-over, replay and reordering at random around 65535→0, with forged packets in between that must change nothing.

use std::collections::HashSet;

use model::ExtSeqNum;
use proptest::collection::vec;
use proptest::prelude::*;
use rtp::RtpParts;
use srtp::{
    DtlsRole, MAX_RTCP_OVERHEAD, MAX_RTP_OVERHEAD, MAX_STREAMS, ProtectionProfile, REPLAY_WINDOW_PACKETS, SessionKeys,
    SrtpError, SrtpReceiver, SrtpSender,
};

const PAYLOAD: [u8; 40] = [0x5a; 40];

fn pair(profile: ProtectionProfile) -> (SrtpSender, SrtpReceiver) {
    let export: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
    let keys = |role| SessionKeys::from_dtls_export(profile, &export, role).expect("the length is the profile's");
    let sender = SrtpSender::new(&keys(DtlsRole::Client).outbound).expect("the key fits");
    (sender, SrtpReceiver::new(&keys(DtlsRole::Server).inbound).expect("the key fits"))
}

fn protect(sender: &SrtpSender, ssrc: u32, seq: u64) -> Vec<u8> {
    let mut header = [0x80, 96, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0];
    header[2..4].copy_from_slice(&(seq as u16).to_be_bytes());
    header[8..].copy_from_slice(&ssrc.to_be_bytes());
    let mut packet = vec![0; header.len() + PAYLOAD.len() + MAX_RTP_OVERHEAD];
    let parts = RtpParts { header: &header, prefix: &[], payload: &PAYLOAD };
    let len = sender.protect_rtp(&parts, ExtSeqNum(seq), &mut packet).expect("there is room");
    packet.truncate(len);
    packet
}

/// What arrives next.
#[derive(Clone, Debug)]
enum Step {
    /// The newest number and this many more.
    Ahead(u64),
    /// This far behind the newest: late, or a replay.
    Behind(u64),
    /// A packet with one bit changed, this far ahead of the newest (modulo the numbers of the wire).
    Forged { ahead: u16, bit: usize },
    /// A packet of a stream that nobody sends.
    ForgedStream(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..4_u64).prop_map(Step::Ahead),
        1 => (1..30_000_u64).prop_map(Step::Ahead),
        4 => (0..40_u64).prop_map(Step::Behind),
        1 => (0..2 * REPLAY_WINDOW_PACKETS).prop_map(Step::Behind),
        3 => (any::<u16>(), any::<usize>()).prop_map(|(ahead, bit)| Step::Forged { ahead, bit }),
        1 => any::<u32>().prop_map(Step::ForgedStream),
    ]
}

fn profile() -> impl Strategy<Value = ProtectionProfile> {
    prop_oneof![
        Just(ProtectionProfile::AeadAes128Gcm),
        Just(ProtectionProfile::AeadAes256Gcm),
        Just(ProtectionProfile::Aes128CmHmacSha1_80),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn each_packet_passes_once_whatever_its_order(
        profile in profile(),
        // A receiver that joins behind the first roll-over could not know it, so streams start before it.
        first in 64_000..65_536_u64,
        steps in vec(step(), 1..400),
    ) {
        let (sender, mut receiver) = pair(profile);
        let mut highest = first;
        let mut taken = HashSet::new();
        prop_assert_eq!(receiver.unprotect_rtp(&mut protect(&sender, 7, first)).map(|got| got.seq.0), Ok(first));
        taken.insert(first);
        for step in steps {
            let seq = match step {
                Step::Ahead(by) => highest + by,
                Step::Behind(by) => highest.saturating_sub(by),
                Step::Forged { ahead, bit } => {
                    let mut packet = protect(&sender, 7, highest + u64::from(ahead));
                    let bits = packet.len() * 8;
                    packet[bit % bits / 8] ^= 1 << (bit % 8);
                    prop_assert!(receiver.unprotect_rtp(&mut packet).is_err());
                    prop_assert_eq!(receiver.known_streams(), 1);
                    continue;
                }
                Step::ForgedStream(ssrc) => {
                    let mut packet = protect(&sender, 7, highest + 1);
                    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
                    prop_assert!(ssrc == 7 || receiver.unprotect_rtp(&mut packet).is_err());
                    prop_assert_eq!(receiver.known_streams(), 1);
                    continue;
                }
            };
            let mut packet = protect(&sender, 7, seq);
            let got = receiver.unprotect_rtp(&mut packet);
            if highest.saturating_sub(seq) >= REPLAY_WINDOW_PACKETS {
                prop_assert_eq!(got, Err(SrtpError::TooOld));
            } else if taken.contains(&seq) {
                prop_assert_eq!(got, Err(SrtpError::Replayed));
            } else {
                let got = got.expect("it is new and within the window");
                prop_assert_eq!(got.seq, ExtSeqNum(seq));
                prop_assert_eq!(&packet[12..got.len], &PAYLOAD[..]);
                taken.insert(seq);
                highest = highest.max(seq);
            }
        }
    }

    #[test]
    fn each_control_packet_passes_once_whatever_its_order(
        profile in profile(),
        order in vec((0..200_usize, prop_oneof![4 => Just(None), 1 => any::<usize>().prop_map(Some)]), 1..400),
    ) {
        const REPORT: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 7];
        let (mut sender, mut receiver) = pair(profile);
        let packets: Vec<Vec<u8>> = (0..200)
            .map(|_| {
                let mut packet = vec![0; REPORT.len() + MAX_RTCP_OVERHEAD];
                let len = sender.protect_rtcp(&REPORT, &mut packet).expect("there is room");
                packet.truncate(len);
                packet
            })
            .collect();
        let mut taken = HashSet::new();
        for (which, forged_bit) in order {
            let mut packet = packets[which].clone();
            if let Some(bit) = forged_bit {
                let bits = packet.len() * 8;
                packet[bit % bits / 8] ^= 1 << (bit % 8);
                prop_assert!(receiver.unprotect_rtcp(&mut packet).is_err());
                prop_assert_eq!(receiver.known_streams(), usize::from(!taken.is_empty()));
                continue;
            }
            let got = receiver.unprotect_rtcp(&mut packet);
            if taken.insert(which) {
                prop_assert_eq!(got, Ok(REPORT.len()));
                prop_assert_eq!(&packet[..REPORT.len()], &REPORT[..]);
            } else {
                prop_assert_eq!(got, Err(SrtpError::Replayed));
            }
        }
    }

    #[test]
    fn state_of_a_peer_is_bounded(ssrcs in vec(any::<u32>(), 1..4 * MAX_STREAMS)) {
        let (sender, mut receiver) = pair(ProtectionProfile::AeadAes128Gcm);
        let mut known = HashSet::new();
        for ssrc in ssrcs {
            let is_repeated = !known.insert(ssrc);
            let got = receiver.unprotect_rtp(&mut protect(&sender, ssrc, 1));
            prop_assert!(got.is_ok() || is_repeated);
            prop_assert!(receiver.known_streams() <= MAX_STREAMS);
        }
        prop_assert_eq!(receiver.known_streams(), known.len().min(MAX_STREAMS));
    }
}
