//! Dependency descriptors of a stream (`codecs`).

use codecs::{
    ActiveDecodeTargets, DependencyDescriptor, DescriptorRewrite, FrameDependencyStructure, MAX_CHAINS,
    MAX_DECODE_TARGETS, MAX_FRAME_DIFFS,
};

/// Descriptors, each behind its length, of which those that follow see the structures of those before: each that is read
/// can be written, and is read alike again.
pub fn dependency_descriptor(data: &[u8]) {
    let mut known: Option<FrameDependencyStructure> = None;
    let mut left = data;
    while let Some((len, rest)) = left.split_first() {
        let (bytes, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        left = rest;
        let Ok((descriptor, active_at)) = DependencyDescriptor::parse_for_rewrite(bytes, known.as_ref()) else {
            continue;
        };
        check(&descriptor, known.as_ref());
        check_rewrite(&descriptor, bytes, active_at, known.as_ref());
        if let Some(structure) = descriptor.attached_structure {
            known = Some(*structure);
        }
    }
}

fn check(descriptor: &DependencyDescriptor, known: Option<&FrameDependencyStructure>) {
    let Some(structure) = descriptor.attached_structure.as_deref().or(known) else {
        panic!("a descriptor was understood without a structure")
    };
    let targets = structure.decode_targets();
    assert!((1..=MAX_DECODE_TARGETS).contains(&usize::from(targets)));
    assert_eq!(descriptor.indications.iter().count(), usize::from(targets));
    assert!(descriptor.active_decode_targets.is_none_or(|active| active & !structure.all_decode_targets() == 0));
    assert!(descriptor.frame_diffs.as_slice().len() <= MAX_FRAME_DIFFS);
    assert_eq!(descriptor.chain_diffs.as_slice().len(), usize::from(structure.chains()));
    assert!(usize::from(structure.chains()) <= MAX_CHAINS);
    assert!((0..targets).all(|target| structure.decode_target_layer(target).is_some()));
    assert!((0..targets).all(|target| structure.protected_by(target).is_none_or(|chain| chain < structure.chains())));

    let mut written = vec![0; 1024];
    let Ok(len) = descriptor.write_to(structure, &mut written) else { panic!("what was read cannot be written") };
    let again = written.get(..len).map(|bytes| DependencyDescriptor::parse(bytes, known));
    assert_eq!(again, Some(Ok(descriptor.clone())));
}

/// Moving the ids by nothing changes nothing, and another set of targets that set alone.
fn check_rewrite(
    descriptor: &DependencyDescriptor,
    bytes: &[u8],
    active_at: u16,
    known: Option<&FrameDependencyStructure>,
) {
    let structure = descriptor.attached_structure.as_deref().or(known);
    let decode_targets = structure.map_or(1, FrameDependencyStructure::decode_targets);
    for active in [None, Some(ActiveDecodeTargets { mask: 1 })] {
        let rewrite = DescriptorRewrite { frame_number: 0, template_id: 0, active, decode_targets, active_at };
        let mut written = vec![0; 1024];
        let Some(len) = rewrite.write_to(bytes, &mut written) else { panic!("what was read cannot be rewritten") };
        let again = written.get(..len).map(|bytes| DependencyDescriptor::parse(bytes, known));
        let active_decode_targets = active.map(|active| active.mask).or(descriptor.active_decode_targets);
        assert_eq!(again, Some(Ok(DependencyDescriptor { active_decode_targets, ..descriptor.clone() })));
    }
}
