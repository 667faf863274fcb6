//! VP9 scalability structure (RFC 9628 §4.2.1).

use super::Vp9DescriptorError;
use crate::common::Resolution;

/// N_S is three bits.
pub const MAX_VP9_SPATIAL_LAYERS: u8 = 8;

/// R is two bits, and P_DIFF of a descriptor comes up to three times.
pub const MAX_VP9_REFERENCES: usize = 3;

/// Bytes of one width and height.
const RESOLUTION_LEN: usize = 4;

/// Sizes of the spatial layers, and the pattern of temporal layers in non-flexible mode. Borrows the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp9ScalabilityStructure<'a> {
    spatial_layers: u8,
    resolutions: Option<&'a [u8]>,
    group: Option<(u8, &'a [u8])>,
    len: usize,
}

/// One picture of the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp9GroupPicture<'a> {
    /// TID, 0..=7.
    pub temporal: u8,
    /// U, as of [`super::Vp9LayerIndices`].
    pub is_switching_up_point: bool,
    /// P_DIFF: how many pictures back those lie that it refers to. At most three.
    pub references: &'a [u8],
}

impl<'a> Vp9ScalabilityStructure<'a> {
    /// Reads the structure at the start of `bytes`.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Vp9DescriptorError> {
        let (&first, rest) = bytes.split_first().ok_or(Vp9DescriptorError::Truncated)?;
        let spatial_layers = (first >> 5) + 1;
        let resolutions_len = if first & 0x10 != 0 { usize::from(spatial_layers) * RESOLUTION_LEN } else { 0 };
        let (resolutions, rest) = rest.split_at_checked(resolutions_len).ok_or(Vp9DescriptorError::Truncated)?;
        let group = match first & 0x08 {
            0 => None,
            _ => {
                let (&count, pictures) = rest.split_first().ok_or(Vp9DescriptorError::Truncated)?;
                let mut left = pictures;
                for _ in 0..count {
                    left = group_picture(left).ok_or(Vp9DescriptorError::Truncated)?.1;
                }
                let len = pictures.len() - left.len();
                Some((count, pictures.get(..len).unwrap_or_default()))
            }
        };
        let len = 1 + resolutions_len + group.map_or(0, |(_, pictures)| 1 + pictures.len());
        Ok(Self { spatial_layers, resolutions: (resolutions_len > 0).then_some(resolutions), group, len })
    }

    /// N_S + 1: 1..=8.
    #[must_use]
    pub const fn spatial_layers(&self) -> u8 {
        self.spatial_layers
    }

    /// Size of a spatial layer, where Y says that sizes are told.
    #[must_use]
    pub fn resolution(&self, spatial: u8) -> Option<Resolution> {
        let start = usize::from(spatial) * RESOLUTION_LEN;
        let &[w0, w1, h0, h1] = self.resolutions?.get(start..)?.first_chunk()?;
        Some(Resolution { width: u16::from_be_bytes([w0, w1]), height: u16::from_be_bytes([h0, h1]) })
            .filter(|resolution| resolution.width > 0 && resolution.height > 0)
    }

    /// How many pictures the pattern has, N_G; 0 without one, as in flexible mode.
    #[must_use]
    pub fn group_len(&self) -> u8 {
        self.group.map_or(0, |(count, _)| count)
    }

    /// The pictures of the pattern in order; the first is that of the packet which carries the structure.
    pub fn group(&self) -> impl Iterator<Item = Vp9GroupPicture<'a>> + use<'a> {
        let mut left = self.group.map_or(&[][..], |(_, pictures)| pictures);
        std::iter::from_fn(move || {
            let (picture, rest) = group_picture(left)?;
            left = rest;
            Some(picture)
        })
    }

    /// Bytes of the structure.
    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

/// The picture at the start of `bytes`, and what follows it.
fn group_picture(bytes: &[u8]) -> Option<(Vp9GroupPicture<'_>, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (references, rest) = rest.split_at_checked(usize::from(first >> 2 & 0x03))?;
    Some((Vp9GroupPicture { temporal: first >> 5, is_switching_up_point: first & 0x10 != 0, references }, rest))
}
