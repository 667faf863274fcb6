//! The numbers of a picture that a forwarder gives anew, as VP8 (RFC 7741 §4.2) and VP9 (RFC 9628 §4.2) have them in the
//! first bytes of a payload.

use crate::common::PictureId;

/// Longest start of a payload that is written anew: all up to TL0PICIDX behind a picture id of 15 bits.
pub const MAX_PICTURE_PREFIX_LEN: usize = 5;

/// Picture id and TL0PICIDX of a packet, and where they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureFields {
    /// I.
    pub picture_id: Option<PictureId>,
    /// Number of the base layer picture that this one belongs to.
    pub tl0_pic_idx: Option<u8>,
    /// The packet starts a frame that needs no other.
    pub is_key_frame_start: bool,
    pub(crate) picture_id_at: u8,
    pub(crate) tl0_pic_idx_at: u8,
}

impl PictureFields {
    /// The start of `payload`, which the fields were read from, with other numbers. The picture id keeps its width and loses
    /// the bits above; numbers that are not there stay away.
    ///
    /// To be sent in front of what follows in the payload behind as many bytes.
    #[must_use]
    pub fn rewritten(&self, payload: &[u8], picture_id: u16, tl0_pic_idx: u8) -> PicturePrefix {
        let mut prefix = PicturePrefix { bytes: [0; MAX_PICTURE_PREFIX_LEN], len: self.prefix_len() };
        for (to, from) in prefix.bytes.iter_mut().zip(payload).take(usize::from(prefix.len)) {
            *to = *from;
        }
        self.rewrite(&mut prefix.bytes, picture_id, tl0_pic_idx);
        prefix
    }

    /// Like [`Self::rewritten`], in the payload itself.
    pub fn rewrite(&self, payload: &mut [u8], picture_id: u16, tl0_pic_idx: u8) {
        if let Some(id) = self.picture_id {
            id.write_over(picture_id, payload.get_mut(usize::from(self.picture_id_at)..).unwrap_or_default());
        }
        if self.tl0_pic_idx.is_some()
            && let Some(place) = payload.get_mut(usize::from(self.tl0_pic_idx_at))
        {
            *place = tl0_pic_idx;
        }
    }

    /// Both numbers lie in so many bytes. TL0PICIDX is the later one in both formats.
    fn prefix_len(&self) -> u8 {
        let len = match (self.tl0_pic_idx, self.picture_id) {
            (Some(_), _) => self.tl0_pic_idx_at + 1,
            (None, Some(PictureId::SevenBits(_))) => self.picture_id_at + 1,
            (None, Some(PictureId::FifteenBits(_))) => self.picture_id_at + 2,
            (None, None) => 0,
        };
        len.min(MAX_PICTURE_PREFIX_LEN as u8)
    }
}

/// A rewritten start of a payload, by value: it replaces the one in the shared payload for one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PicturePrefix {
    bytes: [u8; MAX_PICTURE_PREFIX_LEN],
    len: u8,
}

impl PicturePrefix {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}
