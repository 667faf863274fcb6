//! The start of a sequence header, up to the size of the picture (AV1 bitstream specification §5.5.1).

use crate::bits::{BitReader, OutOfBits};
use crate::common::Resolution;

/// What a sequence header says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Av1SequenceHeader {
    /// `seq_profile`, 0..=7.
    pub profile: u8,
    /// Operating points, 1..=32: the ways to choose layers.
    pub operating_points: u8,
    /// The largest frame of the sequence.
    pub max_resolution: Resolution,
}

impl Av1SequenceHeader {
    /// Reads the payload of a sequence header OBU, without OBU header; `None` if it ends before the size.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        read(&mut BitReader::new(payload)).ok()
    }
}

fn read(bits: &mut BitReader<'_>) -> Result<Av1SequenceHeader, OutOfBits> {
    let profile = bits.small(3)?;
    let _still_picture = bits.flag()?;
    let is_reduced = bits.flag()?;
    let mut operating_points = 1;
    if is_reduced {
        let _level = bits.bits(5)?;
    } else {
        let decoder_delay_bits = if bits.flag()? { timing_info(bits)? } else { None };
        let has_initial_display_delay = bits.flag()?;
        operating_points = bits.small(5)? + 1;
        for _ in 0..operating_points {
            let _idc = bits.bits(12)?;
            if bits.bits(5)? > 7 {
                let _tier = bits.flag()?;
            }
            if let Some(delay_bits) = decoder_delay_bits
                && bits.flag()?
            {
                let _decoder_buffer_delay = bits.bits(delay_bits)?;
                let _encoder_buffer_delay = bits.bits(delay_bits)?;
                let _low_delay_mode = bits.flag()?;
            }
            if has_initial_display_delay && bits.flag()? {
                let _initial_display_delay = bits.bits(4)?;
            }
        }
    }
    let (width_bits, height_bits) = (bits.bits(4)? + 1, bits.bits(4)? + 1);
    // At most 16 bits each.
    let (width, height) = (bits.bits(width_bits)? as u16, bits.bits(height_bits)? as u16);
    Ok(Av1SequenceHeader { profile, operating_points, max_resolution: Resolution::from_minus_one(width, height) })
}

/// `timing_info()` and `decoder_model_info()`; answers the width of the delays of the model, if there is one.
fn timing_info(bits: &mut BitReader<'_>) -> Result<Option<u32>, OutOfBits> {
    let _units_in_display_tick = bits.bits(32)?;
    let _time_scale = bits.bits(32)?;
    if bits.flag()? {
        let _ticks_per_picture = bits.exp_golomb()?;
    }
    if !bits.flag()? {
        return Ok(None);
    }
    let delay_bits = bits.bits(5)? + 1;
    let _units_in_decoding_tick = bits.bits(32)?;
    let _buffer_removal_time_bits = bits.bits(5)?;
    let _frame_presentation_time_bits = bits.bits(5)?;
    Ok(Some(delay_bits))
}
