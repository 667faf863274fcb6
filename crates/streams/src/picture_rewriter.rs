//! Picture ids and TL0PICIDX of a VP8 or VP9 stream that we send (RFC 7741 §4.2, RFC 9628 §4.2), which go on while its
//! source changes. Receivers of VP8 wait for a picture id that is left out, so that frames that are not sent leave no gap in
//! them; in VP9 pictures refer to each other by the distance of their ids, which stays as it is.

use codecs::PictureFields;
use model::Ssrc;

use crate::earlier::Earlier;
use crate::gapless::GaplessMap;

/// What goes into the descriptor of a packet; see [`PictureFields::rewritten`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureNumbers {
    /// Our picture id, 15 bits.
    pub picture_id: u16,
    /// Our number of the base layer frame.
    pub tl0_pic_idx: u8,
}

/// What is added to the numbers of a source for ours, each wrapping at its width. Nothing where they go out as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureDistances {
    picture_id: u16,
    tl0_pic_idx: u8,
}

impl PictureDistances {
    /// From the numbers in `descriptor` to `ours`.
    #[must_use]
    pub fn between(descriptor: &PictureFields, ours: PictureNumbers) -> Self {
        let picture_id = descriptor.picture_id.map_or(0, |id| {
            let circle = 1_u16 << id.width_bits();
            ours.picture_id.wrapping_sub(id.get()) & (circle - 1)
        });
        let tl0_pic_idx = descriptor.tl0_pic_idx.map_or(0, |tl0| ours.tl0_pic_idx.wrapping_sub(tl0));
        Self { picture_id, tl0_pic_idx }
    }

    /// Whether the descriptor goes out as it came.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.picture_id == 0 && self.tl0_pic_idx == 0
    }

    /// Our numbers for those in `descriptor`.
    #[must_use]
    pub fn apply(self, descriptor: &PictureFields) -> PictureNumbers {
        PictureNumbers {
            picture_id: picture_id(descriptor).wrapping_add(self.picture_id) & 0x7fff,
            tl0_pic_idx: descriptor.tl0_pic_idx.unwrap_or(0).wrapping_add(self.tl0_pic_idx),
        }
    }
}

/// The numbers of one outgoing stream of VP8 or VP9. Used beside [`crate::SequenceRewriter`], with the same switches.
#[derive(Clone, Debug, Default)]
pub struct PictureRewriter {
    current: Option<Segment>,
    earlier: Earlier<Segment>,
    /// The numbers of another stream that this one goes on from.
    goes_on_from: Option<PictureNumbers>,
}

#[derive(Clone, Debug)]
struct Segment {
    source: Ssrc,
    /// Extended picture ids.
    pictures: GaplessMap,
    /// Added to the source's TL0PICIDX, wrapping.
    tl0_offset: u8,
    /// Our TL0PICIDX of the newest frame.
    newest_tl0: u8,
}

/// Where extended picture ids begin, so that a frame from before the first does not fall below zero.
const FIRST_CYCLE: u64 = 1 << 16;

impl PictureRewriter {
    /// Of a stream that goes on under the SSRC of an earlier one, whose newest numbers were `earlier`: to a decoder it is
    /// the same.
    #[must_use]
    pub fn continuing(earlier: PictureNumbers) -> Self {
        Self { goes_on_from: Some(earlier), ..Self::default() }
    }

    /// Our numbers of the newest frame.
    #[must_use]
    pub fn newest(&self) -> Option<PictureNumbers> {
        let newest = self.current.as_ref().map(|current| numbers(current.pictures.highest_ours(), current.newest_tl0));
        newest.or(self.goes_on_from)
    }

    /// Starts or goes on with the key frame that `descriptor` begins. The first source keeps its own numbers.
    pub fn switch_to(&mut self, source: Ssrc, descriptor: &PictureFields) -> PictureNumbers {
        let picture = FIRST_CYCLE + u64::from(picture_id(descriptor));
        let tl0 = descriptor.tl0_pic_idx.unwrap_or(0);
        let (ours, our_tl0) = match self.newest() {
            Some(newest) => (FIRST_CYCLE + u64::from(newest.picture_id) + 1, newest.tl0_pic_idx.wrapping_add(1)),
            None => (picture, tl0),
        };
        let segment = Segment {
            source,
            pictures: GaplessMap::starting_at(picture, ours),
            tl0_offset: our_tl0.wrapping_sub(tl0),
            newest_tl0: our_tl0,
        };
        if let Some(before) = self.current.replace(segment) {
            self.earlier.push(before);
        }
        numbers(ours, our_tl0)
    }

