//! Datagrams in a byte stream: each behind its length in 16 bits (RFC 4571 §2), as ICE over TCP uses it (RFC 6544 §3).
//!
//! Here: cutting a stream into frames, and the header of one. Not here: sockets (`connection`), what a frame means.

/// Longest frame: what a slot for a datagram holds. Peers keep to the MTU of UDP, about 1,500 bytes, over TCP too.
pub const MAX_FRAME_BYTES: usize = 2048;
/// Bytes of the length before each frame.
pub const FRAME_HEADER_BYTES: usize = 2;

/// The stream is no sequence of frames, so that nothing after this can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {len} bytes; {MAX_FRAME_BYTES} is the most")]
pub struct FrameTooLong {
    /// What its header says.
    pub len: usize,
}

/// The header of a frame of `len` bytes; `None` for one that is empty or too long to be sent.
#[must_use]
pub fn frame_header(len: usize) -> Option<[u8; FRAME_HEADER_BYTES]> {
    let len = u16::try_from(len).ok().filter(|len| (1..=MAX_FRAME_BYTES).contains(&usize::from(*len)))?;
    Some(len.to_be_bytes())
}

/// Bytes of the frame behind `header`.
fn frame_len(header: [u8; FRAME_HEADER_BYTES]) -> Result<usize, FrameTooLong> {
    let len = usize::from(u16::from_be_bytes(header));
    if len > MAX_FRAME_BYTES { Err(FrameTooLong { len }) } else { Ok(len) }
}

/// The first frame of `bytes`, once it is there whole. An empty one is answered as such.
///
/// # Errors
/// [`FrameTooLong`] as soon as its header is there.
pub fn first_frame(bytes: &[u8]) -> Result<Option<&[u8]>, FrameTooLong> {
    let Some((header, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    Ok(rest.get(..frame_len(*header)?))
}

/// Cuts a stream into frames. Whole frames are handed on where they lie; only one that is cut by the end of a read is
/// kept until the rest of it comes.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    /// The beginning of a frame with its header; at most that of one frame.
    partial: Vec<u8>,
}

impl FrameDecoder {
    /// Hands each frame that `input` completes to `handle`, in order. Empty ones are left out: RFC 4571 §2 has them as
    /// null packets.
    ///
    /// # Errors
    /// [`FrameTooLong`] after the frames before it were handed on; the stream is of no use any more.
    pub fn decode(&mut self, input: &mut [u8], mut handle: impl FnMut(&mut [u8])) -> Result<(), FrameTooLong> {
        let mut input = self.complete_partial(input, &mut handle)?;
        while let Some(header) = input.first_chunk() {
            let whole = FRAME_HEADER_BYTES + frame_len(*header)?;
            if input.len() < whole {
                break;
            }
            let (frame, rest) = std::mem::take(&mut input).split_at_mut(whole);
            if let Some(frame) = frame.get_mut(FRAME_HEADER_BYTES..).filter(|frame| !frame.is_empty()) {
                handle(frame);
            }
            input = rest;
        }
        self.partial.extend_from_slice(input);
        Ok(())
    }

    /// Answers what is left of `input`.
    fn complete_partial<'a>(
        &mut self,
        mut input: &'a mut [u8],
        handle: &mut impl FnMut(&mut [u8]),
    ) -> Result<&'a mut [u8], FrameTooLong> {
        if self.partial.is_empty() {
            return Ok(input);
        }
        input = self.take_up_to(FRAME_HEADER_BYTES, input);
        let Some(header) = self.partial.first_chunk() else { return Ok(input) };
        let whole = FRAME_HEADER_BYTES + frame_len(*header)?;
        input = self.take_up_to(whole, input);
        if self.partial.len() == whole {
            if let Some(frame) = self.partial.get_mut(FRAME_HEADER_BYTES..).filter(|frame| !frame.is_empty()) {
                handle(frame);
            }
            self.partial.clear();
        }
        Ok(input)
    }

    /// Fills the partial frame up to `len` bytes.
    fn take_up_to<'a>(&mut self, len: usize, input: &'a mut [u8]) -> &'a mut [u8] {
        let missing = len.saturating_sub(self.partial.len()).min(input.len());
        let (taken, rest) = input.split_at_mut(missing);
        self.partial.extend_from_slice(taken);
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(frames: &[&[u8]]) -> Vec<u8> {
        frames.iter().flat_map(|frame| (frame.len() as u16).to_be_bytes().into_iter().chain(frame.to_vec())).collect()
    }

    fn decode(pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, FrameTooLong> {
        let (mut decoder, mut frames) = (FrameDecoder::default(), Vec::new());
        for piece in pieces {
            decoder.decode(&mut piece.to_vec(), |frame| frames.push(frame.to_vec()))?;
        }
        Ok(frames)
    }

    #[test]
    fn a_stream_may_be_cut_at_any_two_bytes() {
        let frames: [&[u8]; 4] = [b"a", b"second frame", &[7; 300], b"z"];
        let bytes = stream(&frames);
        for first in 0..=bytes.len() {
            for second in [first, first + 1, first + 2, bytes.len()] {
                let second = second.min(bytes.len());
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(decode(&pieces).unwrap(), frames, "cut at {first} and {second}");
            }
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(&single).unwrap(), frames);
    }

    #[test]
    fn a_null_packet_is_left_out() {
        let bytes = stream(&[b"", b"one", b"", b"", b"two", b""]);
        for at in 0..=bytes.len() {
            assert_eq!(decode(&[&bytes[..at], &bytes[at..]]).unwrap(), [b"one", b"two"]);
        }
    }

    #[test]
    fn a_frame_too_long_ends_the_stream_after_those_before_it() {
        let mut bytes = stream(&[b"one", &[0; MAX_FRAME_BYTES]]);
        bytes.extend(((MAX_FRAME_BYTES + 1) as u16).to_be_bytes());
        for at in 0..=bytes.len() {
            let (mut decoder, mut frames) = (FrameDecoder::default(), 0);
            let mut results = Vec::new();
            for piece in [&bytes[..at], &bytes[at..]] {
                results.push(decoder.decode(&mut piece.to_vec(), |_| frames += 1));
            }
            assert!(results.contains(&Err(FrameTooLong { len: MAX_FRAME_BYTES + 1 })), "cut at {at}");
            assert_eq!(frames, 2);
        }
    }

    #[test]
    fn only_frames_that_can_be_read_again_get_a_header() {
        assert_eq!(frame_header(0), None);
        assert_eq!(frame_header(MAX_FRAME_BYTES + 1), None);
        assert_eq!(frame_header(0x10000 + 5), None);
        assert_eq!(frame_header(0x0123), Some([1, 0x23]));
        assert_eq!(first_frame(&[0, 3, 1, 2]), Ok(None));
        assert_eq!(first_frame(&[0, 2, 1, 2, 3]), Ok(Some(&[1, 2][..])));
        assert_eq!(first_frame(&[0xff, 0xff]), Err(FrameTooLong { len: 0xffff }));
    }
}
