/**
 * The `config` global of the stock shape, which the server generates at `/config.js`, read defensively; and the URL of a room
 * (protocol/client.md §1.1, §1.2).
 */
import { isRecord } from './xmpp/xml';

/** What this client uses of the deployment's configuration. */
export interface ClientConfig {
  /** XMPP domain, `to` of the stream: that of guests where there is one, unless the page was opened to log in. */
  readonly domain: string;
  /** XMPP domain of those who log in. */
  readonly accountDomain: string;
  /** Whether people log in with a password; the domain of an account that is typed without one. */
  readonly passwordDomain: string | null;
  /** Page that gives out tokens for this room. */
  readonly tokenUrl: string | null;
  /** Token (JWT) in the page's URL. */
  readonly token: string | null;
  /** MUC service. */
  readonly muc: string;
  /** Domain below which visitor nodes have theirs. */
  readonly visitorsDomain: string;
  /** To watch only, where that can be. */
  readonly preferVisitor: boolean;
  /** Visitors wait until a moderator lets them in. */
  readonly liveRooms: boolean;
  /** Address of the conference IQ. */
  readonly focus: string;
  /** `wss://` URL of the XMPP WebSocket. */
  readonly websocket: string;
  /** Set: the conference request goes over HTTP to this URL. */
  readonly conferenceRequestUrl: string | null;
  /** Bare JIDs trusted as the focus before the conference request answers. */
  readonly focusUserJid: string | null;
  /** Bridge channel over the data channel when the offer has one, else over WebSocket. */
  readonly preferSctp: boolean;
  /** Host whose colibri WebSocket URL is passed over. */
  readonly ignoreBridgeDomain: string | null;
  /** Ask the bridge for new ICE parameters before giving a failed session up. */
  readonly iceRestart: boolean;
  /** Media by TURN only, never directly: for tests of relays, and for those whose address the server is not to learn. */
  readonly forceTurnRelay: boolean;
  /** XEP-0198 wanted. */
  readonly resume: boolean;
  /** Last-N sent to the bridge; -1 is no limit. */
  readonly lastN: number;
  readonly prejoin: boolean;
  readonly startWithAudioMuted: boolean;
  readonly startWithVideoMuted: boolean;
  readonly pingIntervalMs: number;
}

/** The configuration lacks a required key, or was not loaded at all (`key` is then `config`). */
export class ConfigError extends Error {
  constructor(readonly key: string) {
    super(`config.js: ${key} is missing or not usable`);
    this.name = 'ConfigError';
  }
}

/** Reads the global; `page` gives the host for relative and protocol-relative URLs. */
export function readConfig(raw: unknown, page: URL): ClientConfig {
  if (!isRecord(raw)) throw new ConfigError('config');
  const hosts = isRecord(raw['hosts']) ? raw['hosts'] : {};
  const guestDomain = text(hosts['anonymousdomain']);
  const accountDomain = text(hosts['domain']) ?? guestDomain;
  if (accountDomain === null) throw new ConfigError('hosts.domain');
  const token = tokenOf(page);
  const logsIn = token !== null || page.searchParams.get('login') === 'true';
  const muc = text(hosts['muc']);
  if (muc === null) throw new ConfigError('hosts.muc');
  const websocket = webSocketUrl(text(raw['websocket']), page);
  if (websocket === null) throw new ConfigError('websocket');

  const channel = isRecord(raw['bridgeChannel']) ? raw['bridgeChannel'] : {};
  const prejoin = isRecord(raw['prejoinConfig']) ? raw['prejoinConfig'] : {};
  const visitors = isRecord(raw['visitors']) ? raw['visitors'] : {};
  const ping = isRecord(raw['xmppPing']) ? raw['xmppPing'] : {};
  return {
    domain: logsIn ? accountDomain : (guestDomain ?? accountDomain),
    accountDomain,
    passwordDomain: text(hosts['authdomain']),
    tokenUrl: httpUrl(text(raw['tokenAuthUrl'])?.replace('{room}', encodeURIComponent(roomNameFromPath(page.pathname))) ?? null, page),
    token,
    muc,
    visitorsDomain: text(hosts['visitorsdomain']) ?? accountDomain,
    preferVisitor: raw['preferVisitor'] === true,
    liveRooms: visitors['liveRooms'] === true,
    focus: text(hosts['focus']) ?? `focus.${accountDomain}`,
    websocket,
    conferenceRequestUrl: httpUrl(text(raw['conferenceRequestUrl']), page),
    focusUserJid: text(raw['focusUserJid']),
    preferSctp: channel['preferSctp'] !== false,
    ignoreBridgeDomain: text(channel['ignoreDomain']),
    iceRestart: raw['enableIceRestart'] === true,
    forceTurnRelay: raw['forceTurnRelay'] === true,
    resume: raw['enableWebsocketResume'] !== false,
    lastN: number(raw['channelLastN']) ?? -1,
    prejoin: prejoin['enabled'] !== false && raw['prejoinPageEnabled'] !== false,
    startWithAudioMuted: raw['startWithAudioMuted'] === true,
    startWithVideoMuted: raw['startWithVideoMuted'] === true,
    pingIntervalMs: Math.max(1000, number(ping['interval']) ?? 10_000),
  };
}

