//! Dependency descriptors of one stream (AOM "RTP Payload Format For AV1", appendix A), as far as it takes to choose what goes
//! to whom.
//!
//! Here: descriptors read once for all receivers, and what a structure says of its decode targets. Not here: bits
//! (`codecs`), which target a receiver gets (`selection`).

use std::sync::Arc;

use codecs::{
    DecodeTargetIndication, DependencyDescriptor, FrameDependencyStructure, MAX_DECODE_TARGETS, MAX_FRAME_DIFFS,
};
use streams::TemplateIds;

use super::layers::MAX_SPATIAL;

/// Chains that are looked at. A stream has one for each spatial layer; a target of any other chain begins at a key frame
/// only.
const MAX_CHAINS: usize = 8;
/// A distance that is too long to be told: the frame counts as one that the receiver does not have.
const FAR: u8 = u8::MAX;

/// What the dependency descriptor of one packet says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DependencyFields {
    /// Decode targets that have the frame, the lowest bit for target 0. None where the structure is not known.
    pub(crate) present: u32,
    /// Those that a receiver may move up to here, if it has what the frame refers to.
    pub(crate) switching: u32,
    /// Those that are being sent.
    pub(crate) active: u32,
    pub(crate) frame_number: u16,
    /// Where the extension lies in the slot.
    pub(crate) extension_start: u16,
    /// Bit at which it has its active decode targets, or would.
    pub(crate) active_at: u16,
    pub(crate) extension_len: u8,
    /// Which of the stream's structures it refers to; 0 where that is not known.
    pub(crate) structure: u8,
    pub(crate) decode_targets: u8,
    pub(crate) brings: Brings,
    chain_diffs: [u8; MAX_CHAINS],
    references: [u8; MAX_FRAME_DIFFS],
}

/// What a descriptor brings beside its frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Brings {
    #[default]
    Nothing,
    ActiveTargets,
    Structure,
}

impl DependencyFields {
    /// How many frames back those lie that the frame refers to.
    pub(crate) fn references(&self) -> impl Iterator<Item = u16> {
        self.references.into_iter().take_while(|diff| *diff > 0).map(distance)
    }

    /// How many frames back the last frame of a chain lies, 0 if it begins here; `None` where that is not told.
    pub(crate) fn chain_diff(&self, chain: u8) -> Option<u16> {
        self.chain_diffs.get(usize::from(chain)).copied().map(distance)
    }
}

const fn distance(diff: u8) -> u16 {
    if diff == FAR { u16::MAX } else { diff as u16 }
}

/// What a structure says of its decode targets.
#[derive(Debug)]
pub(crate) struct Dependencies {
    /// Which of the stream's structures this is, never 0.
    pub(crate) id: u8,
    pub(crate) templates: TemplateIds,
    targets: [DecodeTarget; MAX_DECODE_TARGETS],
    count: u8,
}

/// One decode target.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DecodeTarget {
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    /// The chain that must be whole for it.
    pub(crate) chain: Option<u8>,
    /// Targets all frames of which are its frames too, itself among them.
    pub(crate) within: u32,
}

impl Dependencies {
    fn new(id: u8, structure: &FrameDependencyStructure) -> Self {
        let mut targets = [DecodeTarget::default(); MAX_DECODE_TARGETS];
        for (at, target) in (0..structure.decode_targets()).zip(&mut targets) {
            let layer = structure.decode_target_layer(at);
            let is_part = |indication| indication != Some(DecodeTargetIndication::NotPresent);
            let others = structure.templates().iter().filter(|template| !is_part(template.indications.get(at)));
            let beyond = others.fold(0, |beyond, template| beyond | template.indications.present());
            *target = DecodeTarget {
                spatial: layer.map_or(0, |layer| layer.spatial),
                temporal: layer.map_or(0, |layer| layer.temporal),
                chain: structure.protected_by(at),
                within: structure.all_decode_targets() & !beyond,
            };
        }
        let templates =
            TemplateIds { offset: structure.template_id_offset(), count: structure.templates().len() as u8 };
        Self { id, templates, targets, count: structure.decode_targets() }
    }

    pub(crate) fn target(&self, at: u8) -> Option<&DecodeTarget> {
        self.targets.get(..usize::from(self.count))?.get(usize::from(at))
    }

    /// The highest of the targets that are sent within a spatial and a temporal layer, or else the lowest of all.
    pub(crate) fn best(&self, active: u32, spatial: u8, temporal: u8) -> u8 {
        let all = (0..self.count).zip(&self.targets).filter(|(at, _)| active >> at & 1 != 0);
        let within = all.clone().filter(|(_, target)| target.spatial <= spatial && target.temporal <= temporal);
        let best = within.max_by_key(|(_, target)| (target.spatial, target.temporal));
        best.or_else(|| all.min_by_key(|(_, target)| (target.spatial, target.temporal))).map_or(0, |(at, _)| at)
    }

    /// Targets of a higher spatial layer.
    fn above(&self, spatial: u8) -> u32 {
        let all = (0..self.count).zip(&self.targets).filter(|(_, target)| target.spatial > spatial);
        all.fold(0, |above, (at, _)| above | 1 << at)
    }
}

/// A structure as the stream's descriptors refer to it.
#[derive(Debug)]
struct Known {
    structure: Box<FrameDependencyStructure>,
    dependencies: Arc<Dependencies>,
}

/// Reads the descriptors of one stream.
#[derive(Debug, Default)]
pub(crate) struct DependencyReader {
    newest: Option<Known>,
    /// Of packets that were overtaken by a new structure.
    before: Option<Known>,
    last_id: u8,
    active: u32,
}

