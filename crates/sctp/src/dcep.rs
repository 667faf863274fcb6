//! Data Channel Establishment Protocol: OPEN and ACK (RFC 8832 §5).

use crate::DcepError;

/// A message with PPID 50.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DcepMessage {
    /// DATA_CHANNEL_OPEN.
    Open(DcepOpen),
    /// DATA_CHANNEL_ACK.
    Ack,
}

/// DATA_CHANNEL_OPEN (RFC 8832 §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DcepOpen {
    /// Order and reliability.
    pub channel_type: ChannelType,
    /// Retransmissions or milliseconds, by the channel type; 0 for a reliable one.
    pub reliability: u32,
    /// Of the sending side; nothing here uses it.
    pub priority: u16,
    /// The name of the channel, `JVB data channel` in Jitsi.
    pub label: String,
    /// A protocol name, `http://jitsi.org/protocols/colibri` in Jitsi.
    pub protocol: String,
}

/// Order and reliability of a channel (RFC 8832 §8.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelType {
    /// In order, all.
    Reliable,
    /// As they come, all.
    ReliableUnordered,
    /// In order, a number of retransmissions.
    PartialReliableRexmit,
    /// As they come, a number of retransmissions.
    PartialReliableRexmitUnordered,
    /// In order, for some time.
    PartialReliableTimed,
    /// As they come, for some time.
    PartialReliableTimedUnordered,
}

impl ChannelType {
    const ALL: [(u8, Self); 6] = [
        (0x00, Self::Reliable),
        (0x80, Self::ReliableUnordered),
        (0x01, Self::PartialReliableRexmit),
        (0x81, Self::PartialReliableRexmitUnordered),
        (0x02, Self::PartialReliableTimed),
        (0x82, Self::PartialReliableTimedUnordered),
    ];

    fn from_wire(wire: u8) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(value, kind)| (value == wire).then_some(kind))
    }

    fn wire(self) -> u8 {
        Self::ALL.into_iter().find_map(|(value, kind)| (kind == self).then_some(value)).unwrap_or_default()
    }
}

/// Parses a whole DCEP message.
///
/// # Errors
/// [`DcepError`] by what is wrong.
pub fn parse_dcep(message: &[u8]) -> Result<DcepMessage, DcepError> {
    let (&message_type, rest) = message.split_first().ok_or(DcepError::Length)?;
    match message_type {
        // RFC 8832 §5.2: the ACK is its type alone.
        ACK if rest.is_empty() => Ok(DcepMessage::Ack),
        ACK => Err(DcepError::Length),
        OPEN => parse_open(rest).map(DcepMessage::Open),
        other => Err(DcepError::MessageType(other)),
    }
}

fn parse_open(rest: &[u8]) -> Result<DcepOpen, DcepError> {
    let (&[kind, p0, p1, r0, r1, r2, r3, l0, l1, n0, n1], rest) = rest.split_first_chunk().ok_or(DcepError::Length)?;
    let channel_type = ChannelType::from_wire(kind).ok_or(DcepError::ChannelType(kind))?;
    let (label_len, protocol_len) = (u16::from_be_bytes([l0, l1]), u16::from_be_bytes([n0, n1]));
    let (label, rest) = rest.split_at_checked(usize::from(label_len)).ok_or(DcepError::Length)?;
    if rest.len() != usize::from(protocol_len) {
        return Err(DcepError::Length);
    }
    Ok(DcepOpen {
        channel_type,
        reliability: u32::from_be_bytes([r0, r1, r2, r3]),
        priority: u16::from_be_bytes([p0, p1]),
        label: name(label)?,
        protocol: name(rest)?,
    })
}

fn name(bytes: &[u8]) -> Result<String, DcepError> {
    let error = DcepError::Name { limit: MAX_NAME_LEN };
    if bytes.len() > MAX_NAME_LEN {
        return Err(error);
    }
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| error)
}

impl DcepMessage {
    /// The bytes on the wire. Label and protocol are cut to what [`parse_dcep`] takes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let open = match self {
            Self::Ack => return vec![ACK],
            Self::Open(open) => open,
        };
        let (label, protocol) = (cut(&open.label), cut(&open.protocol));
        let mut bytes = vec![OPEN, open.channel_type.wire()];
        bytes.extend_from_slice(&open.priority.to_be_bytes());
        bytes.extend_from_slice(&open.reliability.to_be_bytes());
        for name in [label, protocol] {
            // MAX_NAME_LEN fits.
            bytes.extend_from_slice(&u16::try_from(name.len()).unwrap_or_default().to_be_bytes());
        }
        bytes.extend_from_slice(label.as_bytes());
        bytes.extend_from_slice(protocol.as_bytes());
        bytes
    }
}

fn cut(name: &str) -> &str {
    name.get(..name.floor_char_boundary(MAX_NAME_LEN)).unwrap_or_default()
}

const ACK: u8 = 0x02;
const OPEN: u8 = 0x03;

/// Longest label and longest protocol; Jitsi's have less than 40 bytes.
const MAX_NAME_LEN: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn jitsi_open() -> DcepOpen {
        DcepOpen {
            channel_type: ChannelType::Reliable,
            reliability: 0,
            priority: 256,
            label: "JVB data channel".into(),
            protocol: "http://jitsi.org/protocols/colibri".into(),
        }
    }

    #[test]
    fn open_of_a_browser_is_read() {
        let mut bytes = vec![3, 0, 1, 0, 0, 0, 0, 0, 0, 16, 0, 34];
        bytes.extend_from_slice(b"JVB data channelhttp://jitsi.org/protocols/colibri");
        assert_eq!(parse_dcep(&bytes), Ok(DcepMessage::Open(jitsi_open())));
        assert_eq!(DcepMessage::Open(jitsi_open()).to_bytes(), bytes);
    }

    #[test]
    fn every_channel_type_survives_a_round_trip() {
        for (_, channel_type) in ChannelType::ALL {
            let open = DcepMessage::Open(DcepOpen { channel_type, reliability: 0x0102_0304, ..jitsi_open() });
            assert_eq!(parse_dcep(&open.to_bytes()), Ok(open));
        }
        assert_eq!(parse_dcep(&DcepMessage::Ack.to_bytes()), Ok(DcepMessage::Ack));
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let good = DcepMessage::Open(jitsi_open()).to_bytes();
        for len in 0..good.len() {
            assert_eq!(parse_dcep(&good[..len]), Err(DcepError::Length), "cut to {len}");
        }
        assert_eq!(parse_dcep(&[&good[..], &[0]].concat()), Err(DcepError::Length));
        assert_eq!(parse_dcep(&[ACK, 0]), Err(DcepError::Length));
    }

    #[test]
    fn unknown_types_and_bad_names_are_refused() {
        assert_eq!(parse_dcep(&[0x00]), Err(DcepError::MessageType(0)));
        let mut kind = DcepMessage::Open(jitsi_open()).to_bytes();
        kind[1] = 0x03;
        assert_eq!(parse_dcep(&kind), Err(DcepError::ChannelType(3)));
        let mut utf8 = DcepMessage::Open(jitsi_open()).to_bytes();
        utf8[12] = 0xff;
        assert_eq!(parse_dcep(&utf8), Err(DcepError::Name { limit: MAX_NAME_LEN }));
        let long = DcepMessage::Open(DcepOpen { label: "é".repeat(MAX_NAME_LEN), ..jitsi_open() });
        assert!(parse_dcep(&long.to_bytes()).is_ok(), "a name of ours is cut between characters");
    }
}
