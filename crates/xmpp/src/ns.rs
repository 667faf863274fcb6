//! All XML namespaces of the project, one constant each.

/// Stanzas of a client's stream (RFC 6120 §4.8.3).
pub const CLIENT: &str = "jabber:client";
/// The stream's own elements, always written with the prefix `stream` (RFC 6120 §4.8.1).
pub const STREAMS: &str = "http://etherx.jabber.org/streams";
/// Conditions of stream errors (RFC 6120 §4.9).
pub const XMPP_STREAMS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Conditions of stanza errors (RFC 6120 §8.3).
pub const XMPP_STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// `open` and `close` of a WebSocket stream (RFC 7395 §3.3).
pub const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
/// Stanzas of a component's stream (XEP-0114).
pub const COMPONENT_ACCEPT: &str = "jabber:component:accept";
/// Encryption of a stream (RFC 6120 §5).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// Bodies of streams over HTTP requests (XEP-0124).
pub const HTTP_BIND: &str = "http://jabber.org/protocol/httpbind";
/// Streams of XMPP over HTTP requests (XEP-0206).
pub const XBOSH: &str = "urn:xmpp:xbosh";
/// Which channel bindings a server can check (XEP-0440).
pub const CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";
/// SASL negotiation (RFC 6120 §6).
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Resource binding (RFC 6120 §7).
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// Stream management (XEP-0198).
pub const SM: &str = "urn:xmpp:sm:3";
/// Contacts (RFC 6121 §2).
pub const ROSTER: &str = "jabber:iq:roster";
/// Ping (XEP-0199).
pub const PING: &str = "urn:xmpp:ping";
/// Service discovery, information (XEP-0030).
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Service discovery, items (XEP-0030).
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// Entity capabilities (XEP-0115).
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// External services such as TURN (XEP-0215).
pub const EXTDISCO: &str = "urn:xmpp:extdisco:2";
/// Data forms (XEP-0004).
pub const DATA_FORMS: &str = "jabber:x:data";
/// Multi-user chat, what a joining occupant sends (XEP-0045).
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// Multi-user chat, what the room says of an occupant (XEP-0045).
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// Multi-user chat, administration (XEP-0045 §9).
pub const MUC_ADMIN: &str = "http://jabber.org/protocol/muc#admin";
/// Multi-user chat, ownership and configuration (XEP-0045 §10).
pub const MUC_OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// Stable stanza ids (XEP-0359).
pub const STANZA_ID: &str = "urn:xmpp:sid:0";
/// Delayed delivery (XEP-0203).
pub const DELAY: &str = "urn:xmpp:delay";
/// Message replies (XEP-0461).
pub const REPLY: &str = "urn:xmpp:reply:0";
/// User nickname (XEP-0172), the display name of a participant.
pub const NICK: &str = "http://jabber.org/protocol/nick";
/// Message retraction (XEP-0424).
pub const RETRACT: &str = "urn:xmpp:message-retract:1";
/// Moderated message retraction (XEP-0425).
pub const MODERATE: &str = "urn:xmpp:message-moderate:1";
/// Message fastening (XEP-0422), which says what a moderation is about.
pub const FASTEN: &str = "urn:xmpp:fasten:0";
/// Last message correction (XEP-0308).
pub const CORRECT: &str = "urn:xmpp:message-correct:0";
/// Message processing hints (XEP-0334).
pub const HINTS: &str = "urn:xmpp:hints";
/// Software version (XEP-0092).
pub const VERSION: &str = "jabber:iq:version";
/// Jingle (XEP-0166).
pub const JINGLE: &str = "urn:xmpp:jingle:1";
/// Jingle errors (XEP-0166 §10).
pub const JINGLE_ERRORS: &str = "urn:xmpp:jingle:errors:1";
/// Jingle RTP sessions (XEP-0167).
pub const JINGLE_RTP: &str = "urn:xmpp:jingle:apps:rtp:1";
/// RTP feedback negotiation (XEP-0293).
pub const JINGLE_RTCP_FB: &str = "urn:xmpp:jingle:apps:rtp:rtcp-fb:0";
/// RTP header extensions (XEP-0294).
pub const JINGLE_RTP_HDREXT: &str = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0";
/// Source-specific media attributes (XEP-0339).
pub const JINGLE_SSMA: &str = "urn:xmpp:jingle:apps:rtp:ssma:0";
/// Grouping of contents (XEP-0338).
pub const JINGLE_GROUPING: &str = "urn:xmpp:jingle:apps:grouping:0";
/// ICE over UDP transport (XEP-0176).
pub const JINGLE_ICE_UDP: &str = "urn:xmpp:jingle:transports:ice-udp:1";
/// DTLS-SRTP fingerprints (XEP-0320).
pub const JINGLE_DTLS: &str = "urn:xmpp:jingle:apps:dtls:0";
/// SCTP over DTLS (XEP-0343).
pub const JINGLE_DTLS_SCTP: &str = "urn:xmpp:jingle:transports:dtls-sctp:1";
/// Jitsi: Colibri2, the control of a bridge.
pub const COLIBRI2: &str = "jitsi:colibri2";
/// Jitsi: Colibri, of which `stats` and `web-socket` are still in use.
pub const COLIBRI: &str = "http://jitsi.org/protocol/colibri";
/// Jitsi: health of a bridge.
pub const HEALTHCHECK: &str = "http://jitsi.org/protocol/healthcheck";
/// Jitsi: conference requests, bridge sessions and the presence of the focus.
pub const FOCUS: &str = "http://jitsi.org/protocol/focus";
/// Jitsi: JSON messages, source owners and most things of the web app.
pub const JITMEET: &str = "http://jitsi.org/jitmeet";
/// Jitsi: the name of who sent a message of the past.
pub const DISPLAY_NAME: &str = "http://jitsi.org/protocol/display-name";
/// Jitsi: recording and streaming by Jibri.
pub const JIBRI: &str = "http://jitsi.org/protocol/jibri";
/// Jitsi: the state of a call over SIP that Jibri makes.
pub const JIBRI_CALL_STATE: &str = "http://jitsi.org/protocol/jibri/call_state";
/// Jitsi: who had a call made.
pub const JIGASI: &str = "http://jitsi.org/protocol/jigasi";
/// Rayo, calls to telephones (XEP-0327).
pub const RAYO: &str = "urn:xmpp:rayo:1";
/// Jitsi: start-muted policy in an offer.
pub const START_MUTED: &str = "http://jitsi.org/jitmeet/start-muted";
/// Jitsi: the shared document of a room.
pub const ETHERPAD: &str = "http://jitsi.org/jitmeet/etherpad";
/// Jitsi: a moderator mutes audio.
pub const MUTE_AUDIO: &str = "http://jitsi.org/jitmeet/audio";
/// Jitsi: a moderator mutes a camera.
pub const MUTE_VIDEO: &str = "http://jitsi.org/jitmeet/video";
/// Jitsi: a moderator mutes a screen share.
pub const MUTE_DESKTOP: &str = "http://jitsi.org/jitmeet/desktop";
/// Jitsi: visitors of large conferences.
pub const VISITORS: &str = "jitsi:visitors";