/// A descriptor that was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) descriptor: Option<DependencyDescriptor>,
    pub(crate) fields: DependencyFields,
    /// The frame is part of no target of a higher spatial layer.
    pub(crate) is_not_for_upper_spatial: bool,
    pub(crate) structure: Option<Arc<Dependencies>>,
}

impl DependencyReader {
    /// Reads the descriptor at `start` of the slot. A structure that comes again stays what it was. One that cannot be understood names no structure: receivers wait for a key
    /// frame.
    pub(crate) fn read(&mut self, bytes: &[u8], start: u16, is_newest: bool) -> Read {
        let mut read = Read {
            descriptor: None,
            fields: DependencyFields {
                extension_start: start,
                // The data of an extension has 255 bytes at most.
                extension_len: u8::try_from(bytes.len()).unwrap_or(0),
                ..DependencyFields::default()
            },
            is_not_for_upper_spatial: false,
            structure: None,
        };
        let of = |known: &Option<Known>| {
            let structure = known.as_ref().map(|known| &*known.structure);
            DependencyDescriptor::parse_for_rewrite(bytes, structure)
        };
        let mut found = of(&self.newest).ok().map(|parsed| (parsed, false));
        if found.is_none() {
            found = of(&self.before).ok().map(|parsed| (parsed, true));
        }
        let Some(((mut descriptor, active_at), is_before)) = found else { return read };
        read.fields.active_at = active_at;
        if let Some(structure) = descriptor.attached_structure.take() {
            let known = self.newest.as_ref().filter(|known| !is_before && known.structure == structure);
            read.structure = match known {
                // Of the key frame before; packets that were overtaken by this one are of it too. Receivers that are new need it.
                Some(known) => Some(Arc::clone(&known.dependencies)),
                // It comes too late to begin with, and what it says is older than what is known.
                None if !is_newest => return read,
                None => {
                    self.last_id = self.last_id.checked_add(1).unwrap_or(1);
                    let dependencies = Arc::new(Dependencies::new(self.last_id, &structure));
                    self.before = self.newest.replace(Known { structure, dependencies: Arc::clone(&dependencies) });
                    Some(dependencies)
                }
            };
            read.fields.brings = Brings::Structure;
        } else if descriptor.active_decode_targets.is_some() {
            read.fields.brings = Brings::ActiveTargets;
        }
        let known = if is_before { &self.before } else { &self.newest };
        let Some(Known { dependencies, .. }) = known else { return read };
        if let Some(active) = descriptor.active_decode_targets.filter(|_| is_newest) {
            self.active = active;
        }
        let fields = &mut read.fields;
        fields.structure = dependencies.id;
        fields.decode_targets = dependencies.count;
        fields.frame_number = descriptor.fields.frame_number;
        fields.present = descriptor.indications.present();
        fields.switching = descriptor.indications.switching();
        fields.active = descriptor.active_decode_targets.unwrap_or(self.active);
        fields.chain_diffs = [FAR; MAX_CHAINS];
        for (to, diff) in fields.chain_diffs.iter_mut().zip(descriptor.chain_diffs.as_slice()) {
            *to = *diff;
        }
        for (to, diff) in fields.references.iter_mut().zip(descriptor.frame_diffs.as_slice()) {
            *to = u8::try_from(*diff).unwrap_or(FAR);
        }
        let spatial = descriptor.spatial.min(MAX_SPATIAL);
        read.is_not_for_upper_spatial = fields.present & dependencies.above(spatial) == 0;
        read.descriptor = Some(descriptor);
        read
    }

    /// The newest structure.
    pub(crate) fn structure(&self) -> Option<&FrameDependencyStructure> {
        self.newest.as_ref().map(|known| &*known.structure)
    }

    /// Whether targets of a spatial layer are being sent.
    pub(crate) fn is_sent(&self, spatial: u8) -> bool {
        self.newest.as_ref().is_some_and(|known| {
            let targets = (0..known.dependencies.count).zip(&known.dependencies.targets);
            targets.filter(|(at, _)| self.active >> at & 1 != 0).any(|(_, target)| target.spatial == spatial)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The decode targets that are part of each, as jitsi-videobridge's `Av1DependencyDescriptorHeaderExtensionTest` has them.
    #[test]
    fn targets_are_within_those_that_have_all_their_frames() {
        let within = |file: &[u8]| {
            let (len, rest) = file.split_first().unwrap();
            let mut reader = DependencyReader::default();
            let dependencies = reader.read(&rest[..usize::from(*len)], 0, true).structure.unwrap();
            (0..dependencies.count).map(|at| dependencies.target(at).unwrap().within).collect::<Vec<_>>()
        };
        let corpus = |name| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/corpus/dependency_descriptor");
            within(&std::fs::read(format!("{folder}/jvb-{name}")).unwrap())
        };
        let (l1t3, separate) = ([0b001, 0b011, 0b111], [0b001, 0b011, 0b111, 0b001_000, 0b011_000, 0b111_000]);
        assert_eq!(corpus("l1t3"), l1t3);
        let spatial = [0b001_001, 0b011_011, 0b111_111, 0b001_001_001, 0b011_011_011, 0b111_111_111];
        assert_eq!(corpus("l3t3"), [&l1t3[..], &spatial[..]].concat());
        let upper = [0b001_000_000, 0b011_000_000, 0b111_000_000];
        for name in ["l3t3-key", "s3t3"] {
            assert_eq!(corpus(name), [&separate[..], &upper[..]].concat(), "{name}");
        }
        assert_eq!(corpus("l2t2-key-shift"), [0b0001, 0b0011, 0b0100, 0b1100]);
        assert_eq!(corpus("vp8-without-chains"), l1t3);
    }
}
