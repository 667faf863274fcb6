//! Source description (RFC 3550 §6.5): we name our streams, and read nobody's names.

use model::Ssrc;

use super::{packet_type, write_packet};

const CNAME: u8 = 1;

/// Appends a description of one stream with its canonical name, cut to the 255 bytes that fit (RFC 3550 §6.5.1).
pub fn write_sdes_cname(out: &mut Vec<u8>, ssrc: Ssrc, cname: &str) {
    let cname = cname.get(..cname.floor_char_boundary(255)).unwrap_or_default();
    write_packet(out, 1, packet_type::SOURCE_DESCRIPTION, |out| {
        out.extend_from_slice(&ssrc.0.to_be_bytes());
        out.extend_from_slice(&[CNAME, cname.len() as u8]);
        out.extend_from_slice(cname.as_bytes());
        // RFC 3550 §6.5: a list of items ends with at least one zero byte; `write_packet` fills the word.
        out.push(0);
    });
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, RtcpPacket};
    use super::*;

    #[test]
    fn the_list_of_items_always_ends_with_a_zero() {
        for (cname, len) in [("ab", 16), ("a", 12), ("", 12), ("abcdef", 20)] {
            let mut out = Vec::new();
            write_sdes_cname(&mut out, Ssrc(1), cname);
            assert_eq!(out.len(), len, "{cname}");
            assert_eq!(out.last(), Some(&0));
            assert!(matches!(Compound::new(&out).next(), Some(Ok(RtcpPacket::SourceDescription))));
        }
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        let mut out = Vec::new();
        write_sdes_cname(&mut out, Ssrc(1), &"é".repeat(200));
        assert_eq!(out[9], 254);
    }
}
