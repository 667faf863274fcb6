//! Descriptors to bytes (appendix A.8).

use super::structure::{FrameDependencyStructure, FrameDependencyTemplate, next_layer_idc};
use super::{DependencyDescriptor, DependencyDescriptorError, MANDATORY_LEN};
use crate::bits::BitWriter;

/// `dependency_descriptor()`; what the template says alike is left out, and so are extended fields without anything in them.
pub(super) fn descriptor(
    descriptor: &DependencyDescriptor,
    structure: &FrameDependencyStructure,
    dest: &mut [u8],
) -> Result<usize, DependencyDescriptorError> {
    let structure = descriptor.attached_structure.as_deref().unwrap_or(structure);
    let id = descriptor.fields.template_id;
    let template = structure.template(id).ok_or(DependencyDescriptorError::UnknownTemplate(id))?;
    descriptor.fields.write_over(dest);

    let attached = descriptor.attached_structure.as_deref();
    // A structure that is attached has all targets active unless something else is said.
    let active = descriptor
        .active_decode_targets
        .filter(|active| attached.is_none_or(|attached| *active != attached.all_decode_targets()));
    let has_indications = descriptor.indications != template.indications;
    let has_frame_diffs = descriptor.frame_diffs != template.frame_diffs;
    let has_chain_diffs = descriptor.chain_diffs != template.chain_diffs;
    if attached.is_none() && active.is_none() && !has_indications && !has_frame_diffs && !has_chain_diffs {
        return Ok(MANDATORY_LEN);
    }
    let mut bits = BitWriter::new(dest.get_mut(MANDATORY_LEN..).unwrap_or_default());
    for flag in [attached.is_some(), active.is_some(), has_indications, has_frame_diffs, has_chain_diffs] {
        bits.flag(flag);
    }
    if let Some(attached) = attached {
        write_structure(attached, &mut bits);
    }
    if let Some(active) = active {
        bits.bits(u32::from(structure.decode_targets), active);
    }
    if has_indications {
        descriptor.indications.iter().for_each(|indication| bits.bits(2, indication as u32));
    }
    if has_frame_diffs {
        for diff in descriptor.frame_diffs.as_slice() {
            let minus_one = u32::from(diff.saturating_sub(1)).min(0xfff);
            let nibbles = (u32::BITS - minus_one.leading_zeros()).div_ceil(4).max(1);
            bits.bits(2, nibbles);
            bits.bits(4 * nibbles, minus_one);
        }
        bits.bits(2, 0);
    }
    if has_chain_diffs {
        descriptor.chain_diffs.as_slice().iter().for_each(|diff| bits.bits(8, u32::from(*diff)));
    }
    Ok(MANDATORY_LEN + bits.finish())
}

/// `template_dependency_structure()`.
fn write_structure(structure: &FrameDependencyStructure, bits: &mut BitWriter<'_>) {
    bits.bits(6, u32::from(structure.template_id_offset));
    bits.bits(5, u32::from(structure.decode_targets) - 1);
    for pair in structure.templates.windows(2) {
        if let [before, after] = pair {
            bits.bits(2, next_layer_idc(before, after).unwrap_or(0));
        }
    }
    bits.bits(2, 3);
    for FrameDependencyTemplate { indications, .. } in &structure.templates {
        indications.iter().for_each(|indication| bits.bits(2, indication as u32));
    }
    for FrameDependencyTemplate { frame_diffs, .. } in &structure.templates {
        for diff in frame_diffs.as_slice() {
            bits.flag(true);
            bits.bits(4, u32::from(diff.saturating_sub(1)));
        }
        bits.flag(false);
    }
    let chains = u32::from(structure.chains);
    bits.non_symmetric(u32::from(structure.decode_targets) + 1, chains);
    if chains > 0 {
        structure.protected_by.iter().for_each(|chain| bits.non_symmetric(chains, u32::from(*chain)));
        for FrameDependencyTemplate { chain_diffs, .. } in &structure.templates {
            chain_diffs.as_slice().iter().for_each(|diff| bits.bits(4, u32::from(*diff)));
        }
    }
    bits.flag(!structure.resolutions.is_empty());
    for resolution in &structure.resolutions {
        bits.bits(16, u32::from(resolution.width.saturating_sub(1)));
        bits.bits(16, u32::from(resolution.height.saturating_sub(1)));
    }
}
