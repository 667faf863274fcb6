//! Heads of VP9 frames: references are named frame by frame in flexible mode, by the pattern of the scalability structure in
//! the other one (RFC 9628 §4.2.1).

use codecs::{MAX_VP9_REFERENCES, Vp9Descriptor, Vp9ScalabilityStructure};

use super::numbers::Extender;
use super::{Head, NamedReferences, References, TemporalNumbers};

/// One picture of the pattern.
#[derive(Clone, Copy, Debug)]
struct GroupPicture {
    temporal: u8,
    diffs: [u8; MAX_VP9_REFERENCES],
    count: u8,
}

/// The pattern of a stream, of at most 255 pictures by the width of N_G.
#[derive(Debug)]
struct Group {
    /// Number of the picture that it began with.
    start: u64,
    pictures: Vec<GroupPicture>,
}

/// Reads heads of one stream of VP9.
#[derive(Debug)]
pub(super) struct Vp9Heads {
    picture_ids: Extender,
    group: Option<Group>,
    /// Lines of the highest spatial layer by the newest structure.
    heights: [Option<u16>; 8],
}

impl Vp9Heads {
    pub(super) const fn new() -> Self {
        Self { picture_ids: Extender::new(), group: None, heights: [None; 8] }
    }

    /// None in the middle of a frame.
    pub(super) fn read(&mut self, payload: &[u8]) -> Option<Head> {
        let descriptor = Vp9Descriptor::parse(payload).ok().filter(|descriptor| descriptor.is_frame_start)?;
        let picture_id = descriptor.picture_id.map(|id| self.picture_ids.extend(id.get(), id.width_bits()));
        if let Some(structure) = &descriptor.structure {
            self.on_structure(structure, picture_id);
        }
        let spatial = descriptor.spatial();
        Some(Head {
            starts_picture: descriptor.is_picture_start(),
            is_key: descriptor.is_key_frame_start(),
            height: self.heights.get(usize::from(spatial)).copied().flatten(),
            numbers: TemporalNumbers {
                picture_id,
                tl0_pic_idx: descriptor.tl0_pic_idx,
                temporal: descriptor.layer.map(|layer| layer.temporal),
                is_layer_sync: false,
            },
            references: picture_id.map_or(References::Previous, |id| self.references(&descriptor, id)),
        })
    }

    fn on_structure(&mut self, structure: &Vp9ScalabilityStructure<'_>, picture_id: Option<u64>) {
        for (spatial, height) in (0..).zip(&mut self.heights) {
            *height = structure.resolution(spatial).map(|resolution| resolution.height);
        }
        self.group = picture_id.filter(|_| structure.group_len() > 0).map(|start| Group {
            start,
            pictures: structure
                .group()
                .map(|picture| {
                    let mut entry =
                        GroupPicture { temporal: picture.temporal, diffs: [0; MAX_VP9_REFERENCES], count: 0 };
                    for (place, diff) in entry.diffs.iter_mut().zip(picture.references) {
                        *place = *diff;
                        entry.count += 1;
                    }
                    entry
                })
                .collect(),
        });
    }

    fn references(&self, descriptor: &Vp9Descriptor<'_>, id: u64) -> References {
        let (spatial, temporal) = (descriptor.spatial(), descriptor.layer.map_or(0, |layer| layer.temporal));
        let needs_lower = descriptor.layer.is_some_and(|layer| layer.depends_on_lower_spatial);
        let named = |diffs: &[u8]| {
            let diffs = diffs.iter().map(|diff| u16::from(*diff));
            References::Named(NamedReferences::new(id, spatial, diffs, needs_lower))
        };
        if descriptor.is_flexible {
            return named(descriptor.references.as_slice());
        }
        if !descriptor.is_inter_picture_predicted {
            return named(&[]);
        }
        match self.by_group(id, temporal) {
            Some(picture) => named(picture.diffs.get(..usize::from(picture.count)).unwrap_or_default()),
            // What upper layers need of earlier pictures is not known; the lowest one has to do.
            None if spatial > 0 => named(&[]),
            None => References::Temporal,
        }
    }

    /// The entry of the pattern, unless it contradicts the packet: a pattern that pictures were left out of without new
    /// numbers for the rest would.
    fn by_group(&self, id: u64, temporal: u8) -> Option<GroupPicture> {
        let group = self.group.as_ref()?;
        let since = id.checked_sub(group.start)?;
        let at = usize::try_from(since % group.pictures.len().max(1) as u64).ok()?;
        group.pictures.get(at).copied().filter(|picture| picture.temporal == temporal)
    }
}
