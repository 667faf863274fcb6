//! Writes SDP.

use std::fmt::{Display, Formatter, Result};

use xmpp::jingle::{Candidate, IceTransport, PayloadTypeDescription, RtpMedia};

use super::{Section, SessionDescription};

impl Display for SessionDescription {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write!(out, "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n")?;
        if self.is_ice_lite {
            write!(out, "a=ice-lite\r\n")?;
        }
        write!(out, "a=group:BUNDLE")?;
        for section in self.sections.iter().filter(|section| !section.is_rejected) {
            write!(out, " {}", section.mid)?;
        }
        write!(out, "\r\n")?;
        self.sections.iter().try_for_each(|section| write_section(out, section, self))
    }
}

fn write_section(out: &mut Formatter<'_>, section: &Section, session: &SessionDescription) -> Result {
    let description = &section.description;
    let port = if section.is_rejected { 0 } else { 9 };
    write!(out, "m={} {port} ", description.media.as_str())?;
    if description.media == RtpMedia::Application {
        write!(out, "UDP/DTLS/SCTP webrtc-datachannel")?;
    } else {
        write!(out, "UDP/TLS/RTP/SAVPF")?;
        description.payload_types.iter().try_for_each(|codec| write!(out, " {}", codec.id.get()))?;
    }
    write!(out, "\r\nc=IN IP4 0.0.0.0\r\na=mid:{}\r\n", section.mid)?;
    write_transport(out, &session.transport)?;
    if description.media == RtpMedia::Application {
        return write!(out, "a=sctp-port:5000\r\n");
    }
    write!(out, "a=rtcp-mux\r\na={}\r\n", section.direction.as_str())?;
    if session.takes_reduced_size {
        write!(out, "a=rtcp-rsize\r\n")?;
    }
    if let Some(msid) = &section.msid {
        write!(out, "a=msid:{msid}\r\n")?;
    }
    description.payload_types.iter().try_for_each(|codec| write_codec(out, codec))?;
    for extension in &description.header_extensions {
        write!(out, "a=extmap:{} {}\r\n", extension.id, extension.uri)?;
    }
    for rid in section.rids {
        write!(out, "a=rid:{rid} send\r\n")?;
    }
    if !section.rids.is_empty() {
        write!(out, "a=simulcast:send {}\r\n", section.rids.join(";"))?;
    }
    for group in &description.groups {
        write!(out, "a=ssrc-group:{}", group.semantics.as_str())?;
        group.ssrcs.iter().try_for_each(|ssrc| write!(out, " {ssrc}"))?;
        write!(out, "\r\n")?;
    }
    for source in &description.sources {
        write!(out, "a=ssrc:{} cname:load\r\n", source.ssrc)?;
        if let Some(msid) = &source.msid {
            write!(out, "a=ssrc:{} msid:{msid}\r\n", source.ssrc)?;
        }
    }
    Ok(())
}

fn write_transport(out: &mut Formatter<'_>, transport: &IceTransport) -> Result {
    let credentials = [("ice-ufrag", &transport.ufrag), ("ice-pwd", &transport.pwd)];
    for (name, value) in credentials {
        if let Some(value) = value {
            write!(out, "a={name}:{value}\r\n")?;
        }
    }
    for fingerprint in &transport.fingerprints {
        write!(out, "a=fingerprint:{} {}\r\n", fingerprint.hash, fingerprint.value)?;
        if let Some(setup) = fingerprint.setup {
            write!(out, "a=setup:{}\r\n", setup.as_str())?;
        }
    }
    for Candidate { foundation, component, protocol, priority, ip, port, candidate_type, .. } in &transport.candidates {
        write!(out, "a=candidate:{foundation} {component} {protocol} {priority} {ip} {port} typ {candidate_type}\r\n")?;
    }
    if transport.candidates.is_empty() { Ok(()) } else { write!(out, "a=end-of-candidates\r\n") }
}

fn write_codec(out: &mut Formatter<'_>, codec: &PayloadTypeDescription) -> Result {
    let id = codec.id.get();
    write!(out, "a=rtpmap:{id} {}/{}", codec.name, codec.clock_rate)?;
    if let Some(channels) = codec.channels {
        write!(out, "/{channels}")?;
    }
    write!(out, "\r\n")?;
    for feedback in &codec.feedback {
        let subtype = feedback.subtype.as_ref().map(|subtype| format!(" {subtype}")).unwrap_or_default();
        write!(out, "a=rtcp-fb:{id} {}{subtype}\r\n", feedback.feedback_type)?;
    }
    if !codec.parameters.is_empty() {
        let parameters = codec.parameters.iter().map(|(name, value)| match value.as_str() {
            "" => name.clone(),
            value => format!("{name}={value}"),
        });
        write!(out, "a=fmtp:{id} {}\r\n", parameters.collect::<Vec<_>>().join(";"))?;
    }
    Ok(())
}
