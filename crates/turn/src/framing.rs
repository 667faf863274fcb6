//! STUN and ChannelData messages in a stream (RFC 8656 §3.1, §12.5): each tells its length, neither has a frame around.

use crate::channel_data::CHANNELS;

/// Longest message taken from a stream. Media and DTLS stay below 1500 bytes, requests below 1000.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4096;

/// A stream that carries neither; there is no way to find the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// The first bytes of a message belong to neither.
    #[error("neither STUN nor ChannelData")]
    UnknownProtocol,
    /// A message above the limit.
    #[error("a message of more than {MAX_MESSAGE_BYTES} bytes")]
    TooLong,
}

/// Cuts a stream into messages. Holds at most one read beyond one message.
#[derive(Debug, Default)]
pub struct StreamDecoder {
    buffer: Vec<u8>,
    /// Bytes at the start of the buffer that were handed out.
    taken: usize,
}

impl StreamDecoder {
    /// A decoder that has read `already_read` before.
    #[must_use]
    pub fn new(already_read: Vec<u8>) -> Self {
        Self { buffer: already_read, taken: 0 }
    }

    /// Space to read into behind what waits. Call once [`next_message`](Self::next_message) has nothing more.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        &mut self.buffer
    }

    /// The next whole message without its padding; `Ok(None)` when more has to be read.
    ///
    /// # Errors
    /// [`FramingError`], after which the stream is of no use.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, FramingError> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let Some(&[t0, t1, l0, l1]) = rest.first_chunk() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let message = match u16::from_be_bytes([t0, t1]) {
            kind if kind & 0xc000 == 0 => 20 + length,
            channel if CHANNELS.contains(&channel) => 4 + length,
            _ => return Err(FramingError::UnknownProtocol),
        };
        if message > MAX_MESSAGE_BYTES {
            return Err(FramingError::TooLong);
        }
        let padded = message.next_multiple_of(4);
        if rest.len() < padded {
            return Ok(None);
        }
        let start = self.taken;
        self.taken += padded;
        Ok(self.buffer.get(start..start + message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, FramingError> {
        let mut decoder = StreamDecoder::default();
        let mut out = Vec::new();
        for piece in pieces {
            decoder.buffer().extend_from_slice(piece);
            while let Some(message) = decoder.next_message()? {
                out.push(message.to_vec());
            }
        }
        Ok(out)
    }

    fn stream() -> Vec<u8> {
        let mut bytes = vec![0x00, 0x01, 0x00, 0x04];
        bytes.extend([9; 20]);
        bytes.extend([0x40, 0x01, 0x00, 0x05, 1, 2, 3, 4, 5, 0, 0, 0]);
        bytes.extend([0x40, 0x02, 0x00, 0x00]);
        bytes
    }

    #[test]
    fn messages_come_out_whole_wherever_the_stream_is_cut() {
        let all = stream();
        let whole = messages(&[&all]).unwrap();
        assert_eq!(whole.iter().map(Vec::len).collect::<Vec<_>>(), [24, 9, 4]);
        for cut in 0..all.len() {
            let (first, second) = all.split_at(cut);
            assert_eq!(messages(&[first, second]).unwrap(), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = all.chunks(1).collect();
        assert_eq!(messages(&bytes).unwrap(), whole);
    }

    #[test]
    fn what_is_neither_ends_the_stream() {
        assert_eq!(messages(&[b"GET / HTTP/1.1\r\n"]), Err(FramingError::TooLong), "a channel number by chance");
        assert_eq!(messages(&[&[0x80, 0, 0, 0]]), Err(FramingError::UnknownProtocol));
        assert_eq!(messages(&[&[0x7f, 0xff, 0, 0]]), Err(FramingError::UnknownProtocol));
        assert_eq!(messages(&[&[0x40, 0, 0xff, 0xff]]), Err(FramingError::TooLong));
        assert_eq!(messages(&[&[0x00, 1, 0x10, 0x00]]), Err(FramingError::TooLong));
    }
}
