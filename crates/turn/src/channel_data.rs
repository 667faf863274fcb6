//! ChannelData messages (RFC 8656 §12.4): four bytes before the data instead of a STUN message around it.

/// Channel number and length.
pub(crate) const HEADER_BYTES: usize = 4;
/// The numbers that clients may bind.
///
/// COMPAT: RFC 8656 §12 ends the range at 0x4fff, so that clients can tell channels from RTP on one socket, which is no
/// matter of this server. Clients of RFC 5766 go on to 0x7ffe; turnutils_uclient of coturn 4.6 takes any of these.
pub(crate) const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7ffe;

/// A channel, named by its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ChannelNumber(u16);

impl ChannelNumber {
    /// From the value of CHANNEL-NUMBER (RFC 8656 §18.1); `None` outside of the range.
    pub(crate) fn from_attribute(value: &[u8]) -> Option<Self> {
        let &[high, low, _, _] = value else { return None };
        Self::new(u16::from_be_bytes([high, low]))
    }

    pub(crate) fn new(number: u16) -> Option<Self> {
        CHANNELS.contains(&number).then_some(Self(number))
    }
}

/// Channel and data of a message; bytes after the data are padding. `None` when it is none.
pub(crate) fn parse(bytes: &[u8]) -> Option<(ChannelNumber, &[u8])> {
    let (&[n0, n1, l0, l1], rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let channel = ChannelNumber::new(u16::from_be_bytes([n0, n1]))?;
    Some((channel, rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?))
}

/// The message with `data` on `channel`, padded to four bytes where a stream carries it (RFC 8656 §12.5). `None` for
/// data that is too long for the length field.
pub(crate) fn write(channel: ChannelNumber, data: &[u8], is_stream: bool) -> Option<Vec<u8>> {
    let length = u16::try_from(data.len()).ok()?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + data.len().next_multiple_of(4));
    bytes.extend(channel.0.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(data);
    if is_stream {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_reads_as_written() {
        let channel = ChannelNumber::new(0x4001).unwrap();
        for (data, is_stream, len) in [(&b"hello"[..], false, 9), (b"hello", true, 12), (b"", true, 4)] {
            let bytes = write(channel, data, is_stream).unwrap();
            assert_eq!(bytes.len(), len);
            assert_eq!(parse(&bytes), Some((channel, data)));
        }
    }

    #[test]
    fn a_length_beyond_the_message_is_refused() {
        assert_eq!(parse(&[0x40, 0, 0, 1]), None);
        assert_eq!(parse(&[0x40, 0, 0xff, 0xff, 1, 2]), None);
        assert_eq!(parse(&[0x40, 0, 0]), None);
    }

    #[test]
    fn numbers_outside_of_the_range_are_no_channel() {
        for number in [0, 0x3fff, 0x7fff, 0x8000, 0xffff] {
            assert_eq!(ChannelNumber::new(number), None, "{number:#x}");
        }
    }
}