    /// Our numbers for a packet that is sent. None where its frame lies before the switch or is left out, or where the
    /// source is not the one that is sent. A packet that [`crate::SequenceRewriter::rewrite`] drops must not be shown
    /// here: an old key frame would count as a new start.
    pub fn rewrite(&mut self, source: Ssrc, descriptor: &PictureFields) -> Option<PictureNumbers> {
        let tl0 = descriptor.tl0_pic_idx.unwrap_or(0);
        if let Some(current) = self.current.as_mut().filter(|current| current.source == source) {
            let picture = current.extend(descriptor);
            let is_newest = picture >= current.pictures.highest_source();
            if let Some(ours) = current.pictures.map(picture) {
                let tl0 = tl0.wrapping_add(current.tl0_offset);
                if is_newest {
                    current.newest_tl0 = tl0;
                }
                return Some(numbers(ours, tl0));
            }
        }
        let late = self.earlier.iter().filter(|before| before.source == source).find_map(|before| {
            let ours = before.pictures.map_late(before.extend(descriptor))?;
            Some(numbers(ours, tl0.wrapping_add(before.tl0_offset)))
        });
        if late.is_some() {
            return late;
        }
        // An encoder that was made anew may count from anywhere; its key frame is a new start.
        let is_current = self.current.as_ref().is_some_and(|current| current.source == source);
        (is_current && descriptor.is_key_frame_start).then(|| self.switch_to(source, descriptor))
    }

    /// Leaves the frame of a packet out without a gap in the picture ids, as for a temporal layer that the receiver
    /// does not get. False where the gap stays. May be called for each packet of the frame. Not for VP9.
    pub fn skip_frame(&mut self, source: Ssrc, descriptor: &PictureFields) -> bool {
        let Some(current) = self.current.as_mut().filter(|current| current.source == source) else { return false };
        // Without picture ids there is nothing to close.
        descriptor.picture_id.is_some() && current.pictures.skip(current.extend(descriptor))
    }
}

impl Segment {
    /// The extended number nearest to the newest frame, on the circle of the width that the source uses.
    fn extend(&self, descriptor: &PictureFields) -> u64 {
        let newest = self.pictures.highest_source();
        let Some(id) = descriptor.picture_id else { return newest };
        let circle = 1_u64 << id.width_bits();
        let ahead = u64::from(id.get()).wrapping_sub(newest) % circle;
        if ahead < circle / 2 { newest + ahead } else { (newest + ahead).saturating_sub(circle) }
    }
}

fn picture_id(descriptor: &PictureFields) -> u16 {
    descriptor.picture_id.map_or(0, |id| id.get())
}

const fn numbers(picture: u64, tl0_pic_idx: u8) -> PictureNumbers {
    PictureNumbers { picture_id: picture as u16 & 0x7fff, tl0_pic_idx }
}

#[cfg(test)]
mod tests {
    use codecs::Vp8Descriptor;

    use super::*;

    const A: Ssrc = Ssrc(0xa);
    const B: Ssrc = Ssrc(0xb);

    fn parse(payload: &[u8]) -> PictureFields {
        Vp8Descriptor::parse(payload).unwrap().picture()
    }

    fn frame(picture_id: u16, tl0: u8) -> PictureFields {
        let [high, low] = (picture_id | 0x8000).to_be_bytes();
        parse(&[0x90, 0xe0, high, low, tl0, 0x20, 0x50])
    }

    fn delta(picture_id: u16, tl0: u8) -> PictureFields {
        let [high, low] = (picture_id | 0x8000).to_be_bytes();
        parse(&[0x90, 0xe0, high, low, tl0, 0x20, 0x51])
    }

    fn pair(numbers: Option<PictureNumbers>) -> Option<(u16, u8)> {
        numbers.map(|numbers| (numbers.picture_id, numbers.tl0_pic_idx))
    }

