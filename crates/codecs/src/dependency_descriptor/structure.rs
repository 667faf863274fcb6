//! What a key frame says of the frames that follow (appendix A.8.3, `template_dependency_structure`).

use super::layers::{ChainDiffs, DecodeTargetIndication, DecodeTargetIndications, FrameDiffs};
use super::{DependencyDescriptorError, TEMPLATE_ID_BITS};
use crate::common::Resolution;

/// `dt_cnt_minus_one` is five bits.
pub const MAX_DECODE_TARGETS: usize = 32;

/// Template ids are six bits.
pub const MAX_TEMPLATES: usize = 1 << TEMPLATE_ID_BITS;

/// Spatial layers that two bits can name, as in an OBU header.
pub(super) const MAX_SPATIAL: u8 = 3;
/// Temporal layers that three bits can name.
pub(super) const MAX_TEMPORAL: u8 = 7;

/// A kind of frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameDependencyTemplate {
    /// 0..=3.
    pub spatial: u8,
    /// 0..=7.
    pub temporal: u8,
    /// What such a frame is to each decode target.
    pub indications: DecodeTargetIndications,
    /// What it refers to.
    pub frame_diffs: FrameDiffs,
    /// Where it stands in each chain.
    pub chain_diffs: ChainDiffs,
}

/// Highest layers that a decode target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeTargetLayer {
    /// 0..=3.
    pub spatial: u8,
    /// 0..=7.
    pub temporal: u8,
}

/// Templates, decode targets and chains of a coded video sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameDependencyStructure {
    pub(super) template_id_offset: u8,
    pub(super) decode_targets: u8,
    pub(super) templates: Vec<FrameDependencyTemplate>,
    /// The chain of each decode target; empty without chains.
    pub(super) protected_by: Vec<u8>,
    pub(super) chains: u8,
    /// Of each spatial layer; empty where sizes are not told.
    pub(super) resolutions: Vec<Resolution>,
}

impl FrameDependencyStructure {
    /// A structure to be sent.
    ///
    /// `templates` are in order of spatial, then temporal layer, each layer following the one before without gap, and have
    /// an indication for each of the 1..=32 decode targets. `protected_by` has the chain of each target, of as many chains as
    /// templates have chain diffs, or is empty. `resolutions` has the size of each spatial layer, or is empty.
    ///
    /// # Errors
    /// [`DependencyDescriptorError::TooManyTemplates`] for more or fewer templates than can be sent,
    /// [`DependencyDescriptorError::LayerOutOfRange`] for anything else that the format cannot say.
    pub fn new(
        template_id_offset: u8,
        templates: Vec<FrameDependencyTemplate>,
        protected_by: Vec<u8>,
        resolutions: Vec<Resolution>,
    ) -> Result<Self, DependencyDescriptorError> {
        let first = templates.first().ok_or(DependencyDescriptorError::TooManyTemplates)?;
        if templates.len() > MAX_TEMPLATES {
            return Err(DependencyDescriptorError::TooManyTemplates);
        }
        let (decode_targets, chains) = (first.indications.iter().count(), first.chain_diffs.as_slice().len());
        let is_alike = |template: &FrameDependencyTemplate| {
            template.indications.iter().count() == decode_targets && template.chain_diffs.as_slice().len() == chains
        };
        let layers_follow = templates.windows(2).all(|pair| match pair {
            [before, after] => next_layer_idc(before, after).is_some(),
            _ => true,
        });
        let spatial_layers = templates.last().map_or(0, |last| usize::from(last.spatial) + 1);
        let is_valid = (first.spatial, first.temporal) == (0, 0)
            && layers_follow
            && (1..=MAX_DECODE_TARGETS).contains(&decode_targets)
            && templates.iter().all(is_alike)
            && templates.iter().all(|template| template.spatial <= MAX_SPATIAL && template.temporal <= MAX_TEMPORAL)
            && templates.iter().all(|template| {
                template.frame_diffs.as_slice().iter().all(|diff| (1..=16).contains(diff))
                    && template.chain_diffs.as_slice().iter().all(|diff| *diff <= 15)
            })
            && chains <= decode_targets
            && protected_by.len() == if chains == 0 { 0 } else { decode_targets }
            && protected_by.iter().all(|chain| usize::from(*chain) < chains)
            && (resolutions.is_empty() || resolutions.len() == spatial_layers)
            && resolutions.iter().all(|resolution| resolution.width > 0 && resolution.height > 0);
        if !is_valid {
            return Err(DependencyDescriptorError::LayerOutOfRange);
        }
        Ok(Self {
            template_id_offset: template_id_offset & 0x3f,
            decode_targets: decode_targets as u8,
            templates,
            protected_by,
            chains: chains as u8,
            resolutions,
        })
    }

