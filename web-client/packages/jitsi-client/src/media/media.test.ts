import { parse } from 'sdp-transform';
import { describe, expect, it } from 'vitest';
import { parseOffer } from '../jingle/parse';
import type { RemoteSource } from '../jingle/model';
import { CHROME_ANSWER, offerJingle, stanza } from '../testing/stanzas';
import { readLocalSource, withSimulcast } from './answerSdp';
import { chooseCodec } from './codecs';
import { deviceErrorKind } from './devices';
import { applyLayers, NO_LIMIT } from './encodings';
import { buildOfferSdp } from './offerSdp';
import { detectQuirks, withoutRefused } from './quirks';
import { MAX_SLOTS, SlotTable } from './slots';

const offer = parseOffer(stanza(offerJingle()));
const source = (name: string, media: 'audio' | 'video' = 'video', ssrc = 1_000_000_001): RemoteSource => {
  return { name, owner: name.split('-')[0] ?? '', media, ssrc, rtx: media === 'video' ? ssrc + 1 : null, msid: 'stream track', desktop: false };
};

describe('slots of remote sources', () => {
  it('give the place of a source that left to the next of its kind', () => {
    const table = new SlotTable(3);
    table.add([source('a-v0'), source('a-a0', 'audio'), source('b-v0')]);
    table.removeOwner('a');
    table.add([source('c-a0', 'audio'), source('c-v0'), source('d-v0')]);
    expect(table.slots.map((slot) => `${slot.mid} ${slot.media} ${slot.source?.name}`)).toEqual(['3 video c-v0', '4 audio c-a0', '5 video b-v0', '6 video d-v0']);
  });

  it('replace a source of the same name in place', () => {
    const table = new SlotTable(3);
    table.add([source('a-v0', 'video', 1)]);
    table.add([source('a-v0', 'video', 7)]);
    expect(table.slots).toHaveLength(1);
    expect(table.slots[0]?.source?.ssrc).toBe(7);
  });

  it('refuse what does not fit', () => {
    const table = new SlotTable(3);
    const many = Array.from({ length: MAX_SLOTS + 2 }, (_, at) => source(`x${at}-v0`));
    expect(table.add(many).map((refused) => refused.name)).toEqual([`x${MAX_SLOTS}-v0`, `x${MAX_SLOTS + 1}-v0`]);
  });

  it('ignore the removal of what is not there', () => {
    expect(new SlotTable(3).remove(['nobody-v0'])).toEqual([]);
  });
});

describe('offer SDP', () => {
  it('has the contents first and one m-line for each source', () => {
    const table = new SlotTable(3);
    table.add([source('ef567890-v0'), source('ef567890-a0', 'audio', 5)]);
    table.remove(['ef567890-a0']);
    const sdp = buildOfferSdp(offer, offer.transport, table.slots, 4);
    const { media, groups, origin } = parse(sdp);
    expect(media.map((line) => `${line.mid} ${line.type} ${line.direction}`)).toEqual(['0 audio recvonly', '1 video recvonly', '2 application undefined', '3 video sendonly', '4 audio inactive']);
    expect(groups).toEqual([{ type: 'BUNDLE', mids: '0 1 2 3 4' }]);
    expect(origin?.sessionVersion).toBe(4);
    expect(media.map((line) => line.candidates?.length ?? 0)).toEqual([3, 0, 0, 0, 0]);
    expect(media[3]?.ssrcGroups).toEqual([{ semantics: 'FID', ssrcs: '1000000001 1000000002' }]);
    expect(media[4]?.ssrcs).toBeUndefined();
    expect(sdp).toContain('a=rtpmap:111 opus/48000/2\r\n');
    expect(sdp).toContain('a=fmtp:96 apt=100\r\n');
    expect(sdp).toContain('a=rtcp-fb:100 nack pli\r\n');
    expect(sdp).toContain('a=candidate:2 1 udp 1677724415 203.0.113.7 10000 typ srflx raddr 10.0.0.5 rport 10000');
    expect(sdp).toContain('a=candidate:3 1 tcp 1015021823 203.0.113.7 443 typ host tcptype passive');
    expect(sdp).toContain('a=setup:actpass\r\n');
    expect(sdp).not.toContain('ice-lite');
  });

  it('makes up a msid where the signalled one would not do', () => {
    const table = new SlotTable(3);
    table.add([{ ...source('ef567890-v0'), msid: 'one\r\na=evil' }]);
    const sdp = buildOfferSdp(offer, offer.transport, table.slots, 1);
    expect(sdp).not.toContain('evil');
    expect(sdp).toContain('a=msid:ef567890-v0 ef567890-v0-track');
  });
});

