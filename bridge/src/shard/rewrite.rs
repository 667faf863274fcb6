//! What changes in a packet for one receiver beside its header: numbers of pictures and frames, the marker, and what its
//! dependency descriptor says of decode targets.
//!
//! Here: the same for all packets under the same distances, so that a repeated one is what it was. Not here: sequence numbers
//! and times (`send`), where the bytes go (`egress`).

use codecs::{ActiveDecodeTargets, DescriptorRewrite, PicturePrefix};
use streams::{DependencyDistances, PictureDistances};

use super::dependencies::{Brings, DependencyFields};
use super::layers::MAX_SPATIAL;
use super::packet::{Descriptor, Mark};
use super::selection::Pass;

/// What is added to the numbers of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NumberDistances {
    #[default]
    None,
    Picture(PictureDistances),
    Dependency(DependencyDistances),
}

/// How packets are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rewrite {
    pub(crate) numbers: NumberDistances,
    /// The spatial layer that ends each picture.
    top_spatial: u8,
    /// The frame of the source from which on the receiver gets `targets` only.
    targets_since: u16,
    targets: u32,
    /// Nothing of the packet goes out but its number.
    is_filler: bool,
}

impl Default for Rewrite {
    /// Packets go out as they came.
    fn default() -> Self {
        Self {
            numbers: NumberDistances::None,
            top_spatial: MAX_SPATIAL,
            targets_since: 0,
            targets: u32::MAX,
            is_filler: false,
        }
    }
}

impl Rewrite {
    pub(crate) const fn new(numbers: NumberDistances, pass: &Pass) -> Self {
        let Pass { top_spatial, targets, targets_since, .. } = *pass;
        Self { numbers, top_spatial, targets_since, targets, is_filler: false }
    }

    /// For a packet that comes so late that its number stayed open, and that the receiver does not get. Without anything under
    /// that number it would ask for it again and again.
    pub(crate) fn filler() -> Self {
        Self { is_filler: true, ..Self::default() }
    }

    pub(crate) const fn is_filler(&self) -> bool {
        self.is_filler
    }

    /// The marker: it ends a picture, of which layers may be left out.
    pub(crate) const fn marker(&self, packet: &Descriptor) -> bool {
        packet.marker
            || packet.frame.is(Mark::FrameEnd)
                && packet.frame.spatial >= self.top_spatial
                && self.top_spatial < MAX_SPATIAL
    }

    /// The start of the payload, where that is not as it came.
    pub(crate) fn prefix(&self, packet: &Descriptor, payload: &[u8]) -> Option<PicturePrefix> {
        match (&self.numbers, packet.picture()) {
            (NumberDistances::Picture(distances), Some(picture)) if !distances.is_zero() => {
                let numbers = distances.apply(picture);
                Some(picture.rewritten(payload, numbers.picture_id, numbers.tl0_pic_idx))
            }
            (NumberDistances::None | NumberDistances::Picture(_) | NumberDistances::Dependency(_), _) => None,
        }
    }

    /// Writes a dependency descriptor anew; answers its length. `None` where it cannot be sent.
    pub(crate) fn write_descriptor(&self, fields: &DependencyFields, bytes: &[u8], dest: &mut [u8]) -> Option<usize> {
        let distances = match self.numbers {
            NumberDistances::Dependency(distances) => distances,
            NumberDistances::None | NumberDistances::Picture(_) => DependencyDistances::default(),
        };
        let mask = fields.active & self.targets;
        let is_told = match fields.brings {
            Brings::Nothing => fields.frame_number == self.targets_since,
            Brings::ActiveTargets => true,
            // All are active unless something else is said.
            Brings::Structure => mask != u32::MAX >> (32 - u32::from(fields.decode_targets.clamp(1, 32))),
        };
        let rewrite = DescriptorRewrite {
            frame_number: distances.frame_number,
            template_id: distances.template_id,
            active: is_told.then_some(ActiveDecodeTargets { mask }),
            decode_targets: fields.decode_targets,
            active_at: fields.active_at,
        };
        rewrite.write_to(bytes, dest)
    }
}