/** The token of a page's URL: in the query, or in the hash, where no server sees it. */
function tokenOf(page: URL): string | null {
  return page.searchParams.get('jwt') || new URLSearchParams(page.hash.slice(1)).get('jwt') || null;
}

/** Keys of the URL hash which a link may set (`#config.x=…`); all others are ignored, for safety. */
const HASH_KEYS = new Set(['prejoinConfig.enabled', 'prejoinPageEnabled', 'startWithAudioMuted', 'startWithVideoMuted', 'channelLastN', 'forceTurnRelay', 'preferVisitor']);

/** What a link's hash may say (protocol of the stock client: `#config.a.b=JSON&userInfo.displayName="X"`). */
export interface HashOverrides {
  readonly config: ReadonlyMap<string, unknown>;
  readonly displayName: string | null;
}

/** Reads `location.hash`; a part that is not JSON or not allowed is left out. */
export function readHash(hash: string): HashOverrides {
  const config = new Map<string, unknown>();
  let displayName: string | null = null;
  for (const part of hash.replace(/^#/, '').split('&')) {
    const at = part.indexOf('=');
    if (at < 0) continue;
    let value: unknown;
    try {
      value = JSON.parse(decodeURIComponent(part.slice(at + 1)));
    } catch {
      continue;
    }
    const key = part.slice(0, at);
    if (key === 'userInfo.displayName') displayName = text(value);
    else if (key.startsWith('config.') && HASH_KEYS.has(key.slice(7))) config.set(key.slice(7), value);
  }
  return { config, displayName };
}

/** The raw configuration with the allowed keys of the hash laid over it; the argument stays as it is. */
export function withOverrides(raw: unknown, overrides: HashOverrides): unknown {
  if (!isRecord(raw)) return raw;
  const out: Record<string, unknown> = { ...raw };
  for (const [key, value] of overrides.config) {
    const [head, tail] = key.split('.');
    if (head === undefined) continue;
    if (tail === undefined) out[head] = value;
    else out[head] = { ...(isRecord(out[head]) ? out[head] : {}), [tail]: value };
  }
  return out;
}

/** Room name as the stock client folds it: decoded, NFKC, lower case. Empty when nothing usable is left. */
export function roomNameFromPath(path: string): string {
  const last = path.split('/').findLast(Boolean) ?? '';
  let decoded = last;
  try {
    decoded = decodeURIComponent(last);
  } catch {
    // A stray percent sign: the text as it stands.
  }
  return foldRoomName(decoded);
}

/** Folds what a person typed into a room name. */
export function foldRoomName(typed: string): string {
  return typed.normalize('NFKC').trim().toLowerCase().replace(/\s+/g, '-').replace(/[/?#&:'"<>@\\]/g, '');
}

/** MUC address of a room: percent escapes become lower case as well. */
export function roomJid(room: string, muc: string): string {
  return `${encodeURIComponent(room).toLowerCase()}@${muc}`;
}

/** The service URL with `room=` and further parameters set. */
export function withQuery(url: string, params: Record<string, string>): string {
  const out = new URL(url);
  for (const [key, value] of Object.entries(params)) out.searchParams.set(key, value);
  return out.href;
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function webSocketUrl(value: string | null, page: URL): string | null {
  const url = value === null ? null : parseUrl(value, page);
  if (url === null) return null;
  if (url.protocol === 'https:') url.protocol = 'wss:';
  if (url.protocol === 'http:') url.protocol = 'ws:';
  return url.protocol === 'wss:' || url.protocol === 'ws:' ? url.href : null;
}

function httpUrl(value: string | null, page: URL): string | null {
  const url = value === null ? null : parseUrl(value, page);
  return url !== null && (url.protocol === 'https:' || url.protocol === 'http:') ? url.href : null;
}

function parseUrl(value: string, page: URL): URL | null {
  try {
    return new URL(value, page);
  } catch {
    return null;
  }
}
