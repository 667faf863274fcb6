//! Tells which of a peer's addresses are relays on a TURN server, where it did not signal them as such.
//!
//! Jitsi's clients signal no candidates to a bridge: it learns their addresses from their checks, as peer-reflexive
//! candidates (RFC 8445 §7.3.1.3), whose priority is what the check says. A check does not say that it came through a relay.

/// Type preference of peer-reflexive candidates over UDP (RFC 8445 §5.1.2.2), in PRIORITY of checks from such addresses.
const PEER_REFLEXIVE: u8 = 110;

/// The priority of a candidate that a check with `priority` has revealed, if it is a relay: the same with the type
/// preference of relayed candidates, 0 (RFC 8445 §5.1.2.2). `None`: no relay, or none that can be told.
///
/// COMPAT: libwebrtc (Chromium 156, Safari, Jitsi's mobile clients; webrtc:15020) gives relays more than host candidates in the
/// part of a priority that is left of it in a check, so that a bridge that goes by priority nominates the relay where
/// the direct path works. The lower byte of its local preference is the precedence of the address's range, a multiple of
/// ten up to 60, and for a relay that plus its place among the TURN servers, the last of which has 1. Where the fault is
/// mended, all but relays have 32 more. Others fill that byte with 0 (Firefox) or 255 and a little less.
pub(crate) fn relayed_priority(priority: u32) -> Option<u32> {
    let [type_preference, _, local_preference, _] = priority.to_be_bytes();
    let is_relay = matches!(local_preference, 31..60) && !local_preference.is_multiple_of(10);
    (type_preference == PEER_REFLEXIVE && is_relay).then_some(priority & 0x00ff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_of_chromium_are_known_by_their_priority() {
        // As Chromium 156 sends them, with four TURN servers.
        for (priority, relayed) in [
            (1_845_502_719, Some(0x0022ff)),
            (1_845_502_463, Some(0x0021ff)),
            (1_845_501_951, Some(0x001fff)),
            (0x6e7f_29ff, Some(0x7f29ff)),
        ] {
            assert_eq!(relayed_priority(priority), relayed, "{priority:#x}");
        }
    }

    #[test]
    fn nobody_else_is_taken_for_one() {
        for priority in [
            // Chromium's direct paths over IPv4, IPv6, unique local IPv6 and TCP; with the fault mended.
            0x6e00_1eff,
            0x6e7f_28ff,
            0x6e7f_32ff,
            0x5000_1eff,
            0x6e7f_3eff,
            0x6e7f_48ff,
            // Firefox; agents with one interface, and the tenth of a host with several.
            0x6eff_00ff,
            0x6e00_00ff,
            0x6eff_ffff,
            0x6eff_f5ff,
            // A check from a candidate that the agent takes for a host one.
            0x7e00_22ff,
        ] {
            assert_eq!(relayed_priority(priority), None, "{priority:#x}");
        }
    }
}