    /// The id of the first template, 0..=63; those that follow count on from it, modulo 64.
    #[must_use]
    pub const fn template_id_offset(&self) -> u8 {
        self.template_id_offset
    }

    /// Id of the template at an index.
    #[must_use]
    pub const fn template_id(&self, index: u8) -> u8 {
        self.template_id_offset.wrapping_add(index) & 0x3f
    }

    /// The templates, 1..=64.
    #[must_use]
    pub fn templates(&self) -> &[FrameDependencyTemplate] {
        &self.templates
    }

    /// The template of an id.
    #[must_use]
    pub fn template(&self, id: u8) -> Option<&FrameDependencyTemplate> {
        self.templates.get(usize::from(id.wrapping_sub(self.template_id_offset) & 0x3f))
    }

    /// How many decode targets there are, 1..=32.
    #[must_use]
    pub const fn decode_targets(&self) -> u8 {
        self.decode_targets
    }

    /// A bit for each decode target.
    #[must_use]
    pub const fn all_decode_targets(&self) -> u32 {
        u32::MAX >> (32 - self.decode_targets as u32)
    }

    /// Highest layers of a decode target: those of the templates that are part of it (`decode_target_layers`). `None` beyond
    /// the last.
    #[must_use]
    pub fn decode_target_layer(&self, decode_target: u8) -> Option<DecodeTargetLayer> {
        if decode_target >= self.decode_targets {
            return None;
        }
        let parts = self.templates.iter().filter(|template| {
            template.indications.get(decode_target).is_some_and(|part| part != DecodeTargetIndication::NotPresent)
        });
        Some(parts.fold(DecodeTargetLayer { spatial: 0, temporal: 0 }, |highest, part| DecodeTargetLayer {
            spatial: highest.spatial.max(part.spatial),
            temporal: highest.temporal.max(part.temporal),
        }))
    }

    /// How many chains there are.
    #[must_use]
    pub const fn chains(&self) -> u8 {
        self.chains
    }

    /// The chain that must be whole for a decode target to go on; `None` without chains or beyond the last target.
    #[must_use]
    pub fn protected_by(&self, decode_target: u8) -> Option<u8> {
        self.protected_by.get(usize::from(decode_target)).copied()
    }

    /// Largest size of a spatial layer on display, where sizes are told.
    #[must_use]
    pub fn resolution(&self, spatial: u8) -> Option<Resolution> {
        self.resolutions.get(usize::from(spatial)).copied()
    }
}

/// How the wire steps from one template's layer to the next (`next_layer_idc`); `None` where it cannot.
pub(super) const fn next_layer_idc(before: &FrameDependencyTemplate, after: &FrameDependencyTemplate) -> Option<u32> {
    if after.spatial == before.spatial && after.temporal == before.temporal {
        Some(0)
    } else if after.spatial == before.spatial && after.temporal == before.temporal + 1 {
        Some(1)
    } else if after.spatial == before.spatial + 1 && after.temporal == 0 {
        Some(2)
    } else {
        None
    }
}
