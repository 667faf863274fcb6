//! Descriptors as a forwarder sends them on: under another count of frames and other template ids, and without the decode
//! targets that it leaves out. Bits are moved; nothing is parsed again.

use super::{EXTENDED_FLAGS, MANDATORY_LEN, MandatoryFields, TEMPLATE_ID_BITS};
use crate::bits::{BitReader, BitWriter, OutOfBits};

/// The decode targets that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveDecodeTargets {
    /// A bit for each, the lowest for target 0.
    pub mask: u32,
}

/// What changes in a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorRewrite {
    /// Added to the frame number, wrapping.
    pub frame_number: u16,
    /// Added to the ids of templates, modulo 64: the packet's, and the first one of a structure.
    pub template_id: u8,
    /// Told instead of what the descriptor says, or though it says nothing; `None` leaves that as it is.
    pub active: Option<ActiveDecodeTargets>,
    /// As many as the structure in force has, 1..=32.
    pub decode_targets: u8,
    /// The bit at which active decode targets stand or would: see
    /// [`parse_for_rewrite`](super::DependencyDescriptor::parse_for_rewrite).
    pub active_at: u16,
}

impl DescriptorRewrite {
    /// Writes the descriptor `bytes`, which was parsed before, to the start of `dest`; answers its length. `None` where the
    /// bytes are another descriptor, or `dest` is too short.
    #[must_use]
    pub fn write_to(&self, bytes: &[u8], dest: &mut [u8]) -> Option<usize> {
        let fields = MandatoryFields::parse(bytes).ok()?;
        let fields = MandatoryFields {
            frame_number: fields.frame_number.wrapping_add(self.frame_number),
            template_id: self.template(fields.template_id),
            ..fields
        };
        *dest.first_chunk_mut()? = fields.to_bytes();
        if bytes.len() == MANDATORY_LEN && self.active.is_none() {
            return Some(MANDATORY_LEN);
        }
        let have = dest.len();
        let mut out = BitWriter::new(dest.get_mut(MANDATORY_LEN..)?);
        self.write_rest(bytes, &mut out).ok()?;
        let len = MANDATORY_LEN + out.finish();
        (len <= have).then_some(len)
    }

    fn write_rest(&self, bytes: &[u8], out: &mut BitWriter<'_>) -> Result<(), OutOfBits> {
        let start = MANDATORY_LEN * 8;
        let (mut has_structure, mut has_active, mut custom) = (false, false, 0);
        let mut bits = BitReader::starting_at(bytes, start);
        if bytes.len() > MANDATORY_LEN {
            (has_structure, has_active, custom) = (bits.flag()?, bits.flag()?, bits.bits(3)?);
        }
        out.flag(has_structure);
        out.flag(has_active || self.active.is_some());
        out.bits(3, custom);
        let active_at = usize::from(self.active_at);
        if has_structure {
            let offset = bits.small(TEMPLATE_ID_BITS)?;
            out.bits(TEMPLATE_ID_BITS, u32::from(self.template(offset)));
            while bits.position() < active_at {
                out.flag(bits.flag()?);
            }
        } else if active_at != start + EXTENDED_FLAGS {
            return Err(OutOfBits);
        }
        let width = u32::from(self.decode_targets);
        let told = if has_active { Some(bits.bits(width)?) } else { None };
        if let Some(mask) = self.active.map(|active| active.mask).or(told) {
            out.bits(width, mask);
        }
        // What is left is of the frame, and zeros that fill the last byte.
        while let Ok(bit) = bits.flag() {
            out.flag(bit);
        }
        Ok(())
    }

    const fn template(&self, id: u8) -> u8 {
        id.wrapping_add(self.template_id) & 0x3f
    }
}
