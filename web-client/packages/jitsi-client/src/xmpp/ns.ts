/** All XML namespaces which this client writes or compares, under the name of the document that defines them. */
export const NS = {
  CLIENT: 'jabber:client', // RFC 6120
  STANZAS: 'urn:ietf:params:xml:ns:xmpp-stanzas', // RFC 6120 §8.3.3
  DISCO_INFO: 'http://jabber.org/protocol/disco#info', // XEP-0030
  CAPS: 'http://jabber.org/protocol/caps', // XEP-0115
  NICK: 'http://jabber.org/protocol/nick', // XEP-0172
  PING: 'urn:xmpp:ping', // XEP-0199
  DELAY: 'urn:xmpp:delay', // XEP-0203
  EXTDISCO: 'urn:xmpp:extdisco:2', // XEP-0215
  MUC: 'http://jabber.org/protocol/muc', // XEP-0045
  MUC_USER: 'http://jabber.org/protocol/muc#user',
  JINGLE: 'urn:xmpp:jingle:1', // XEP-0166
  JINGLE_ERRORS: 'urn:xmpp:jingle:errors:1',
  RTP: 'urn:xmpp:jingle:apps:rtp:1', // XEP-0167
  RTP_AUDIO: 'urn:xmpp:jingle:apps:rtp:audio',
  RTP_VIDEO: 'urn:xmpp:jingle:apps:rtp:video',
  RTCP_FB: 'urn:xmpp:jingle:apps:rtp:rtcp-fb:0', // XEP-0293
  RTP_HDREXT: 'urn:xmpp:jingle:apps:rtp:rtp-hdrext:0', // XEP-0294
  SSMA: 'urn:xmpp:jingle:apps:rtp:ssma:0', // XEP-0339
  GROUPING: 'urn:xmpp:jingle:apps:grouping:0', // XEP-0338
  ICE_UDP: 'urn:xmpp:jingle:transports:ice-udp:1', // XEP-0176
  DTLS: 'urn:xmpp:jingle:apps:dtls:0', // XEP-0320
  DTLS_SCTP: 'urn:xmpp:jingle:transports:dtls-sctp:1', // XEP-0343
  RTX: 'urn:ietf:rfc:4588',
  FOCUS: 'http://jitsi.org/protocol/focus',
  COLIBRI: 'http://jitsi.org/protocol/colibri',
  COLIBRI2: 'jitsi:colibri2',
  JITMEET: 'http://jitsi.org/jitmeet',
  VISITORS: 'jitsi:visitors',
  MUTE_AUDIO: 'http://jitsi.org/jitmeet/audio',
  MUTE_VIDEO: 'http://jitsi.org/jitmeet/video',
} as const;
