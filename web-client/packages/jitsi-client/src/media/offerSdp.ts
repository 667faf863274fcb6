/**
 * The remote description: an SDP offer made of a Jingle offer and the slots of remote sources (protocol/client.md §7.2, §7.3).
 *
 * Here: plain data to text. Values were checked by `jingle/parse`. Not here: the browser's answer (`answerSdp`).
 */
import { write, type MediaDescription, type SessionDescription } from 'sdp-transform';
import type { Content, IceTransport, RemoteSource, RtpContent, SessionOffer } from '../jingle/model';
import type { Slot } from './slots';

/** Largest message of the bridge channel, as the stock client announces. */
const MAX_MESSAGE_SIZE = 262_144;

/** Mid of the m-line of a content: its place in the offer. */
export function midOf(offer: SessionOffer, kind: Content['kind']): string | null {
  const at = offer.contents.findIndex((content) => content.kind === kind);
  return at < 0 ? null : String(at);
}

/**
 * Writes the offer; `version` grows by one with each description of the session.
 *
 * The contents' own m-lines only take what this client sends: were they to send as well, Firefox would play the first packets of a
 * source that is not signalled yet, and all that follow, on the one m-line of their payload type.
 */
export function buildOfferSdp(offer: SessionOffer, transport: IceTransport, slots: readonly Slot[], version: number): string {
  const media = offer.contents.map((content, at) =>
    content.kind === 'data' ? dataLine(content.sctpPort, transport, String(at), at === 0) : rtpLine(content, transport, String(at), 'recvonly', null, at === 0),
  );
  for (const slot of slots) {
    const content = offer.contents.find((candidate): candidate is RtpContent => candidate.kind === slot.media);
    if (content) media.push(rtpLine(content, transport, slot.mid, slot.source ? 'sendonly' : 'inactive', slot.source, false));
  }
  const session: SessionDescription = {
    version: 0,
    origin: { username: '-', sessionId: '1923518516', sessionVersion: version, netType: 'IN', ipVer: 4, address: '0.0.0.0' },
    name: '-',
    timing: { start: 0, stop: 0 },
    groups: [{ type: 'BUNDLE', mids: media.map((line) => line.mid ?? '').join(' ') }],
    msidSemantic: { semantic: 'WMS', token: '*' },
    media,
  };
  return write(session);
}

function rtpLine(
  content: RtpContent,
  transport: IceTransport,
  mid: string,
  direction: 'recvonly' | 'sendonly' | 'inactive',
  source: RemoteSource | null,
  withCandidates: boolean,
): MediaDescription {
  const payloads = content.payloadTypes;
  return {
    type: content.kind,
    port: 9,
    protocol: 'UDP/TLS/RTP/SAVPF',
    payloads: payloads.map((payload) => payload.id).join(' '),
    connection: { version: 4, ip: '0.0.0.0' },
    rtcp: { port: 9, netType: 'IN', ipVer: 4, address: '0.0.0.0' },
    rtp: payloads.map((payload) => ({
      payload: payload.id,
      codec: payload.name,
      rate: payload.clockrate,
      ...(payload.channels > 1 ? { encoding: payload.channels } : {}),
    })),
    fmtp: payloads
      .filter((payload) => payload.parameters.length > 0)
      .map((payload) => ({
        payload: payload.id,
        config: payload.parameters.map(({ name, value }) => (name === '' ? value : `${name}=${value}`)).join(';'),
      })),
    rtcpFb: payloads.flatMap((payload) =>
      payload.feedback.map(({ type, subtype }) => ({ payload: payload.id, type, ...(subtype === '' ? {} : { subtype }) })),
    ),
    ext: content.extensions.map(({ id, uri }) => ({ value: id, uri })),
    ...(content.extmapAllowMixed ? { extmapAllowMixed: 'extmap-allow-mixed' } : {}),
    mid,
    direction,
    rtcpMux: 'rtcp-mux',
    ...ice(transport, withCandidates),
    ...(source ? sourceLines(source) : {}),
  };
}

function dataLine(port: number, transport: IceTransport, mid: string, withCandidates: boolean): MediaDescription {
  return {
    type: 'application',
    port: 9,
    protocol: 'UDP/DTLS/SCTP',
    payloads: 'webrtc-datachannel',
    connection: { version: 4, ip: '0.0.0.0' },
    rtp: [],
    fmtp: [],
    mid,
    sctpPort: port,
    maxMessageSize: MAX_MESSAGE_SIZE,
    ...ice(transport, withCandidates),
  };
}

/** With BUNDLE the first m-line carries the candidates for all. */
function ice(transport: IceTransport, withCandidates: boolean): Partial<MediaDescription> {
  const { fingerprint } = transport;
  return {
    iceUfrag: transport.ufrag,
    icePwd: transport.pwd,
    ...(fingerprint ? { fingerprint: { type: fingerprint.hash, hash: fingerprint.value }, setup: fingerprint.setup } : {}),
    ...(withCandidates
      ? {
          candidates: transport.candidates.map((candidate) => ({
            foundation: candidate.foundation,
            component: candidate.component,
            transport: candidate.protocol,
            priority: candidate.priority,
            ip: candidate.ip,
            port: candidate.port,
            type: candidate.type,
            ...(candidate.relatedAddress !== null && candidate.type !== 'host' ? { raddr: candidate.relatedAddress, rport: candidate.relatedPort ?? 0 } : {}),
            ...(candidate.tcpType === null ? {} : { tcptype: candidate.tcpType }),
          })),
        }
      : {}),
  };
}

function sourceLines(source: RemoteSource): Partial<MediaDescription> {
  const msid = msidOf(source);
  const ids = source.rtx === null ? [source.ssrc] : [source.ssrc, source.rtx];
  const [id = '', appdata = ''] = msid.split(' ');
  return {
    msid: [{ id, appdata }],
    ssrcs: ids.flatMap((ssrc) => [
      { id: ssrc, attribute: 'cname', value: source.owner },
      { id: ssrc, attribute: 'msid', value: msid },
    ]),
    ...(source.rtx === null ? {} : { ssrcGroups: [{ semantics: 'FID', ssrcs: `${source.ssrc} ${source.rtx}` }] }),
  };
}

/** A msid of two tokens; one made of the source's name where the signalled one would not do. */
function msidOf(source: RemoteSource): string {
  return /^[\x21-\x7e]+ [\x21-\x7e]+$/.test(source.msid) ? source.msid : `${source.name} ${source.name}-track`;
}
