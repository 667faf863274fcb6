/**
 * The local description: adding simulcast to the browser's answer, and reading from it what Jingle has to say.
 *
 * Simulcast is asked for by naming two more SSRCs in a SIM group of the camera's m-line (what the stock client does in Chromium and
 * Safari): the bridge tells layers by the SSRCs of the session-accept, whereas the standard way (RFC 8853) would leave them unnamed.
 */
import { parse, write, type MediaDescription, type SessionDescription } from 'sdp-transform';
import type { HeaderExtension, LocalSource, MediaKind, PayloadType } from '../jingle/model';

/** Layers of a simulcast camera, low to high. */
export const SIMULCAST_LAYERS = 3;

/** SSRCs of one local m-line, kept for the life of the session: the bridge knows them from the session-accept. */
export interface LayerSsrcs {
  readonly ssrc: number;
  readonly rtx: number | null;
}

/**
 * Gives the m-line `mid` the SSRCs of `layers`, or makes up what is missing for simulcast. An answer without SSRCs (Firefox with
 * recvonly, say) stays as it is.
 */
export function withSimulcast(sdp: string, mid: string, layers: readonly LayerSsrcs[] | null, random: () => number): { sdp: string; layers: readonly LayerSsrcs[] | null } {
  const session = parse(sdp);
  const line = findLine(session, mid);
  const first = line ? readLayers(line) : [];
  const head = first[0];
  if (!line || !head) return { sdp, layers };
  const wanted = layers ?? makeLayers(head, random);
  const cname = line.ssrcs?.find((entry) => entry.attribute === 'cname')?.value ?? 'local';
  const ids = wanted.flatMap((layer) => (layer.rtx === null ? [layer.ssrc] : [layer.ssrc, layer.rtx]));
  line.ssrcs = ids.flatMap((id) => [
    { id, attribute: 'cname', value: cname },
    ...(line.msid === undefined ? [] : [{ id, attribute: 'msid', value: msidText(line) }]),
  ]);
  line.ssrcGroups = [
    ...(wanted.length > 1 ? [{ semantics: 'SIM', ssrcs: wanted.map((layer) => layer.ssrc).join(' ') }] : []),
    ...wanted.flatMap((layer) => (layer.rtx === null ? [] : [{ semantics: 'FID', ssrcs: `${layer.ssrc} ${layer.rtx}` }])),
  ];
  return { sdp: write(session), layers: wanted };
}

function makeLayers(first: LayerSsrcs, random: () => number): LayerSsrcs[] {
  const used = new Set([first.ssrc, first.rtx]);
  const fresh = (): number => {
    for (;;) {
      // Ten digits, as some parsers of the stock world look SSRCs up by substring.
      const ssrc = 1_000_000_000 + Math.floor(random() * 3_000_000_000);
      if (used.has(ssrc)) continue;
      used.add(ssrc);
      return ssrc;
    }
  };
  const layers = [first];
  while (layers.length < SIMULCAST_LAYERS) layers.push({ ssrc: fresh(), rtx: first.rtx === null ? null : fresh() });
  return layers;
}

/** The layers which an m-line names, low to high. */
function readLayers(line: MediaDescription): LayerSsrcs[] {
  const groups = (line.ssrcGroups ?? []).map(({ semantics, ssrcs }) => ({ semantics, ssrcs: ssrcs.split(' ').map(Number) }));
  const rtxOf = (ssrc: number): number | null => groups.find((group) => group.semantics === 'FID' && group.ssrcs[0] === ssrc)?.ssrcs[1] ?? null;
  const sim = groups.find((group) => group.semantics === 'SIM');
  const all = [...new Set((line.ssrcs ?? []).map((entry) => Number(entry.id)))];
  const first = sim ? null : (groups.find((group) => group.semantics === 'FID')?.ssrcs[0] ?? all[0]);
  return (sim?.ssrcs ?? (first === undefined || first === null ? [] : [first])).map((ssrc) => ({ ssrc, rtx: rtxOf(ssrc) }));
}

function msidText(line: MediaDescription): string {
  const first = line.msid?.[0];
  return [first?.id, first?.appdata].filter(Boolean).join(' ') || '-';
}

function findLine(session: SessionDescription, mid: string): (MediaDescription & SessionDescription['media'][number]) | undefined {
  return session.media.find((line) => String(line.mid) === mid);
}

/** What the answer settled for one content. */
export interface AnsweredContent {
  readonly kind: MediaKind | 'data';
  readonly name: string;
  readonly payloadTypes: readonly PayloadType[];
  readonly extensions: readonly HeaderExtension[];
  readonly extmapAllowMixed: boolean;
  readonly sctpPort: number | null;
}

export interface AnsweredTransport {
  readonly ufrag: string;
  readonly pwd: string;
  readonly fingerprint: { readonly hash: string; readonly value: string };
  readonly setup: string;
}

/** ICE and DTLS parameters of a description, those of the first m-line that has them. */
export function readTransport(sdp: string): AnsweredTransport | null {
  const session = parse(sdp);
  for (const line of session.media) {
    const ufrag = line.iceUfrag ?? session.iceUfrag;
    const pwd = line.icePwd ?? session.icePwd;
    const fingerprint = line.fingerprint ?? session.fingerprint;
    if (ufrag !== undefined && pwd !== undefined && fingerprint) {
      return { ufrag: String(ufrag), pwd: String(pwd), fingerprint: { hash: fingerprint.type, value: fingerprint.hash }, setup: line.setup ?? session.setup ?? 'active' };
    }
  }
  return null;
}

/** What the m-line `mid` of an answer settled; `null` when it was refused or is missing. */
export function readContent(sdp: string, mid: string, name: string): AnsweredContent | null {
  const session = parse(sdp);
  const line = findLine(session, mid);
  if (!line || line.port === 0) return null;
  if (line.type === 'application') {
    return { kind: 'data', name, payloadTypes: [], extensions: [], extmapAllowMixed: false, sctpPort: line.sctpPort ?? 5000 };
  }
  if (line.type !== 'audio' && line.type !== 'video') return null;
  return {
    kind: line.type,
    name,
    sctpPort: null,
    extmapAllowMixed: (line.extmapAllowMixed ?? session.extmapAllowMixed) !== undefined,
    extensions: (line.ext ?? []).map((ext) => ({ id: ext.value, uri: ext.uri })),
    payloadTypes: line.rtp.map((rtp) => ({
      id: rtp.payload,
      name: rtp.codec,
      clockrate: rtp.rate ?? 90_000,
      channels: Number(rtp.encoding ?? 1),
      parameters: (line.fmtp.find((fmtp) => fmtp.payload === rtp.payload)?.config ?? '')
        .split(';')
        .map((part) => part.trim())
        .filter(Boolean)
        .map((part) => {
          const at = part.indexOf('=');
          return at < 0 ? { name: '', value: part } : { name: part.slice(0, at), value: part.slice(at + 1) };
        }),
      feedback: (line.rtcpFb ?? [])
        .filter((fb) => String(fb.payload) === String(rtp.payload))
        .map((fb) => ({ type: fb.type, subtype: fb.subtype ?? '' })),
    })),
  };
}

/** The local source of an m-line as signalled; `null` while the browser names no SSRC for it. */
export function readLocalSource(sdp: string, mid: string, media: MediaKind, name: string, msid: string): LocalSource | null {
  const line = findLine(parse(sdp), mid);
  const layers = line ? readLayers(line) : [];
  return layers.length === 0 || line?.direction === 'recvonly' || line?.direction === 'inactive' ? null : { name, media, msid, layers };
}
