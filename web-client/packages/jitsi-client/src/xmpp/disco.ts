/** What this client says it can do (XEP-0030), and the hash of it that presence carries (XEP-0115). */
import { NS } from './ns';
import { attr, child, x, type XmlNode } from './xml';

/** Capability node, that of the stock client: servers know it. */
export const CAPS_NODE = 'https://jitsi.org/jitsi-meet';

const IDENTITY = { category: 'client', type: 'web', name: 'Teranga' } as const;

/**
 * Features that decide what the focus sends (protocol/client.md §5.8). Deliberately absent: `ssrc-rewriting-1` (sources come by
 * Jingle), `opus-red`, e2ee.
 */
export const FEATURES: readonly string[] = [
  NS.CAPS,
  NS.DISCO_INFO,
  'http://jitsi.org/json-encoded-sources',
  'http://jitsi.org/receive-multiple-video-streams',
  'http://jitsi.org/source-name',
  'http://jitsi.org/start-muted-room-metadata',
  'http://jitsi.org/tcc',
  'http://jitsi.org/visitors-1',
  NS.RTX,
  NS.JINGLE,
  NS.DTLS,
  NS.RTP,
  NS.RTP_AUDIO,
  NS.RTP_VIDEO,
  NS.DTLS_SCTP,
  NS.ICE_UDP,
  NS.PING,
].sort();

/** Answers a disco#info query, of the plain entity or of our capability node; `null` when the IQ is something else. */
export function answerDisco(iq: Element): XmlNode | null {
  const query = attr(iq, 'type') === 'get' ? child(iq, 'query', NS.DISCO_INFO) : null;
  if (!query) return null;
  const node = attr(query, 'node');
  return x('query', { xmlns: NS.DISCO_INFO, node }, x('identity', IDENTITY), FEATURES.map((feature) => x('feature', { var: feature })));
}

/** XEP-0115 §5.1: the string that is hashed; `FEATURES` is sorted by code unit as it demands. */
export function capsString(): string {
  return `${IDENTITY.category}/${IDENTITY.type}//${IDENTITY.name}<${FEATURES.map((feature) => `${feature}<`).join('')}`;
}

/** The `<c/>` of presence; `null` where the browser has no WebCrypto (an insecure page). */
export async function capsElement(): Promise<XmlNode | null> {
  if (!globalThis.crypto?.subtle) return null;
  const digest = await crypto.subtle.digest('SHA-1', new TextEncoder().encode(capsString()));
  const ver = btoa(String.fromCharCode(...new Uint8Array(digest)));
  return x('c', { xmlns: NS.CAPS, hash: 'sha-1', node: CAPS_NODE, ver });
}
