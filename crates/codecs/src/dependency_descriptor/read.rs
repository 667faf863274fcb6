//! Bytes to descriptors (appendix A.8).

use super::layers::{ChainDiffs, DecodeTargetIndication, DecodeTargetIndications, FrameDiffs};
use super::structure::{FrameDependencyStructure, FrameDependencyTemplate, MAX_SPATIAL, MAX_TEMPLATES, MAX_TEMPORAL};
use super::{DependencyDescriptor, DependencyDescriptorError, EXTENDED_FLAGS, MANDATORY_LEN, MandatoryFields};
use crate::bits::{BitReader, OutOfBits};
use crate::common::Resolution;

/// `extended_descriptor_fields()`; all clear where there are none.
#[derive(Clone, Copy, Debug, Default)]
struct Custom {
    indications: bool,
    frame_diffs: bool,
    chain_diffs: bool,
}

/// `dependency_descriptor()`; and the bit at which active decode targets stand or would.
pub(super) fn descriptor(
    bytes: &[u8],
    known: Option<&FrameDependencyStructure>,
) -> Result<(DependencyDescriptor, usize), DependencyDescriptorError> {
    let fields = MandatoryFields::parse(bytes)?;
    let mut bits = BitReader::new(bytes.get(MANDATORY_LEN..).unwrap_or_default());
    let mut attached_structure = None;
    let mut active_decode_targets = None;
    let mut custom = Custom::default();
    let mut active_at = MANDATORY_LEN * 8 + EXTENDED_FLAGS;
    if bytes.len() > MANDATORY_LEN {
        let has_structure = bits.flag()?;
        let has_active_decode_targets = bits.flag()?;
        custom = Custom { indications: bits.flag()?, frame_diffs: bits.flag()?, chain_diffs: bits.flag()? };
        if has_structure {
            let structure = structure(&mut bits)?;
            active_decode_targets = Some(structure.all_decode_targets());
            attached_structure = Some(Box::new(structure));
        }
        active_at = MANDATORY_LEN * 8 + bits.position();
        if has_active_decode_targets {
            let structure = attached_structure.as_deref().or(known).ok_or(DependencyDescriptorError::NoStructure)?;
            active_decode_targets = Some(bits.bits(u32::from(structure.decode_targets))?);
        }
    }
    let structure = attached_structure.as_deref().or(known).ok_or(DependencyDescriptorError::NoStructure)?;
    let template =
        structure.template(fields.template_id).ok_or(DependencyDescriptorError::UnknownTemplate(fields.template_id))?;
    let (spatial, temporal) = (template.spatial, template.temporal);
    let indications = match custom.indications {
        true => indications(&mut bits, structure.decode_targets)?,
        false => template.indications,
    };
    let frame_diffs = if custom.frame_diffs { frame_diffs(&mut bits)? } else { template.frame_diffs };
    let chain_diffs = match custom.chain_diffs {
        true => chain_diffs(&mut bits, structure.chains, 8)?,
        false => template.chain_diffs,
    };
    let resolution = structure.resolution(spatial);
    let descriptor = DependencyDescriptor {
        fields,
        active_decode_targets,
        spatial,
        temporal,
        indications,
        frame_diffs,
        chain_diffs,
        resolution,
        attached_structure,
    };
    Ok((descriptor, active_at))
}

/// `template_dependency_structure()`.
fn structure(bits: &mut BitReader<'_>) -> Result<FrameDependencyStructure, DependencyDescriptorError> {
    let template_id_offset = bits.small(6)?;
    let decode_targets = bits.small(5)? + 1;
    let mut templates = template_layers(bits)?;
    for template in &mut templates {
        template.indications = indications(bits, decode_targets)?;
    }
    for template in &mut templates {
        while bits.flag()? {
            template.frame_diffs.push(u16::from(bits.small(4)?) + 1)?;
        }
    }
    let chains = bits.non_symmetric(u32::from(decode_targets) + 1)?;
    let mut protected_by = Vec::new();
    if chains > 0 {
        for _ in 0..decode_targets {
            protected_by.push(bits.non_symmetric(chains)? as u8);
        }
        for template in &mut templates {
            template.chain_diffs = chain_diffs(bits, chains as u8, 4)?;
        }
    }
    let mut resolutions = Vec::new();
    if bits.flag()? {
        for _ in 0..=templates.last().map_or(0, |last| last.spatial) {
            resolutions.push(Resolution::from_minus_one(bits.bits(16)? as u16, bits.bits(16)? as u16));
        }
    }
    Ok(FrameDependencyStructure {
        template_id_offset,
        decode_targets,
        templates,
        protected_by,
        chains: chains as u8,
        resolutions,
    })
}

/// `template_layers()`: the templates with their layers and nothing else.
fn template_layers(bits: &mut BitReader<'_>) -> Result<Vec<FrameDependencyTemplate>, DependencyDescriptorError> {
    let mut templates = Vec::new();
    let (mut spatial, mut temporal) = (0, 0);
    loop {
        if templates.len() >= MAX_TEMPLATES {
            return Err(DependencyDescriptorError::TooManyTemplates);
        }
        templates.push(FrameDependencyTemplate {
            spatial,
            temporal,
            indications: DecodeTargetIndications::default(),
            frame_diffs: FrameDiffs::default(),
            chain_diffs: ChainDiffs::default(),
        });
        (spatial, temporal) = match bits.bits(2)? {
            0 => (spatial, temporal),
            1 => (spatial, temporal + 1),
            2 => (spatial + 1, 0),
            _ => return Ok(templates),
        };
        if spatial > MAX_SPATIAL || temporal > MAX_TEMPORAL {
            return Err(DependencyDescriptorError::LayerOutOfRange);
        }
    }
}

fn indications(bits: &mut BitReader<'_>, decode_targets: u8) -> Result<DecodeTargetIndications, OutOfBits> {
    (0..decode_targets).map(|_| bits.bits(2).map(DecodeTargetIndication::from_bits)).collect()
}

/// `frame_fdiffs()`.
fn frame_diffs(bits: &mut BitReader<'_>) -> Result<FrameDiffs, DependencyDescriptorError> {
    let mut diffs = FrameDiffs::default();
    loop {
        match bits.bits(2)? {
            0 => return Ok(diffs),
            nibbles => diffs.push(bits.bits(4 * nibbles)? as u16 + 1)?,
        }
    }
}

fn chain_diffs(bits: &mut BitReader<'_>, chains: u8, width_bits: u32) -> Result<ChainDiffs, OutOfBits> {
    let mut diffs = ChainDiffs::default();
    for _ in 0..chains {
        diffs.push(bits.small(width_bits)?);
    }
    Ok(diffs)
}
