//! IVF: a header of 32 bytes, then frames behind twelve bytes of length and time.

use bytes::Bytes;

use super::ClipError;

const ERROR: ClipError = ClipError::Container("IVF");
const FRAME_HEADER_LEN: usize = 12;

/// The frames of a file.
pub(super) fn frames(file: &Bytes) -> Result<Vec<Bytes>, ClipError> {
    // Signature and version 0; bytes of the header.
    let header_len = match file.first_chunk::<8>() {
        Some([b'D', b'K', b'I', b'F', 0, 0, low, high]) => usize::from(u16::from_le_bytes([*low, *high])),
        Some(_) | None => return Err(ERROR),
    };
    let mut at = header_len;
    let mut frames = Vec::new();
    while at < file.len() {
        let header = file.get(at..at + FRAME_HEADER_LEN).and_then(<[u8]>::first_chunk).ok_or(ERROR)?;
        let start = at + FRAME_HEADER_LEN;
        let end = start.saturating_add(u32::from_le_bytes(*header) as usize);
        if end > file.len() {
            return Err(ERROR);
        }
        frames.push(file.slice(start..end));
        at = end;
    }
    Ok(frames)
}
