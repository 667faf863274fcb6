//! Our packets against those of another implementation, `rtc-srtp`: the same bytes out, and each reads the other's.

use crate::{MAX_RTCP_OVERHEAD, MAX_RTP_OVERHEAD, MasterKey, ProtectionProfile, SrtpReceiver, SrtpSender};
use model::ExtSeqNum;
use rtc_srtp::context::Context;
use rtc_srtp::crypto::default_provider;
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile as OtherProfile;
use rtp::{RtpHeader, RtpParts};

struct Pair {
    key: MasterKey,
    master: (Vec<u8>, Vec<u8>),
    other_profile: OtherProfile,
}

impl Pair {
    fn all() -> Vec<Self> {
        let profiles = [
            (ProtectionProfile::AeadAes128Gcm, OtherProfile::AeadAes128Gcm),
            (ProtectionProfile::AeadAes256Gcm, OtherProfile::AeadAes256Gcm),
            (ProtectionProfile::Aes128CmHmacSha1_80, OtherProfile::Aes128CmHmacSha1_80),
        ];
        let pair = |(profile, other_profile): (ProtectionProfile, OtherProfile)| {
            let key: Vec<u8> = (0..profile.key_len()).map(|i| (i * 37 + 11) as u8).collect();
            let salt: Vec<u8> = (0..profile.salt_len()).map(|i| (i * 53 + 7) as u8).collect();
            Self { key: MasterKey::new(profile, &key, &salt).unwrap(), master: (key, salt), other_profile }
        };
        profiles.map(pair).into()
    }

    fn other(&self) -> Context {
        let provider = default_provider().unwrap();
        let (key, salt) = &self.master;
        let (rtp, rtcp) = (srtp_replay_protection(128), srtcp_replay_protection(128));
        Context::new(key, salt, self.other_profile, Some(rtp), Some(rtcp), provider.crypto()).unwrap()
    }
}

/// Packets with and without sources, extension and padding, of all lengths.
fn plain(seq: u64) -> Vec<u8> {
    let forms: [(u8, &[u8]); 4] = [
        (0x80, &[]),
        (0x90, &[0xbe, 0xde, 0, 2, 0x10, 0x85, 0x52, 1, 2, 3, 0, 0]),
        (0x82, &[0, 0, 0, 1, 0, 0, 0, 2]),
        (0x91, &[0, 0, 0, 1, 0x10, 0, 0, 1, 1, 2, 3, 4]),
    ];
    let (first, more) = forms[seq as usize % forms.len()];
    let mut packet = vec![first, 0x80 | 100];
    packet.extend((seq as u16).to_be_bytes());
    packet.extend((seq as u32 * 3000).to_be_bytes());
    packet.extend(0xcafe_babe_u32.to_be_bytes());
    packet.extend(more);
    packet.extend((0..seq % 1201).map(|i| (i ^ seq) as u8));
    packet
}

#[test]
fn rtp_is_the_same_bytes_across_the_wrap_and_read_by_each_other() {
    for pair in Pair::all() {
        let sender = SrtpSender::new(&pair.key).unwrap();
        let mut receiver = SrtpReceiver::new(&pair.key).unwrap();
        let (mut other_sender, mut other_receiver) = (pair.other(), pair.other());
        for seq in 65_000..66_500 {
            let plain = plain(seq);
            let (header, payload) = plain.split_at(RtpHeader::parse(&plain).unwrap().header_len());
            let mut ours = vec![0; plain.len() + MAX_RTP_OVERHEAD];
            let parts = RtpParts { header, prefix: &[], payload };
            let len = sender.protect_rtp(&parts, ExtSeqNum(seq), &mut ours).unwrap();
            ours.truncate(len);
            let theirs = other_sender.encrypt_rtp(&plain).unwrap();
            assert_eq!(ours, theirs, "{} {seq}", pair.key.profile());
            assert_eq!(other_receiver.decrypt_rtp(&ours).unwrap(), plain);
            let mut packet = theirs.to_vec();
            let got = receiver.unprotect_rtp(&mut packet).unwrap();
            assert_eq!((got.seq, &packet[..got.len]), (ExtSeqNum(seq), &plain[..]));
        }
    }
}

#[test]
fn rtcp_is_the_same_bytes_and_read_by_each_other() {
    for pair in Pair::all() {
        let mut sender = SrtpSender::new(&pair.key).unwrap();
        let mut receiver = SrtpReceiver::new(&pair.key).unwrap();
        let (mut other_sender, mut other_receiver) = (pair.other(), pair.other());
        let mut ahead = SrtpSender::new(&pair.key).unwrap();
        ahead.protect_rtcp(&[0; 8], &mut [0; 8 + MAX_RTCP_OVERHEAD]).unwrap();
        for count in 0..200_u32 {
            let mut plain = Vec::new();
            rtp::rtcp::write_receiver_report(&mut plain, model::Ssrc(7), &[]);
            for media in 0..count % 20 {
                rtp::rtcp::write_pli(&mut plain, model::Ssrc(7), model::Ssrc(media));
            }
            let mut ours = vec![0; plain.len() + MAX_RTCP_OVERHEAD];
            let len = sender.protect_rtcp(&plain, &mut ours).unwrap();
            assert_eq!(other_receiver.decrypt_rtcp(&ours[..len]).unwrap(), plain, "{}", pair.key.profile());
            let mut theirs = other_sender.encrypt_rtcp(&plain).unwrap().to_vec();
            // They count from 1 and we from 0: the one before theirs was ours.
            let mut same = vec![0; plain.len() + MAX_RTCP_OVERHEAD];
            let len = ahead.protect_rtcp(&plain, &mut same).unwrap();
            assert_eq!(same[..len], theirs, "{}", pair.key.profile());
            let len = receiver.unprotect_rtcp(&mut theirs).unwrap();
            assert_eq!(theirs[..len], plain);
        }
    }
}
