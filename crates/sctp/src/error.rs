//! Errors of this crate.

/// Why a message was not taken for sending, or a channel not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SctpError {
    /// No data channel is open.
    #[error("data channel is not open")]
    NotOpen,
    /// A data channel is open or being opened, and there is only one.
    #[error("data channel exists already")]
    AlreadyOpen,
    /// The message is longer than a peer takes.
    #[error("message of {len} bytes is longer than {limit}")]
    MessageTooLong {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The peer does not read as fast as messages come.
    #[error("send queue of the data channel is full")]
    QueueFull,
    /// The association cannot be used; the text is the library's.
    #[error("SCTP failed: {0}")]
    Protocol(String),
}

/// Why a DCEP message does not parse (RFC 8832 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DcepError {
    /// Shorter or longer than its own length fields say.
    #[error("DCEP message is truncated or has trailing bytes")]
    Length,
    /// Neither OPEN nor ACK.
    #[error("DCEP message type {0:#04x} is unknown")]
    MessageType(u8),
    /// A channel type that RFC 8832 §8.2.2 does not define.
    #[error("DCEP channel type {0:#04x} is unknown")]
    ChannelType(u8),
    /// Label or protocol is no UTF-8 or longer than kept.
    #[error("DCEP label or protocol is not UTF-8 of at most {limit} bytes")]
    Name {
        /// The limit.
        limit: usize,
    },
}
