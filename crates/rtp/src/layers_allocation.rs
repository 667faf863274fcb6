//! Video layers allocation: which layers of a source its sender sends, how large they are, and what they are to take
//! (<http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00>).

use model::Bitrate;

/// RTP streams of a source that the extension can tell of, and spatial layers of each.
const MAX_STREAMS: u8 = 4;
const MAX_SPATIAL_LAYERS: u8 = 4;
/// Temporal layers of each spatial one.
pub const MAX_ALLOCATED_TEMPORAL_LAYERS: usize = 4;
/// Width, height and frame rate of a layer.
const RESOLUTION_LEN: usize = 5;
/// Bytes of a target bitrate (LEB128): 268 Gbit/s are enough.
const MAX_TARGET_LEN: usize = 4;

/// What the extension says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoLayersAllocation<'a> {
    /// Spatial layers of each stream, a bit each.
    masks: [u8; MAX_STREAMS as usize],
    /// Two bits a layer.
    temporal_counts: &'a [u8],
    targets: &'a [u8],
    /// Of all layers, or of none.
    resolutions: &'a [u8],
}

/// A spatial layer that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocatedLayer {
    /// The place of its RTP stream among the encodings of the source, the lowest is 0.
    pub stream: u8,
    /// Its place among the spatial layers of that stream.
    pub spatial: u8,
    /// What it is to take with the temporal layers up to each, without what lower spatial layers take. Where there are fewer
    /// temporal layers the highest stands for those above it.
    pub targets: [Bitrate; MAX_ALLOCATED_TEMPORAL_LAYERS],
    /// Not told in each packet.
    pub resolution: Option<AllocatedResolution>,
}

/// The size of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocatedResolution {
    /// Pixels of a line.
    pub width: u16,
    /// Lines.
    pub height: u16,
    /// Frames a second at most.
    pub max_frame_rate: u8,
}

impl<'a> VideoLayersAllocation<'a> {
    /// Reads the value of the extension. None where it ends inside what it tells of, or has a bitrate beyond all reason.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&first, mut rest) = bytes.split_first()?;
        let mut masks = [0; MAX_STREAMS as usize];
        if bytes == [0] {
            // Nothing is sent.
            return Some(Self { masks, temporal_counts: &[], targets: &[], resolutions: &[] });
        }
        let streams = usize::from(first >> 4 & 3) + 1;
        let common = first & 0x0f;
        if common == 0 {
            let (each, after) = rest.split_at_checked(streams.div_ceil(2))?;
            let nibbles = each.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
            masks.iter_mut().take(streams).zip(nibbles).for_each(|(mask, nibble)| *mask = nibble);
            rest = after;
        } else {
            masks.iter_mut().take(streams).for_each(|mask| *mask = common);
        }
        let layers = masks.iter().map(|mask| mask.count_ones() as usize).sum::<usize>();
        let (temporal_counts, rest) = rest.split_at_checked(layers.div_ceil(4))?;
        let mut after = rest;
        for _ in 0..(0..layers).map(|layer| temporal_count(temporal_counts, layer)).sum::<usize>() {
            (_, after) = leb128(after)?;
        }
        let targets = rest.get(..rest.len() - after.len())?;
        let resolutions = after.get(..layers * RESOLUTION_LEN).unwrap_or_default();
        Some(Self { masks, temporal_counts, targets, resolutions })
    }

    /// The layers, those of the lowest stream first, each from the lowest on.
    pub fn layers(self) -> impl Iterator<Item = AllocatedLayer> + use<'a> {
        let Self { masks, temporal_counts, mut targets, resolutions } = self;
        let places = (0..MAX_STREAMS).zip(masks).flat_map(|(stream, mask)| {
            (0..MAX_SPATIAL_LAYERS)
                .filter(move |spatial| mask >> spatial & 1 == 1)
                .map(move |spatial| (stream, spatial))
        });
        places.enumerate().map(move |(at, (stream, spatial))| {
            let mut layer = AllocatedLayer { stream, spatial, targets: [Bitrate::ZERO; _], resolution: None };
            let told = temporal_count(temporal_counts, at);
            let mut highest = Bitrate::ZERO;
            for (temporal, target) in layer.targets.iter_mut().enumerate() {
                if temporal < told
                    && let Some((kbps, after)) = leb128(targets)
                {
                    (highest, targets) = (Bitrate::from_kbps(kbps.into()), after);
                }
                *target = highest;
            }
            let resolution = resolutions.get(at * RESOLUTION_LEN..).and_then(|rest| rest.first_chunk());
            layer.resolution = resolution.map(|[width_0, width_1, height_0, height_1, max_frame_rate]| {
                // One less is told.
                let lines = |bytes| u16::from_be_bytes(bytes).saturating_add(1);
                let (width, height) = (lines([*width_0, *width_1]), lines([*height_0, *height_1]));
                AllocatedResolution { width, height, max_frame_rate: *max_frame_rate }
            });
            layer
        })
    }
}

