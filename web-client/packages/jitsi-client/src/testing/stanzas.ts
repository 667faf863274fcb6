/** Stanzas for tests, composed after the examples of the stock client's wire protocol. Not part of the build. */
import { parseXml } from '../xmpp/xml';

/** Parses a stanza that must be well-formed. */
export function stanza(text: string): Element {
  const element = parseXml(text);
  if (!element) throw new Error(`not well-formed: ${text}`);
  return element;
}

export const ROOM = 'demo@muc.meet.example';
export const FOCUS = `${ROOM}/focus`;
export const OWN_JID = 'abcd1234-0000-4000-8000-000000000000@meet.example/Xy7';

const FINGERPRINT = '4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF';

const TRANSPORT = `<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='8q1tu1' pwd='3ptlr3ndk6mpqsvh6amv05d3gi'>
  <rtcp-mux/>
  <fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0' hash='sha-256' setup='actpass' required='false'>${FINGERPRINT}</fingerprint>
  <web-socket xmlns='http://jitsi.org/protocol/colibri' url='wss://meet.example/colibri-ws/jvb1/5fa9c/abcd1234?pwd=3ptlr3n'/>
  <candidate component='1' foundation='1' generation='0' id='c1' network='0' protocol='udp' type='host' ip='10.0.0.5' port='10000' priority='2130706431'/>
  <candidate component='1' foundation='2' generation='0' id='c2' network='0' protocol='udp' type='srflx' ip='203.0.113.7' port='10000' priority='1677724415' rel-addr='10.0.0.5' rel-port='10000'/>
  <candidate component='1' foundation='3' generation='0' id='c3' network='0' protocol='tcp' tcptype='passive' type='host' ip='203.0.113.7' port='443' priority='1015021823'/>
</transport>`;

/** Sources of the offer: the bridge's placeholders, and one participant. */
export const OFFER_JSON = JSON.stringify({
  sources: {
    jvb: [[{ s: '1111111110', n: 'jvb-v0', m: 'mixedmslabel mixedlabelvideo0' }], [], [{ s: '2222222220', n: 'jvb-a0', m: 'mixedmslabel mixedlabelaudio0' }], []],
    ef567890: [
      [
        { s: '1111111111', n: 'ef567890-v0', m: 'ef567890-video-0-1 tr1' },
        { s: '2222222222', n: 'ef567890-v0', m: 'ef567890-video-0-1 tr1' },
      ],
      [['f', '1111111111', '2222222222']],
      [{ s: '3333333333', n: 'ef567890-a0', m: 'ef567890-audio-0-1 tr3' }],
      [],
    ],
  },
});

/** A session-initiate of the stock focus, with fewer codecs. */
export function offerJingle({ sid = '8p2k1sid', data = true, json = OFFER_JSON } = {}): string {
  return `<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='focus@auth.meet.example/focus' sid='${sid}'>
  <bridge-session xmlns='http://jitsi.org/protocol/focus' id='5fa9c_1' region='eu'/>
  <group xmlns='urn:xmpp:jingle:apps:grouping:0' semantics='BUNDLE'><content name='audio'/><content name='video'/></group>
  <content creator='initiator' name='audio' senders='both'>
    <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio' maxptime='60'>
      <payload-type id='111' name='opus' clockrate='48000' channels='2'>
        <parameter name='minptime' value='10'/><parameter name='useinbandfec' value='1'/>
        <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='transport-cc'/>
      </payload-type>
      <rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1' uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level'/>
      <extmap-allow-mixed xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0'/>
      <rtcp-mux/>
    </description>
    ${TRANSPORT}
  </content>
  <content creator='initiator' name='video' senders='both'>
    <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'>
      <payload-type id='100' name='VP8' clockrate='90000'>
        <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack'/>
        <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack' subtype='pli'/>
      </payload-type>
      <payload-type id='96' name='rtx' clockrate='90000'><parameter name='apt' value='100'/></payload-type>
      <rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='3' uri='http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time'/>
      <rtcp-mux/>
    </description>
    ${TRANSPORT}
  </content>
  ${
    data
      ? `<content creator='initiator' name='data' senders='both'>${TRANSPORT.replace(
          '</transport>',
          "<sctpmap xmlns='urn:xmpp:jingle:transports:dtls-sctp:1' number='5000' protocol='webrtc-datachannel' streams='1024'/></transport>",
        )}</content>`
      : ''
  }
  <json-message xmlns='http://jitsi.org/jitmeet'>${json}</json-message>
</jingle>`;
}

