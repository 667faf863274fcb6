import { describe, expect, it } from 'vitest';
import { CHROME_ANSWER, offerJingle, stanza } from '../testing/stanzas';
import { readContent, readLocalSource, readTransport, withSimulcast } from '../media/answerSdp';
import { toElement } from '../xmpp/xml';
import { buildAccept, buildSourceChange, buildTerminate } from './build';
import { parseOffer } from './parse';
import { parseSources } from './sources';

const offer = parseOffer(stanza(offerJingle()));

describe('session-initiate', () => {
  it('is read into contents, transport and sources', () => {
    expect(offer).toMatchObject({ sid: '8p2k1sid', initiator: 'focus@auth.meet.example/focus', bridgeSessionId: '5fa9c_1' });
    expect(offer.contents.map((content) => content.kind)).toEqual(['audio', 'video', 'data']);
    expect(offer.transport.candidates.map((candidate) => `${candidate.protocol} ${candidate.type} ${candidate.tcpType}`)).toEqual(['udp host null', 'udp srflx null', 'tcp host passive']);
    expect(offer.transport.webSockets).toEqual(['wss://meet.example/colibri-ws/jvb1/5fa9c/abcd1234?pwd=3ptlr3n']);
    const video = offer.contents[1];
    expect(video).toMatchObject({ payloadTypes: [{ id: 100, name: 'VP8', feedback: [{ type: 'nack', subtype: '' }, { type: 'nack', subtype: 'pli' }] }, { id: 96, name: 'rtx', parameters: [{ name: 'apt', value: '100' }] }] });
  });

  it('keeps the placeholders of the bridge out', () => {
    expect(offer.sources.map((source) => source.name)).toEqual(['ef567890-v0', 'ef567890-a0']);
    expect(offer.sources[0]).toEqual({
      name: 'ef567890-v0',
      owner: 'ef567890',
      media: 'video',
      ssrc: 1_111_111_111,
      rtx: 2_222_222_222,
      msid: 'ef567890-video-0-1 tr1',
      desktop: false,
    });
  });

  it('is refused without what a session needs', () => {
    const broken = [
      offerJingle().replace("sid='8p2k1sid'", ''),
      offerJingle().replaceAll(/<fingerprint[^>]*>[^<]*<\/fingerprint>/g, ''),
      offerJingle().replaceAll("media='video'", "media='other'"),
      offerJingle().replaceAll("ufrag='8q1tu1'", "ufrag='a b'"),
    ];
    for (const text of broken) expect(() => parseOffer(stanza(text))).toThrowError(expect.objectContaining({ condition: 'bad-request' }) as Error);
  });

  it('lets no value break out of its SDP line', () => {
    const evil = parseOffer(
      stanza(
        offerJingle()
          .replace("name='VP8'", "name='VP8&#13;&#10;a=evil'")
          .replace("ip='10.0.0.5'", "ip='10.0.0.5 a'")
          .replace("name='minptime' value='10'", "name='minptime' value='10&#10;a=evil'"),
      ),
    );
    expect(JSON.stringify(evil.contents)).not.toContain('evil');
    expect(evil.transport.candidates).toHaveLength(2);
  });
});

describe('sources', () => {
  const xml = (children: string, media = 'video'): Element =>
    stanza(`<jingle xmlns='urn:xmpp:jingle:1' action='source-add' sid='s'><content name='${media}'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='${media}'>${children}</description></content></jingle>`);
  const source = (ssrc: number | string, name: string, extra = ''): string =>
    `<source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='${ssrc}' name='${name}' ${extra}><parameter name='msid' value='s t'/><ssrc-info xmlns='http://jitsi.org/jitmeet' owner='demo@muc.meet.example/ef567890'/></source>`;

  it('read the XML form with owner and FID group', () => {
    const fid = "<ssrc-group xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' semantics='FID'><source ssrc='7'/><source ssrc='8'/></ssrc-group>";
    expect(parseSources(xml(source(8, 'ef567890-v1', "videoType='desktop_high_fps'") + source(7, 'ef567890-v1') + fid))).toEqual([
      { name: 'ef567890-v1', owner: 'ef567890', media: 'video', ssrc: 7, rtx: 8, msid: 's t', desktop: true },
    ]);
  });

  it('take the first layer of a simulcast sender that was not stripped', () => {
    const sim = "<ssrc-group semantics='SIM'><source ssrc='2'/><source ssrc='3'/></ssrc-group>";
    expect(parseSources(xml(source(3, 'ef567890-v0') + source(2, 'ef567890-v0') + sim))[0]).toMatchObject({ ssrc: 2, rtx: null });
  });

  it('pass over what is not usable', () => {
    expect(parseSources(xml(source('x', 'ef567890-v0') + source(4_294_967_296, 'ef567890-v0') + "<source ssrc='5' name='no-owner'/>"))).toEqual([]);
    for (const text of ['{', '[]', '{"sources":[]}', '{"sources":{"a":1}}', '{"sources":{"a":[1,2,3,4]}}', '{"sources":{"a":[[{"s":-1,"n":"a-v0"}]]}}']) {
      expect(parseSources(stanza(`<jingle xmlns='urn:xmpp:jingle:1'><json-message xmlns='http://jitsi.org/jitmeet'>${text}</json-message></jingle>`))).toEqual([]);
    }
  });
});