    #[test]
    fn numbers_go_on_across_switches_and_both_wraps() {
        let mut rewriter = PictureRewriter::default();
        assert_eq!(pair(rewriter.rewrite(A, &frame(1, 1))), None);
        assert_eq!(pair(Some(rewriter.switch_to(A, &frame(0x7ffe, 254)))), Some((0x7ffe, 254)));
        assert_eq!(pair(rewriter.rewrite(A, &frame(0x7fff, 254))), Some((0x7fff, 254)));
        assert_eq!(pair(rewriter.rewrite(A, &frame(0, 255))), Some((0, 255)));
        assert_eq!(pair(Some(rewriter.switch_to(B, &frame(500, 9)))), Some((1, 0)));
        assert_eq!(pair(rewriter.rewrite(B, &frame(500, 9))), Some((1, 0)));
        assert_eq!(pair(rewriter.rewrite(B, &frame(501, 10))), Some((2, 1)));
        // Overtaken by the switch: one of A's frames that was sent in part; one that was not sent at all.
        assert_eq!(pair(rewriter.rewrite(A, &frame(0x7fff, 254))), Some((0x7fff, 254)));
        assert_eq!(pair(rewriter.rewrite(A, &frame(1, 255))), None);
        assert_eq!(pair(rewriter.rewrite(B, &delta(499, 9))), None);
        assert_eq!(pair(Some(rewriter.switch_to(A, &frame(40, 40)))), Some((3, 2)));
    }

    #[test]
    fn a_frame_finds_its_place_behind_several_switches() {
        let mut rewriter = PictureRewriter::default();
        rewriter.switch_to(A, &frame(10, 1));
        rewriter.rewrite(A, &delta(11, 2));
        rewriter.switch_to(B, &frame(500, 9));
        rewriter.switch_to(A, &frame(30, 7));
        rewriter.switch_to(B, &frame(600, 20));
        assert_eq!(pair(rewriter.rewrite(A, &delta(11, 2))), Some((11, 2)));
        assert_eq!(pair(rewriter.rewrite(B, &frame(500, 9))), Some((12, 3)));
        assert_eq!(pair(rewriter.rewrite(A, &frame(30, 7))), Some((13, 4)));
        assert_eq!(pair(rewriter.rewrite(A, &delta(12, 2))), None);
    }

    #[test]
    fn frames_left_out_leave_no_gap_and_late_ones_find_their_place() {
        let mut rewriter = PictureRewriter::default();
        rewriter.switch_to(A, &frame(10, 0));
        assert!(rewriter.skip_frame(A, &delta(11, 0)));
        assert!(rewriter.skip_frame(A, &delta(11, 0)));
        assert_eq!(pair(rewriter.rewrite(A, &delta(13, 1))), Some((12, 1)));
        assert_eq!(pair(rewriter.rewrite(A, &delta(12, 0))), Some((11, 0)));
        assert_eq!(pair(rewriter.rewrite(A, &delta(11, 0))), None);
        assert!(!rewriter.skip_frame(A, &delta(12, 0)));
        assert!(!rewriter.skip_frame(B, &delta(14, 0)));
    }

    #[test]
    fn an_encoder_that_counts_anew_starts_at_its_key_frame() {
        let mut rewriter = PictureRewriter::default();
        rewriter.switch_to(A, &frame(1000, 50));
        assert_eq!(pair(rewriter.rewrite(A, &delta(3, 0))), None);
        assert_eq!(pair(rewriter.rewrite(A, &frame(2, 0))), Some((1001, 51)));
        assert_eq!(pair(rewriter.rewrite(A, &delta(3, 1))), Some((1002, 52)));
    }

    #[test]
    fn seven_bit_ids_go_round_their_smaller_circle() {
        let seven = |id: u8| parse(&[0x90, 0x80, id, 0x50]);
        let mut rewriter = PictureRewriter::default();
        rewriter.switch_to(A, &seven(126));
        let ids: Vec<_> = [127, 0, 1].map(|id| rewriter.rewrite(A, &seven(id)).unwrap().picture_id & 0x7f).into();
        assert_eq!(ids, [127, 0, 1]);
    }

    #[test]
    fn a_source_without_ids_is_sent_as_it_is() {
        let bare = parse(&[0x10, 0x50]);
        let mut rewriter = PictureRewriter::default();
        rewriter.switch_to(A, &bare);
        assert!(rewriter.rewrite(A, &bare).is_some());
        assert!(!rewriter.skip_frame(A, &bare));
        assert!(rewriter.rewrite(A, &bare).is_some());
    }
}