/** A request of the focus to the occupant. */
export function focusIq(jingle: string, id = 'j1'): Element {
  return stanza(`<iq xmlns='jabber:client' type='set' id='${id}' from='${FOCUS}' to='${OWN_JID}'>${jingle}</iq>`);
}

/** A presence in the room. */
export function presence(nick: string, children = '', { realJid = `${nick}@meet.example/r`, role = 'participant', statuses = '' } = {}): Element {
  return stanza(`<presence xmlns='jabber:client' from='${ROOM}/${nick}' to='${OWN_JID}'>${children}
    <x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='member' role='${role}' jid='${realJid}'/>${statuses}</x></presence>`);
}

export function focusPresence(): Element {
  return presence('focus', '', { realJid: 'focus@auth.meet.example/focus', role: 'moderator' });
}

/** Chromium's answer to the offer above, as `createAnswer` gives it. */
export const CHROME_ANSWER = [
  'v=0',
  'o=- 4611733 2 IN IP4 127.0.0.1',
  's=-',
  't=0 0',
  'a=group:BUNDLE 0 1 2',
  'a=extmap-allow-mixed',
  'a=msid-semantic: WMS',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'c=IN IP4 0.0.0.0',
  'a=rtcp:9 IN IP4 0.0.0.0',
  'a=ice-ufrag:N4mt',
  'a=ice-pwd:CXBlHk0t6UOF34jkpzmiCEf8',
  'a=ice-options:trickle',
  `a=fingerprint:sha-256 ${FINGERPRINT}`,
  'a=setup:active',
  'a=mid:0',
  'a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level',
  'a=sendrecv',
  'a=msid:- cbd71bb3-fd49-4674-9594-b1e285e9a74d',
  'a=rtcp-mux',
  'a=rtpmap:111 opus/48000/2',
  'a=rtcp-fb:111 transport-cc',
  'a=fmtp:111 minptime=10;useinbandfec=1',
  'a=ssrc:1853346543 cname:mwreqySj7ugNNObp',
  'm=video 9 UDP/TLS/RTP/SAVPF 100 96',
  'c=IN IP4 0.0.0.0',
  'a=rtcp:9 IN IP4 0.0.0.0',
  'a=ice-ufrag:N4mt',
  'a=ice-pwd:CXBlHk0t6UOF34jkpzmiCEf8',
  'a=ice-options:trickle',
  `a=fingerprint:sha-256 ${FINGERPRINT}`,
  'a=setup:active',
  'a=mid:1',
  'a=extmap:3 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time',
  'a=sendrecv',
  'a=msid:- 27540a78-ce1e-4020-8961-2df4e46abbef',
  'a=rtcp-mux',
  'a=rtpmap:100 VP8/90000',
  'a=rtcp-fb:100 nack',
  'a=rtcp-fb:100 nack pli',
  'a=rtpmap:96 rtx/90000',
  'a=fmtp:96 apt=100',
  'a=ssrc-group:FID 1240137971 1331594248',
  'a=ssrc:1240137971 cname:mwreqySj7ugNNObp',
  'a=ssrc:1331594248 cname:mwreqySj7ugNNObp',
  'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
  'c=IN IP4 0.0.0.0',
  'a=ice-ufrag:N4mt',
  'a=ice-pwd:CXBlHk0t6UOF34jkpzmiCEf8',
  `a=fingerprint:sha-256 ${FINGERPRINT}`,
  'a=setup:active',
  'a=mid:2',
  'a=sctp-port:5000',
  'a=max-message-size:262144',
  '',
].join('\r\n');