describe('session-accept', () => {
  const simulcast = withSimulcast(CHROME_ANSWER, '1', null, Math.random);
  const transport = readTransport(simulcast.sdp);
  if (!transport) throw new Error('no transport');
  const answer = {
    transport,
    contents: ['audio', 'video', 'data'].map((name, at) => readContent(simulcast.sdp, String(at), name)).filter((content) => content !== null),
    sources: [
      readLocalSource(simulcast.sdp, '0', 'audio', 'abcd1234-a0', 'abcd1234-audio-0-1 t'),
      readLocalSource(simulcast.sdp, '1', 'video', 'abcd1234-v0', 'abcd1234-video-0-1 t'),
    ].filter((source) => source !== null),
  };
  const xml = new XMLSerializer().serializeToString(toElement(buildAccept(offer, 'me@meet.example/r', answer)));

  it('names the three contents, our transport and no candidates', () => {
    expect(xml).toContain('<group xmlns="urn:xmpp:jingle:apps:grouping:0" semantics="BUNDLE"><content name="audio"/><content name="video"/><content name="data"/></group>');
    expect(xml.match(/ufrag="N4mt"/g)).toHaveLength(3);
    expect(xml).toContain('setup="active"');
    expect(xml).not.toContain('candidate');
    expect(xml).toContain('<sctpmap xmlns="urn:xmpp:jingle:transports:dtls-sctp:1" number="5000"');
  });

  it('carries layers low to high in one SIM group, each with its RTX', () => {
    const groups = Array.from(xml.matchAll(/semantics="(SIM|FID)">(.*?)<\/ssrc-group>/g), ([, semantics, members]) => `${semantics} ${Array.from((members ?? '').matchAll(/ssrc="(\d+)"/g), (match) => match[1]).join(' ')}`);
    expect(groups).toHaveLength(4);
    expect(groups[0]).toMatch(/^SIM 1240137971 \d{10} \d{10}$/);
    expect(groups[1]).toBe('FID 1240137971 1331594248');
    expect(xml).toContain('<source xmlns="urn:xmpp:jingle:apps:rtp:ssma:0" ssrc="1853346543" name="abcd1234-a0"><parameter name="msid" value="abcd1234-audio-0-1 t"/></source>');
    expect(xml).toContain('name="abcd1234-v0" videoType="camera"');
  });

  it('repeats parameters and feedback of the answer', () => {
    expect(xml).toContain('<parameter name="minptime" value="10"/><parameter name="useinbandfec" value="1"/>');
    expect(xml).toContain('<rtcp-fb xmlns="urn:xmpp:jingle:apps:rtp:rtcp-fb:0" type="nack" subtype="pli"/>');
  });
});

describe('other Jingle requests', () => {
  it('ask for a new session by session-terminate', () => {
    const xml = new XMLSerializer().serializeToString(toElement(buildTerminate(offer, 'connectivity-error', 'ICE FAILED', true)));
    expect(xml).toContain('<reason><connectivity-error/><text>ICE FAILED</text></reason><bridge-session xmlns="http://jitsi.org/protocol/focus" id="5fa9c_1" restart="true"/>');
  });

  it('name own sources without owner', () => {
    const xml = new XMLSerializer().serializeToString(toElement(buildSourceChange('source-add', 's', [{ name: 'abcd1234-a0', media: 'audio', msid: 'a b', layers: [{ ssrc: 5, rtx: null }] }])));
    expect(xml).toContain('action="source-add"');
    expect(xml).not.toContain('ssrc-info');
  });
});