/// Temporal layers of the layer at a place.
fn temporal_count(counts: &[u8], layer: usize) -> usize {
    let byte = counts.get(layer / 4).copied().unwrap_or_default();
    usize::from(byte >> (6 - layer % 4 * 2) & 3) + 1
}

/// A number of seven bits a byte, the lowest first, and what stands behind it.
fn leb128(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(MAX_TARGET_LEN) {
        number |= u32::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stream, spatial layer, targets in kbit/s, width, height and frame rate.
    type Told = (u8, u8, [u64; 4], Option<(u16, u16, u8)>);

    fn read(bytes: &[u8]) -> Vec<Told> {
        let layers = VideoLayersAllocation::parse(bytes).unwrap().layers();
        let told = |layer: AllocatedLayer| {
            let size = layer.resolution.map(|size| (size.width, size.height, size.max_frame_rate));
            (layer.stream, layer.spatial, layer.targets.map(|target| target.bps() / 1000), size)
        };
        layers.map(told).collect()
    }

    /// Three encodings of three temporal layers.
    const SIMULCAST: [u8; 17] = [0x21, 0b1010_1000, 60, 90, 0x96, 1, 0xc8, 1, 0xac, 2, 0xf4, 3, 0xee, 3, 0xe6, 5, 0xd4];
    const SIMULCAST_END: [u8; 16] = [9, 1, 0x3f, 0, 0xb3, 30, 2, 0x7f, 1, 0x67, 30, 4, 0xff, 2, 0xcf, 30];

    #[test]
    fn tells_of_all_encodings_in_one_packet() {
        let bytes = [&SIMULCAST[..], &SIMULCAST_END[..]].concat();
        let expected = [
            (0, 0, [60, 90, 150, 150], Some((320, 180, 30))),
            (1, 0, [200, 300, 500, 500], Some((640, 360, 30))),
            (2, 0, [494, 742, 1236, 1236], Some((1280, 720, 30))),
        ];
        assert_eq!(read(&bytes), expected);
        // Most packets tell bitrates alone.
        let without_size = expected.map(|(stream, spatial, targets, _)| (stream, spatial, targets, None));
        assert_eq!(read(&bytes[..18]), without_size);
        // Half of the sizes are none.
        assert_eq!(read(&bytes[..30]), without_size);
    }

    #[test]
    fn tells_of_spatial_layers_and_of_gaps() {
        let svc = [0x03, 0b0100_0000, 10, 20, 0x90, 3, 0, 159, 0, 89, 15, 1, 63, 0, 179, 30];
        let expected = [(0, 0, [10, 20, 20, 20], Some((160, 90, 15))), (0, 1, [400; 4], Some((320, 180, 30)))];
        assert_eq!(read(&svc), expected);
        // The encoding in the middle is off, and the third has its upper layer only.
        assert_eq!(read(&[0x20, 0x10, 0x20, 0, 7, 8]), [(0, 0, [7; 4], None), (2, 1, [8; 4], None)]);
        assert_eq!(read(&[0]), []);
    }

    #[test]
    fn what_ends_too_soon_is_not_read() {
        let whole = [&SIMULCAST[..], &SIMULCAST_END[..]].concat();
        for len in 0..18 {
            assert_eq!(VideoLayersAllocation::parse(&whole[..len]), None, "{len} bytes");
        }
        assert_eq!(VideoLayersAllocation::parse(&[0x01, 0, 0xff, 0xff, 0xff, 0xff, 1]), None, "a bitrate without end");
    }
}
