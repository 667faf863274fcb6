//! Frame numbers and template ids of dependency descriptors that we send (AOM "RTP Payload Format For AV1", appendix A),
//! which go on while the source of the stream changes.
//!
//! Frames refer to each other by the distance of their numbers, so that within one source the distance to ours stays as it is,
//! whatever is left out.

use model::Ssrc;

use crate::earlier::Earlier;

/// Frames behind the newest that are still told from those ahead: half of the circle of 16 bits, and half again.
const MAX_SPAN: u16 = 0x3fff;

/// What is added to the numbers of a source for ours, each wrapping at its width. Nothing where they go out as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DependencyDistances {
    /// 16 bits.
    pub frame_number: u16,
    /// 6 bits.
    pub template_id: u8,
}

/// The ids of a structure's templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateIds {
    /// That of the first.
    pub offset: u8,
    /// How many there are, 1..=64.
    pub count: u8,
}

/// Where an outgoing stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DependencyNumbers {
    /// Our number of the newest frame.
    pub frame_number: u16,
    /// The id behind those of the newest structure.
    pub next_template_id: u8,
}

/// The numbers of one outgoing stream.
#[derive(Clone, Debug, Default)]
pub struct DependencyRewriter {
    current: Option<Segment>,
    earlier: Earlier<Segment>,
    /// The id behind those of the newest structure that was sent.
    next_template_id: u8,
    /// The numbers of another stream that this one goes on from.
    goes_on_from: Option<DependencyNumbers>,
}

#[derive(Clone, Debug)]
struct Segment {
    source: Ssrc,
    /// The source's number of the newest frame.
    newest: u16,
    /// Frames from the first to the newest, as far as they can be told.
    span: u16,
    distances: DependencyDistances,
}

impl DependencyRewriter {
    /// Of a stream that goes on under the SSRC of an earlier one, which ended there: to a decoder it is the same.
    #[must_use]
    pub fn continuing(earlier: DependencyNumbers) -> Self {
        Self { next_template_id: earlier.next_template_id, goes_on_from: Some(earlier), ..Self::default() }
    }

    /// Where the stream is.
    #[must_use]
    pub fn newest_sent(&self) -> Option<DependencyNumbers> {
        let newest = self.current.as_ref().map(|current| DependencyNumbers {
            frame_number: current.newest.wrapping_add(current.distances.frame_number),
            next_template_id: self.next_template_id,
        });
        newest.or(self.goes_on_from)
    }

    /// Starts or goes on with the key frame `frame_number`, which brings a structure. The first source keeps its own numbers.
    pub fn switch_to(&mut self, source: Ssrc, frame_number: u16, templates: TemplateIds) -> DependencyDistances {
        let distances = match self.newest_sent() {
            Some(DependencyNumbers { frame_number: newest, next_template_id }) => DependencyDistances {
                frame_number: newest.wrapping_add(1).wrapping_sub(frame_number),
                template_id: next_template_id.wrapping_sub(templates.offset) & 0x3f,
            },
            None => DependencyDistances::default(),
        };
        let segment = Segment { source, newest: frame_number, span: 0, distances };
        if let Some(before) = self.current.replace(segment) {
            self.earlier.push(before);
        }
        self.handle_structure(templates);
        distances
    }

    /// The source that is sent has another structure, which comes with a key frame.
    pub fn handle_structure(&mut self, templates: TemplateIds) {
        let added = self.current.as_ref().map_or(0, |current| current.distances.template_id);
        self.next_template_id = templates.offset.wrapping_add(added).wrapping_add(templates.count) & 0x3f;
    }

    /// What is added for a packet that is sent. None where its frame lies before the switch, or where the source is not the
    /// one that is sent.
    pub fn rewrite(&mut self, source: Ssrc, frame_number: u16) -> Option<DependencyDistances> {
        if let Some(current) = self.current.as_mut().filter(|current| current.source == source) {
            let ahead = frame_number.wrapping_sub(current.newest);
            if ahead < 1 << 15 {
                current.newest = frame_number;
                current.span = current.span.saturating_add(ahead).min(MAX_SPAN);
                return Some(current.distances);
            }
            if current.has(frame_number) {
                return Some(current.distances);
            }
        }
        let before = self.earlier.iter().find(|before| before.source == source && before.has(frame_number))?;
        Some(before.distances)
    }

