//! The scalability structure of a stream as stock clients choose it: spatial layers that depend on each other in key pictures
//! only, and one or three temporal layers (`L1T1`, `L1T3` to `L3T3_KEY` of W3C "Scalable Video Coding (SVC) Extension for
//! WebRTC").
//!
//! After libwebrtc's `ScalabilityStructureL3T3Key`, for any number of layers.

use codecs::{
    ChainDiffs, DecodeTargetIndication, DependencyDescriptorError, FrameDependencyStructure, FrameDependencyTemplate,
    FrameDiffs, Resolution,
};

/// Where a picture stands in the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load::media) enum Phase {
    Key,
    /// Pictures since the last of the base temporal layer, which has 0; below the length of the pattern.
    Delta(u8),
}

/// Layers of one stream.
#[derive(Debug)]
pub(in crate::load::media) struct ScalableStructure {
    /// Size of each spatial layer, the smallest first; at least one.
    pub(in crate::load::media) resolutions: Vec<Resolution>,
    /// Temporal layer of each picture of the pattern; at least one, the first is 0.
    pub(in crate::load::media) pattern: &'static [u8],
    pub(in crate::load::media) dependency: FrameDependencyStructure,
}

/// One temporal layer.
const PATTERN_T1: &[u8] = &[0];
/// Three temporal layers.
const PATTERN_T3: &[u8] = &[0, 2, 1, 2];

/// How many templates a spatial layer has: a key picture and each picture of the pattern.
const fn templates_per_layer(pattern: &[u8]) -> usize {
    pattern.len() + 1
}

impl ScalableStructure {
    /// Of these spatial layers, at most three; `has_temporal_layers` for three temporal ones. Ids of templates follow those of
    /// the structure `before` on the stream, so that nobody takes a frame of one for a frame of the other.
    pub(in crate::load::media) fn new(
        resolutions: Vec<Resolution>,
        has_temporal_layers: bool,
        before: Option<&Self>,
    ) -> Result<Self, DependencyDescriptorError> {
        let pattern = if has_temporal_layers { PATTERN_T3 } else { PATTERN_T1 };
        let shape = Shape { spatial: resolutions.len(), pattern };
        let mut templates = Vec::new();
        for spatial in 0..shape.spatial {
            // In order of temporal layers, as the wire wants it.
            let mut phases: Vec<Phase> = shape.phases().collect();
            phases.sort_by_key(|phase| shape.temporal(*phase));
            for phase in phases {
                templates.push(shape.template(spatial, phase)?);
            }
        }
        let temporal_layers = shape.temporal_layers();
        let protected_by =
            (0..shape.spatial * temporal_layers).map(|target| (target / temporal_layers) as u8).collect();
        let first_id =
            before.map_or(0, |before| before.dependency.template_id(before.dependency.templates().len() as u8));
        let dependency = FrameDependencyStructure::new(first_id, templates, protected_by, resolutions.clone())?;
        Ok(Self { resolutions, pattern, dependency })
    }

    pub(in crate::load::media) const fn spatial_layers(&self) -> usize {
        self.resolutions.len()
    }

    /// Id of the template of a frame.
    pub(in crate::load::media) fn template_id(&self, spatial: u8, phase: Phase) -> u8 {
        let shape = Shape { spatial: self.resolutions.len(), pattern: self.pattern };
        let rank = |phase: Phase| (shape.temporal(phase), shape.phases().position(|other| other == phase));
        let before = shape.phases().filter(|other| rank(*other) < rank(phase)).count();
        self.dependency.template_id((usize::from(spatial) * templates_per_layer(self.pattern) + before) as u8)
    }
}

struct Shape {
    spatial: usize,
    pattern: &'static [u8],
}

impl Shape {
    fn phases(&self) -> impl Iterator<Item = Phase> {
        [Phase::Key].into_iter().chain((0..self.pattern.len()).map(|at| Phase::Delta(at as u8)))
    }

    fn temporal(&self, phase: Phase) -> u8 {
        match phase {
            Phase::Key => 0,
            Phase::Delta(at) => self.pattern.get(usize::from(at)).copied().unwrap_or(0),
        }
    }

    fn temporal_layers(&self) -> usize {
        self.pattern.iter().max().map_or(1, |top| usize::from(*top) + 1)
    }

    /// How many pictures back the one lies that a picture refers to: the nearest of a lower temporal layer.
    fn pictures_back(&self, at: u8) -> usize {
        let temporal = self.temporal(Phase::Delta(at));
        let is_reference = |back: &usize| {
            let place = (usize::from(at) + self.pattern.len() - back) % self.pattern.len();
            self.temporal(Phase::Delta(place as u8)) < temporal
        };
        (1..self.pattern.len()).find(is_reference).unwrap_or(self.pattern.len())
    }

    fn template(&self, spatial: usize, phase: Phase) -> Result<FrameDependencyTemplate, DependencyDescriptorError> {
        let temporal = self.temporal(phase);
        let temporal_layers = self.temporal_layers();
        let indications = (0..self.spatial * temporal_layers)
            .map(|target| self.indication(spatial, phase, target / temporal_layers, target % temporal_layers))
            .collect();
        let diffs: &[u16] = match phase {
            Phase::Key if spatial == 0 => &[],
            Phase::Key => &[1],
            Phase::Delta(at) => &[(self.pictures_back(at) * self.spatial) as u16],
        };
        let chains: Vec<u8> = (0..self.spatial).map(|chain| self.chain_diff(spatial, phase, chain) as u8).collect();
        Ok(FrameDependencyTemplate {
            spatial: spatial as u8,
            temporal,
            indications,
            frame_diffs: FrameDiffs::new(diffs)?,
            chain_diffs: ChainDiffs::new(&chains),
        })
    }

