/**
 * Reading Jingle (protocol/client.md §7.2). Whatever ends up in SDP is checked here, so that no value can smuggle a line break
 * or a second attribute into it.
 */
import { NS } from '../xmpp/ns';
import { StanzaError } from '../xmpp/errors';
import { attr, child, children, intAttr } from '../xmpp/xml';
import type { Content, Feedback, HeaderExtension, IceCandidate, IceTransport, PayloadType, RtpContent, SessionOffer } from './model';
import { parseSources } from './sources';

const MAX_PAYLOAD_TYPES = 64;
const MAX_EXTENSIONS = 32;
const MAX_CANDIDATES = 64;

/** Reads a session-initiate; throws a `StanzaError` (`bad-request`) that says what is missing. */
export function parseOffer(jingle: Element): SessionOffer {
  const contents: Content[] = [];
  let transport: IceTransport | null = null;
  for (const element of children(jingle, 'content')) {
    transport ??= parseTransport(element);
    const content = parseContent(element);
    if (content && !contents.some((other) => other.kind === content.kind)) contents.push(content);
  }
  const sid = attr(jingle, 'sid');
  if (sid === null) throw badRequest('no sid');
  if (!transport?.fingerprint) throw badRequest('no transport with a fingerprint');
  if (!contents.some((content) => content.kind === 'audio') || !contents.some((content) => content.kind === 'video')) {
    throw badRequest('audio and video contents are needed');
  }
  return {
    sid,
    initiator: attr(jingle, 'initiator') ?? '',
    bridgeSessionId: attr(child(jingle, 'bridge-session', NS.FOCUS), 'id') ?? '',
    contents,
    transport,
    sources: parseSources(jingle),
  };
}

function parseContent(element: Element): Content | null {
  const name = token(attr(element, 'name')) ?? '';
  const description = child(element, 'description', NS.RTP);
  const media = attr(description, 'media');
  if (description && (media === 'audio' || media === 'video')) return parseRtp(description, media, name);
  const sctp = child(child(element, 'transport', NS.ICE_UDP), 'sctpmap', NS.DTLS_SCTP);
  return sctp ? { kind: 'data', name, sctpPort: intAttr(sctp, 'number', 1, 65_535) ?? 5000 } : null;
}

function parseRtp(description: Element, kind: RtpContent['kind'], name: string): RtpContent {
  const wildcard = parseFeedback(description);
  return {
    kind,
    name,
    payloadTypes: children(description, 'payload-type')
      .map((element) => parsePayloadType(element, wildcard))
      .filter((payload) => payload !== null)
      .slice(0, MAX_PAYLOAD_TYPES),
    extensions: children(description, 'rtp-hdrext', NS.RTP_HDREXT).map(parseExtension).filter((extension) => extension !== null).slice(0, MAX_EXTENSIONS),
    extmapAllowMixed: child(description, 'extmap-allow-mixed') !== null,
  };
}

function parsePayloadType(element: Element, wildcard: readonly Feedback[]): PayloadType | null {
  const id = intAttr(element, 'id', 0, 127);
  const name = token(attr(element, 'name'));
  const clockrate = intAttr(element, 'clockrate', 1, 1_000_000);
  if (id === null || name === null || clockrate === null) return null;
  const parameters = children(element, 'parameter').flatMap((parameter) => {
    const key = attr(parameter, 'name') ?? '';
    const value = attr(parameter, 'value') ?? '';
    return /^[\w-]*$/.test(key) && /^[\x20-\x7e]*$/.test(value) && !value.includes(';') ? [{ name: key, value }] : [];
  });
  return { id, name, clockrate, channels: intAttr(element, 'channels', 1, 8) ?? 1, parameters, feedback: [...parseFeedback(element), ...wildcard] };
}

function parseFeedback(parent: Element): Feedback[] {
  return children(parent, 'rtcp-fb', NS.RTCP_FB).flatMap((element) => {
    const type = token(attr(element, 'type'));
    return type === null ? [] : [{ type, subtype: token(attr(element, 'subtype')) ?? '' }];
  });
}

function parseExtension(element: Element): HeaderExtension | null {
  const id = intAttr(element, 'id', 1, 255);
  const uri = token(attr(element, 'uri'));
  return id === null || uri === null ? null : { id, uri };
}

/** Reads the ICE transport of a content; `null` when it has none, or none that could work. */
export function parseTransport(content: Element): IceTransport | null {
  const transport = child(content, 'transport', NS.ICE_UDP);
  const ufrag = token(attr(transport, 'ufrag'));
  const pwd = token(attr(transport, 'pwd'));
  if (!transport || ufrag === null || pwd === null) return null;
  const fingerprint = child(transport, 'fingerprint', NS.DTLS);
  const value = fingerprint?.textContent?.trim() ?? '';
  const hash = token(attr(fingerprint, 'hash'));
  const setup = attr(fingerprint, 'setup') ?? 'actpass';
  return {
    ufrag,
    pwd,
    fingerprint: hash !== null && /^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})+$/.test(value) && /^(actpass|active|passive)$/.test(setup) ? { hash, value, setup } : null,
    candidates: children(transport, 'candidate').map(parseCandidate).filter((candidate) => candidate !== null).slice(0, MAX_CANDIDATES),
    webSockets: children(transport, 'web-socket', NS.COLIBRI).flatMap((element) => attr(element, 'url') ?? []),
  };
}

function parseCandidate(element: Element): IceCandidate | null {
  const foundation = token(attr(element, 'foundation'));
  const component = intAttr(element, 'component', 1, 2);
  const protocol = attr(element, 'protocol')?.toLowerCase();
  const priority = intAttr(element, 'priority', 0, 0xffff_ffff);
  const ip = attr(element, 'ip');
  const port = intAttr(element, 'port', 0, 65_535);
  const type = attr(element, 'type');
  if (foundation === null || component === null || priority === null || port === null) return null;
  if (ip === null || !/^[0-9A-Za-z.:-]+$/.test(ip) || (protocol !== 'udp' && protocol !== 'tcp')) return null;
  if (type !== 'host' && type !== 'srflx' && type !== 'prflx' && type !== 'relay') return null;
  const related = attr(element, 'rel-addr');
  return {
    foundation,
    component,
    protocol,
    priority,
    ip,
    port,
    type,
    tcpType: protocol === 'tcp' ? (token(attr(element, 'tcptype')) ?? 'passive') : null,
    relatedAddress: related !== null && /^[0-9A-Za-z.:-]+$/.test(related) ? related : null,
    relatedPort: intAttr(element, 'rel-port', 0, 65_535),
  };
}

/** Printable ASCII without spaces, or `null`. */
function token(value: string | null): string | null {
  return value !== null && /^[\x21-\x7e]+$/.test(value) ? value : null;
}

function badRequest(text: string): StanzaError {
  return new StanzaError('bad-request', 'modify', text);
}