    /// The source's number of the newest frame that was sent.
    #[must_use]
    pub fn newest(&self) -> Option<u16> {
        self.current.as_ref().map(|current| current.newest)
    }
}

impl Segment {
    fn has(&self, frame_number: u16) -> bool {
        self.newest.wrapping_sub(frame_number) <= self.span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ssrc = Ssrc(0xa);
    const B: Ssrc = Ssrc(0xb);
    const FIVE_FROM_60: TemplateIds = TemplateIds { offset: 60, count: 5 };

    /// Our number and the id of the first template.
    fn sent(distances: DependencyDistances, frame_number: u16, offset: u8) -> (u16, u8) {
        (frame_number.wrapping_add(distances.frame_number), (offset + distances.template_id) & 0x3f)
    }

    #[test]
    fn numbers_and_ids_go_on_across_switches_and_wraps() {
        let mut rewriter = DependencyRewriter::default();
        assert_eq!(rewriter.rewrite(A, 1), None);
        assert_eq!(sent(rewriter.switch_to(A, 0xfffe, FIVE_FROM_60), 0xfffe, 60), (0xfffe, 60));
        assert_eq!(rewriter.rewrite(A, 2), Some(DependencyDistances::default()));
        // The frames between were left out, or are late.
        assert_eq!(rewriter.rewrite(A, 0xffff), Some(DependencyDistances::default()));
        assert_eq!(rewriter.rewrite(A, 0xfffd), None);
        assert_eq!(sent(rewriter.switch_to(B, 900, FIVE_FROM_60), 900, 60), (3, 1));
        assert_eq!(rewriter.rewrite(B, 903).map(|distances| sent(distances, 903, 60)), Some((6, 1)));
        assert_eq!(rewriter.rewrite(A, 1), Some(DependencyDistances::default()));
        assert_eq!((rewriter.rewrite(A, 3), rewriter.rewrite(B, 899)), (None, None));
        assert_eq!(sent(rewriter.switch_to(A, 5, FIVE_FROM_60), 5, 60), (7, 6));
    }

    #[test]
    fn a_stream_that_comes_back_goes_on_behind_its_numbers() {
        let mut rewriter = DependencyRewriter::default();
        assert_eq!(rewriter.newest_sent(), None);
        rewriter.switch_to(A, 0xffff, FIVE_FROM_60);
        let end = rewriter.newest_sent().unwrap();
        let mut again = DependencyRewriter::continuing(end);
        assert_eq!(again.newest_sent(), Some(end));
        assert_eq!(sent(again.switch_to(B, 50, FIVE_FROM_60), 50, 60), (0, 1));
    }

    #[test]
    fn a_structure_of_the_same_source_keeps_its_distance() {
        let mut rewriter = DependencyRewriter::default();
        rewriter.switch_to(A, 10, TemplateIds { offset: 0, count: 5 });
        rewriter.handle_structure(TemplateIds { offset: 5, count: 20 });
        assert_eq!(rewriter.rewrite(A, 11), Some(DependencyDistances::default()));
        assert_eq!(sent(rewriter.switch_to(B, 1, TemplateIds { offset: 0, count: 5 }), 1, 0), (12, 25));
    }

    #[test]
    fn a_long_stream_knows_its_late_frames_on_the_whole_circle() {
        let mut rewriter = DependencyRewriter::default();
        rewriter.switch_to(A, 0, FIVE_FROM_60);
        for frame in 0..200_000_u32 {
            assert!(rewriter.rewrite(A, frame as u16).is_some());
            assert!(rewriter.rewrite(A, (frame as u16).wrapping_sub(frame.min(100) as u16)).is_some());
        }
    }
}
