/** Jingle stanzas of this client (protocol/client.md §7.4–7.8), as the payload of an IQ to the focus. */
import { NS } from '../xmpp/ns';
import { x, type XmlNode } from '../xmpp/xml';
import type { AnsweredContent, AnsweredTransport } from '../media/answerSdp';
import type { LocalSource, SessionOffer } from './model';

export interface Answer {
  readonly contents: readonly AnsweredContent[];
  readonly transport: AnsweredTransport;
  readonly sources: readonly LocalSource[];
}

/** Session-accept: contents in the order of the offer, one each, with all sources of this client. */
export function buildAccept(offer: SessionOffer, responder: string, answer: Answer): XmlNode {
  return x(
    'jingle',
    { xmlns: NS.JINGLE, action: 'session-accept', initiator: offer.initiator, responder, sid: offer.sid },
    x('group', { xmlns: NS.GROUPING, semantics: 'BUNDLE' }, answer.contents.map((content) => x('content', { name: content.name }))),
    answer.contents.map((content) =>
      x(
        'content',
        { creator: 'responder', name: content.name, senders: 'both' },
        content.kind === 'data' ? null : buildDescription(content, answer.sources),
        buildTransport(answer.transport, content.sctpPort, null),
      ),
    ),
  );
}

function buildDescription(content: AnsweredContent, sources: readonly LocalSource[]): XmlNode {
  return x(
    'description',
    { xmlns: NS.RTP, media: content.kind },
    content.payloadTypes.map((payload) =>
      x(
        'payload-type',
        { id: payload.id, name: payload.name, clockrate: payload.clockrate, channels: payload.channels > 1 ? payload.channels : null },
        payload.parameters.map(({ name, value }) => x('parameter', { name, value })),
        payload.feedback.map(({ type, subtype }) => x('rtcp-fb', { xmlns: NS.RTCP_FB, type, subtype: subtype || null })),
      ),
    ),
    content.extensions.map(({ id, uri }) => x('rtp-hdrext', { xmlns: NS.RTP_HDREXT, id, uri })),
    content.extmapAllowMixed ? x('extmap-allow-mixed', { xmlns: NS.RTP_HDREXT }) : null,
    sources.filter((source) => source.media === content.kind).map(buildSource),
    x('rtcp-mux'),
  );
}

/** `<source/>` of each SSRC, then the SIM group and the FID groups. */
export function buildSource(source: LocalSource): XmlNode[] {
  const videoType = source.media === 'video' ? 'camera' : null;
  const ssrcs = source.layers.flatMap((layer) => (layer.rtx === null ? [layer.ssrc] : [layer.ssrc, layer.rtx]));
  const group = (semantics: string, members: readonly number[]): XmlNode =>
    x('ssrc-group', { xmlns: NS.SSMA, semantics }, members.map((ssrc) => x('source', { xmlns: NS.SSMA, ssrc })));
  return [
    ...ssrcs.map((ssrc) => x('source', { xmlns: NS.SSMA, ssrc, name: source.name, videoType }, x('parameter', { name: 'msid', value: source.msid }))),
    ...(source.layers.length > 1 ? [group('SIM', source.layers.map((layer) => layer.ssrc))] : []),
    ...source.layers.flatMap((layer) => (layer.rtx === null ? [] : [group('FID', [layer.ssrc, layer.rtx])])),
  ];
}

function buildTransport(transport: AnsweredTransport, sctpPort: number | null, generation: number | null): XmlNode {
  return x(
    'transport',
    { xmlns: NS.ICE_UDP, ufrag: transport.ufrag, pwd: transport.pwd, 'ice-generation': generation },
    sctpPort === null ? x('rtcp-mux') : x('sctpmap', { xmlns: NS.DTLS_SCTP, number: sctpPort, protocol: 'webrtc-datachannel', streams: 1024 }),
    x('fingerprint', { xmlns: NS.DTLS, hash: transport.fingerprint.hash, setup: transport.setup, required: false }, transport.fingerprint.value),
  );
}

/** Source-add or source-remove of own sources. */
export function buildSourceChange(action: 'source-add' | 'source-remove', sid: string, sources: readonly LocalSource[]): XmlNode {
  return x(
    'jingle',
    { xmlns: NS.JINGLE, action, sid },
    sources.map((source) =>
      x('content', { creator: 'responder', name: source.media, senders: 'both' }, x('description', { xmlns: NS.RTP, media: source.media }, buildSource(source))),
    ),
  );
}

/** Session-terminate; `restart` asks the focus to invite again. */
export function buildTerminate(offer: SessionOffer, reason: 'success' | 'connectivity-error' | 'failed-application', text: string, restart: boolean): XmlNode {
  return x(
    'jingle',
    { xmlns: NS.JINGLE, action: 'session-terminate', initiator: offer.initiator, sid: offer.sid },
    x('reason', {}, x(reason), text === '' ? null : x('text', {}, text)),
    x('bridge-session', { xmlns: NS.FOCUS, id: offer.bridgeSessionId, restart }),
  );
}

/** Session-info that asks for an ICE restart in place. */
export function buildIceRestartRequest(offer: SessionOffer): XmlNode {
  return x(
    'jingle',
    { xmlns: NS.JINGLE, action: 'session-info', initiator: offer.initiator, sid: offer.sid },
    x('bridge-session', { xmlns: NS.FOCUS, 'ice-restart': true, id: offer.bridgeSessionId }),
  );
}

/** Transport-info that answers an ICE restart of the bridge. */
export function buildTransportInfo(offer: SessionOffer, contents: readonly string[], transport: AnsweredTransport, generation: number): XmlNode {
  return x(
    'jingle',
    { xmlns: NS.JINGLE, action: 'transport-info', initiator: offer.initiator, sid: offer.sid },
    contents.map((name) => x('content', { creator: 'initiator', name }, buildTransport(transport, null, generation))),
  );
}
