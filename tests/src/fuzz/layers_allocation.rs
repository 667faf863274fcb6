//! Video layers allocation (`rtp::VideoLayersAllocation`).

use rtp::VideoLayersAllocation;

/// The value of the extension: layers come once each and in order, and all have a size or none has.
pub fn layers_allocation(data: &[u8]) {
    let Some(allocation) = VideoLayersAllocation::parse(data) else { return };
    let layers: Vec<_> = allocation.layers().collect();
    let places: Vec<_> = layers.iter().map(|layer| (layer.stream, layer.spatial)).collect();
    assert!(places.is_sorted_by(|one, next| one < next), "{places:?}");
    assert!(places.iter().all(|(stream, spatial)| *stream < 4 && *spatial < 4));
    let is_sized = |layer: &rtp::AllocatedLayer| layer.resolution.is_some_and(|size| size.width > 0 && size.height > 0);
    assert!(
        layers.iter().all(is_sized) || layers.iter().all(|layer| layer.resolution.is_none()),
        "all are told or none"
    );
}
