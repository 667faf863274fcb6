//! The size of the picture in the parameter set of a sequence (ITU-T H.264 §7.3.2.1.1, §7.4.2.1.1).

use crate::bits::{BitReader, OutOfBits};
use crate::common::Resolution;

/// Bytes that the fields up to the cropping can take, with scaling lists: more is not looked at.
const MAX_SPS_LEN: usize = 1024;

/// More reference frames in a cycle than the standard has (§7.4.2.1.1).
const MAX_REFERENCE_FRAMES_IN_CYCLE: u32 = 255;

/// Reads the body of a NAL unit; `None` if it ends too early or tells an impossible size.
pub(super) fn resolution(body: &[u8]) -> Option<Resolution> {
    let mut plain = [0; MAX_SPS_LEN];
    let len = without_emulation_prevention(body, &mut plain);
    read(&mut BitReader::new(plain.get(..len)?)).ok().flatten()
}

/// Takes the 3 out of 0 0 3 (§7.4.1); answers how many bytes are left.
fn without_emulation_prevention(body: &[u8], plain: &mut [u8]) -> usize {
    let (mut zeros, mut len) = (0, 0);
    for &byte in body {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        let Some(place) = plain.get_mut(len) else { break };
        *place = byte;
        len += 1;
    }
    len
}

fn read(bits: &mut BitReader<'_>) -> Result<Option<Resolution>, OutOfBits> {
    let profile = bits.bits(8)?;
    let _constraints_and_level = bits.bits(16)?;
    let _id = bits.exp_golomb()?;
    let mut chroma_format = 1;
    let mut has_separate_planes = false;
    if matches!(profile, 44 | 83 | 86 | 100 | 110 | 118 | 122 | 128 | 134 | 135 | 138 | 139 | 244) {
        chroma_format = bits.exp_golomb()?;
        has_separate_planes = chroma_format == 3 && bits.flag()?;
        let _bit_depth_luma = bits.exp_golomb()?;
        let _bit_depth_chroma = bits.exp_golomb()?;
        let _transform_bypass = bits.flag()?;
        if bits.flag()? {
            pass_scaling_lists(bits, if chroma_format == 3 { 12 } else { 8 })?;
        }
    }
    let _max_frame_num = bits.exp_golomb()?;
    match bits.exp_golomb()? {
        0 => {
            let _max_pic_order_cnt = bits.exp_golomb()?;
        }
        1 => {
            let _delta_always_zero = bits.flag()?;
            let _offset_for_non_ref = bits.signed_exp_golomb()?;
            let _offset_for_top_to_bottom = bits.signed_exp_golomb()?;
            let frames = bits.exp_golomb()?;
            if frames > MAX_REFERENCE_FRAMES_IN_CYCLE {
                return Ok(None);
            }
            for _ in 0..frames {
                let _offset = bits.signed_exp_golomb()?;
            }
        }
        _ => {}
    }
    let _max_num_ref_frames = bits.exp_golomb()?;
    let _gaps_allowed = bits.flag()?;
    let (width_in_mbs, height_in_units) = (bits.exp_golomb()?, bits.exp_golomb()?);
    let is_frames_only = bits.flag()?;
    if !is_frames_only {
        let _adaptive = bits.flag()?;
    }
    let _direct_8x8 = bits.flag()?;
    let mut crop = [0; 4];
    if bits.flag()? {
        for side in &mut crop {
            *side = bits.exp_golomb()?;
        }
    }
    let fields = if is_frames_only { 1 } else { 2 };
    // Table 6-1 and equations 7-19 to 7-22.
    let (crop_x, crop_y) = match (chroma_format, has_separate_planes) {
        (1, _) => (2, 2 * fields),
        (2, _) => (2, fields),
        _ => (1, fields),
    };
    let [left, right, top, bottom] = crop.map(u64::from);
    let side = |units: u32, of: u64, cropped: u64| {
        ((u64::from(units) + 1) * of)
            .checked_sub(cropped)
            .and_then(|side| u16::try_from(side).ok())
            .filter(|side| *side > 0)
    };
    let width = side(width_in_mbs, 16, (left + right) * crop_x);
    let height = side(height_in_units, 16 * fields, (top + bottom) * crop_y);
    Ok(width.zip(height).map(|(width, height)| Resolution { width, height }))
}

/// `scaling_list()` (§7.3.2.1.1.1) of each kind that is there: six of 16 numbers, the others of 64.
fn pass_scaling_lists(bits: &mut BitReader<'_>, lists: u32) -> Result<(), OutOfBits> {
    for list in 0..lists {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8_i32, 8_i32);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = last.wrapping_add(bits.signed_exp_golomb()?).rem_euclid(256);
            }
            if next != 0 {
                last = next;
            }
        }
    }
    Ok(())
}
