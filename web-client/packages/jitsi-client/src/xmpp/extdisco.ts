/** TURN and STUN servers with short-lived credentials (XEP-0215; protocol/client.md §3). */
import { NS } from './ns';
import { attr, child, children, intAttr, x, type XmlNode } from './xml';

/** Servers taken over from an answer; browsers get slow with more than a handful. */
const MAX_SERVERS = 8;

export function extdiscoRequest(domain: string): XmlNode {
  return x('iq', { type: 'get', to: domain }, x('services', { xmlns: NS.EXTDISCO }));
}

/** ICE servers of an answer. For the bridge only TURN matters: its candidates are in the offer. */
export function parseIceServers(answer: Element): RTCIceServer[] {
  const out: RTCIceServer[] = [];
  for (const service of children(child(answer, 'services', NS.EXTDISCO), 'service')) {
    const type = attr(service, 'type');
    const host = attr(service, 'host');
    if ((type !== 'turn' && type !== 'turns') || host === null || !/^[A-Za-z0-9.:[\]-]+$/.test(host)) continue;
    const port = intAttr(service, 'port', 1, 65_535);
    const transport = attr(service, 'transport') === 'tcp' ? 'tcp' : 'udp';
    const username = attr(service, 'username');
    const credential = attr(service, 'password');
    if (username === null || credential === null) continue;
    // An IPv6 address stands in brackets in a URL (RFC 7065 §3.1), and may come without.
    const authority = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
    out.push({ urls: `${type}:${authority}${port === null ? '' : `:${port}`}?transport=${transport}`, username, credential });
    if (out.length === MAX_SERVERS) break;
  }
  return out;
}