    fn indication(
        &self,
        spatial: usize,
        phase: Phase,
        target_spatial: usize,
        target_temporal: usize,
    ) -> DecodeTargetIndication {
        let temporal = usize::from(self.temporal(phase));
        let top = self.temporal_layers() - 1;
        let is_part = match phase {
            // Higher layers are predicted from it.
            Phase::Key => target_spatial >= spatial,
            Phase::Delta(_) => target_spatial == spatial && target_temporal >= temporal,
        };
        if !is_part {
            DecodeTargetIndication::NotPresent
        } else if temporal > 0 && (target_temporal == temporal || temporal == top) {
            DecodeTargetIndication::Discardable
        } else {
            DecodeTargetIndication::Switch
        }
    }

    /// Frames back to the last one of a chain. Chain `n` has the base temporal layer of spatial layer `n`, and of key
    /// pictures all layers below too.
    fn chain_diff(&self, spatial: usize, phase: Phase, chain: usize) -> usize {
        match phase {
            Phase::Key if spatial == 0 => 0,
            Phase::Key if chain < spatial => spatial - chain,
            Phase::Key => 1,
            Phase::Delta(0) if chain < spatial => spatial - chain,
            Phase::Delta(0) => self.pattern.len() * self.spatial + spatial - chain,
            Phase::Delta(at) => usize::from(at) * self.spatial + spatial - chain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DecodeTargetIndication::{Discardable, NotPresent, Required, Switch};

    fn structure(spatial: u16, has_temporal_layers: bool) -> ScalableStructure {
        let resolutions = (0..spatial).map(|layer| Resolution { width: 320 << layer, height: 180 << layer }).collect();
        ScalableStructure::new(resolutions, has_temporal_layers, None).unwrap()
    }

    /// Layers, indications, references and chains.
    type Row = (u8, u8, String, Vec<u16>, Vec<u8>);

    fn rows(structure: &ScalableStructure) -> Vec<Row> {
        let letter = |indication| match indication {
            NotPresent => '-',
            Discardable => 'D',
            Switch => 'S',
            Required => 'R',
        };
        structure
            .dependency
            .templates()
            .iter()
            .map(|template| {
                let indications = template.indications.iter().map(letter).collect();
                let diffs = template.frame_diffs.as_slice().to_vec();
                (template.spatial, template.temporal, indications, diffs, template.chain_diffs.as_slice().to_vec())
            })
            .collect()
    }

    #[test]
    fn three_temporal_layers_are_those_of_libwebrtc() {
        let expected = [
            (0, 0, "SSS", vec![], vec![0]),
            (0, 0, "SSS", vec![4], vec![4]),
            (0, 1, "-DS", vec![2], vec![2]),
            (0, 2, "--D", vec![1], vec![1]),
            (0, 2, "--D", vec![1], vec![3]),
        ];
        let expected: Vec<_> = expected.into_iter().map(|(s, t, i, f, c)| (s, t, i.to_string(), f, c)).collect();
        assert_eq!(rows(&structure(1, true)), expected);
    }

    #[test]
    fn spatial_layers_depend_on_each_other_in_key_pictures_only() {
        let rows = rows(&structure(3, true));
        assert_eq!(rows.len(), 15);
        assert_eq!(rows[5], (1, 0, "---SSSSSS".to_string(), vec![1], vec![1, 1, 1]));
        assert_eq!(rows[10], (2, 0, "------SSS".to_string(), vec![1], vec![2, 1, 1]));
        assert_eq!(rows[11], (2, 0, "------SSS".to_string(), vec![12], vec![2, 1, 12]));
        assert_eq!(rows[7], (1, 1, "----DS---".to_string(), vec![6], vec![7, 6, 5]));
        assert_eq!(rows[14], (2, 2, "--------D".to_string(), vec![3], vec![11, 10, 9]));
    }

    #[test]
    fn a_frame_finds_its_template() {
        let structure = structure(2, true);
        let id = |spatial, phase| structure.template_id(spatial, phase);
        assert_eq!([id(0, Phase::Key), id(0, Phase::Delta(0)), id(0, Phase::Delta(2))], [0, 1, 2]);
        assert_eq!([id(0, Phase::Delta(1)), id(0, Phase::Delta(3)), id(1, Phase::Key)], [3, 4, 5]);
        let next = ScalableStructure::new(structure.resolutions.clone(), true, Some(&structure)).unwrap();
        assert_eq!([next.template_id(0, Phase::Key), next.template_id(1, Phase::Key)], [10, 15]);
        let flat = super::tests::structure(1, false);
        assert_eq!([flat.template_id(0, Phase::Key), flat.template_id(0, Phase::Delta(0))], [0, 1]);
        assert_eq!(rows(&flat), [(0, 0, "S".to_string(), vec![], vec![0]), (0, 0, "S".to_string(), vec![1], vec![1])]);
    }
}
