//! Numbers of the RTP header and of its extensions, on the wire and extended.

use std::fmt;

/// Synchronization source: names one RTP stream in a session (RFC 3550 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// RTP payload type: 7 bits on the wire (RFC 3550 §5.1), given its meaning per session by Jingle (XEP-0167).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadType(u8);

/// A payload type of 128 or above does not fit the 7 bits of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("payload type {0} is not in 0..=127")]
pub struct PayloadTypeOutOfRange(pub u8);

impl PayloadType {
    /// The payload type in the low 7 bits of `byte`, as the second byte of an RTP header has it beside the marker.
    #[must_use]
    pub const fn from_low_bits(byte: u8) -> Self {
        Self(byte & 0x7f)
    }

    /// The number, 0..=127.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for PayloadType {
    type Error = PayloadTypeOutOfRange;

    fn try_from(value: u8) -> Result<Self, PayloadTypeOutOfRange> {
        if value < 128 { Ok(Self(value)) } else { Err(PayloadTypeOutOfRange(value)) }
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// RTP sequence number as on the wire, 16 bits (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeqNum(pub u16);

/// RTP sequence number without wrap: low 16 bits are the wire's, the rest is the roll-over counter (RFC 3711 §3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtSeqNum(pub u64);

impl ExtSeqNum {
    /// Extends a wire number by the roll-over nearest to the highest seen (RFC 3711 §3.3.1). Low 16 bits equal `wire`.
    /// Where the nearest would lie before number 0, the next roll-over is taken. Cannot fail.
    #[must_use]
    pub fn extend(wire: SeqNum, highest: Option<ExtSeqNum>) -> Self {
        let Some(ExtSeqNum(highest)) = highest else { return Self(u64::from(wire.0)) };
        // Distance on the 16-bit circle, -32768..=32767.
        let step = i64::from(wire.0.wrapping_sub(highest as u16) as i16);
        match highest.checked_add_signed(step) {
            Some(extended) => Self(extended),
            None => Self(highest.wrapping_add_signed(step).wrapping_add(1 << 16)),
        }
    }

    /// The number as it goes on the wire.
    #[must_use]
    pub const fn wire(self) -> SeqNum {
        SeqNum(self.0 as u16)
    }

    /// The roll-over counter (ROC) of RFC 3711 §3.3.1.
    #[must_use]
    pub const fn roll_over(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// RTP timestamp in units of the codec's clock (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RtpTimestamp(pub u32);

/// Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2), one space per transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TwccSeq(pub u16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_type_keeps_seven_bits() {
        assert!(PayloadType::try_from(128).is_err());
        assert_eq!(PayloadType::from_low_bits(0xe4).get(), 0x64);
    }

    #[test]
    fn extends_to_the_nearest_roll_over() {
        let extend = |wire, highest| ExtSeqNum::extend(SeqNum(wire), highest).0;
        assert_eq!(extend(5, None), 5);
        assert_eq!(extend(2, Some(ExtSeqNum(0xffff))), 0x1_0002);
        assert_eq!(extend(0xffff, Some(ExtSeqNum(0x1_0002))), 0xffff);
        assert_eq!(extend(0xfff0, Some(ExtSeqNum(3))), 0xfff0);
    }
}
