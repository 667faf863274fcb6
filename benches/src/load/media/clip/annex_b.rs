//! Byte streams of H.264 (ITU-T H.264 Annex B).

use bytes::Bytes;

use super::ClipError;

const ERROR: ClipError = ClipError::Container("H.264");

/// The NAL units of a stream, without start codes.
pub(super) fn nal_units(stream: &Bytes) -> Vec<Bytes> {
    let starts: Vec<usize> =
        stream.windows(3).enumerate().filter(|(_, bytes)| *bytes == [0, 0, 1]).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| {
            let mut unit = stream.slice(start + 3..end);
            // What stands before the next start code as zeros is not of the unit (`trailing_zero_8bits`).
            while unit.last() == Some(&0) {
                unit.truncate(unit.len() - 1);
            }
            unit
        })
        .filter(|unit| !unit.is_empty())
        .collect()
}

/// The access units of a stream of one slice a picture: each ends with its slice.
pub(super) fn access_units(file: &Bytes) -> Result<Vec<Bytes>, ClipError> {
    let mut units = Vec::new();
    let mut start = 0;
    for unit in nal_units(file) {
        let end = unit.as_ptr() as usize - file.as_ptr() as usize + unit.len();
        if matches!(unit.first().map(|head| head & 0x1f), Some(1 | 5)) {
            units.push(file.slice(start..end));
            start = end;
        }
    }
    if units.is_empty() { Err(ERROR) } else { Ok(units) }
}