describe('simulcast in the answer', () => {
  it('adds two layers with RTX, and keeps them in later answers', () => {
    let at = 0;
    const random = (): number => [0.1, 0.2, 0.3, 0.4][at++ % 4] ?? 0;
    const first = withSimulcast(CHROME_ANSWER, '1', null, random);
    expect(first.layers).toHaveLength(3);
    expect(first.layers?.[0]).toEqual({ ssrc: 1_240_137_971, rtx: 1_331_594_248 });
    const again = withSimulcast(CHROME_ANSWER, '1', first.layers, random);
    expect(again.sdp).toBe(first.sdp);
    expect(readLocalSource(first.sdp, '1', 'video', 'n', 'm')?.layers).toEqual(first.layers);
  });

  it('never names an SSRC twice', () => {
    const same = [0.08004599, 0.08004599, 0.5, 0.6, 0.7, 0.8];
    let at = 0;
    const { layers } = withSimulcast(CHROME_ANSWER, '1', null, () => same[at++] ?? Math.random());
    const ssrcs = (layers ?? []).flatMap((layer) => [layer.ssrc, layer.rtx]);
    expect(new Set(ssrcs).size).toBe(6);
  });

  it('leaves other m-lines and an answer without SSRCs alone', () => {
    expect(parse(withSimulcast(CHROME_ANSWER, '1', null, Math.random).sdp).media[0]?.ssrcs).toHaveLength(1);
    const bare = CHROME_ANSWER.replaceAll(/a=ssrc[^\r]*\r\n/g, '');
    expect(withSimulcast(bare, '1', null, Math.random)).toEqual({ sdp: bare, layers: null });
  });
});

describe('encodings', () => {
  const three = [{}, {}, {}] as RTCRtpEncodingParameters[];
  const active = (height: number, limit: number): (boolean | undefined)[] => applyLayers(three, height, limit).map((encoding) => encoding.active);

  it('turn layers above the limit off and keep the lowest', () => {
    expect(active(720, NO_LIMIT)).toEqual([true, true, true]);
    expect(active(720, 360)).toEqual([true, true, false]);
    expect(active(720, 90)).toEqual([true, false, false]);
    expect(active(720, 0)).toEqual([false, false, false]);
  });

  it('scale a single encoding', () => {
    expect(applyLayers([{}] as RTCRtpEncodingParameters[], 720, 360)).toEqual([{ active: true, scaleResolutionDownBy: 2, maxBitrate: 500_000 }]);
    expect(applyLayers([{}] as RTCRtpEncodingParameters[], 720, 0)[0]?.active).toBe(false);
  });
});

describe('codec', () => {
  it('is the first of ours that is offered and that everybody receives', () => {
    const own = ['vp8', 'h264', 'vp9'];
    expect(chooseCodec(['VP8', 'H264'], own, [['h264', 'vp8'], []])).toBe('vp8');
    expect(chooseCodec(['VP8', 'H264'], own, [['h264']])).toBe('h264');
    expect(chooseCodec(['VP8'], own, [['av1']])).toBe('vp8');
    expect(chooseCodec(['AV1'], own, [])).toBeNull();
  });
});

describe('quirks', () => {
  it('keep the MID extension from Firefox only', () => {
    const offered = [{ uri: 'urn:ietf:params:rtp-hdrext:sdes:mid' }, { uri: 'urn:ietf:params:rtp-hdrext:ssrc-audio-level' }];
    expect(withoutRefused(offered, detectQuirks({}))).toHaveLength(2);
    expect(withoutRefused(offered, detectQuirks({ mozInnerScreenX: 0 }))).toEqual([offered[1]]);
  });
});

describe('device errors', () => {
  it('have the same kinds in all browsers', () => {
    expect(['NotAllowedError', 'NotFoundError', 'NotReadableError', 'OverconstrainedError', 'TypeError'].map(deviceErrorKind)).toEqual(['denied', 'missing', 'busy', 'missing', 'other']);
  });
});
