//! Counts of media packets and frames.

use std::fmt;
use std::ops::AddAssign;

/// What a source shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MediaKind {
    /// A microphone.
    Audio,
    /// A camera.
    Camera,
    /// A shared screen.
    Screen,
}

impl MediaKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Audio, Self::Camera, Self::Screen];

    /// Name in metrics and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Camera => "camera",
            Self::Screen => "screen",
        }
    }
}

/// As a person reads it in a table.
impl fmt::Display for MediaKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Audio => "Audio",
            Self::Camera => "Camera",
            Self::Screen => "Screen",
        })
    }
}

/// Defines the counters once: fields and their sum.
macro_rules! media_counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What was sent and received. Bytes are those of RTP packets without UDP, IP and the SRTP tag.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct MediaCounts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl AddAssign for MediaCounts {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl MediaCounts {
            /// All counters with their names, in order.
            #[must_use]
            pub const fn fields(&self) -> [(&'static str, u64); [$(stringify!($name)),*].len()] {
                [$((stringify!($name), self.$name)),*]
            }
        }
    };
}

media_counts! {
    /// Packets sent for the first time.
    sent_packets,
    /// Their bytes.
    sent_bytes,
    /// Packets sent again as an answer to a NACK.
    retransmitted_packets,
    /// Captures that were left out because the load generator was too late: it has too little CPU.
    skipped_captures,
    /// Packets that arrived, whether for the first time or as RTX.
    received_packets,
    /// Their bytes.
    received_bytes,
    /// Packets that should have arrived, by their sequence numbers.
    expected_packets,
    /// Of these, not arrived at first.
    lost_packets,
    /// Of these, recovered by RTX.
    recovered_packets,
    /// Of the lost ones, never recovered in time.
    unrecoverable_packets,
    /// Packets that arrived more than once without having been asked for.
    duplicated_packets,
    /// Packets that arrived behind a later one.
    reordered_packets,
    /// Frames that a client could decode; of audio, packets played.
    frames,
    /// Frames given up because a packet is missing.
    undecodable_incomplete,
    /// Frames whose reference is missing.
    undecodable_reference,
    /// Frames that came too late.
    undecodable_late,
    /// PLI and FIR sent to the server.
    key_frame_requests_sent,
    /// PLI and FIR received from the server.
    key_frame_requests_received,
    /// NACK messages sent to the server.
    nacks_sent,
    /// NACK messages received from the server.
    nacks_received,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_stands_where_its_number_says() {
        for (number, kind) in MediaKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number, "{kind}");
        }
    }

    #[test]
    fn all_counters_are_added_and_named() {
        let mut counts = MediaCounts { sent_packets: 1, nacks_received: 2, ..MediaCounts::default() };
        counts += counts;
        assert_eq!((counts.sent_packets, counts.nacks_received), (2, 4));
        assert_eq!(counts.fields().first(), Some(&("sent_packets", 2)));
        assert_eq!(counts.fields().last(), Some(&("nacks_received", 4)));
    }
}
