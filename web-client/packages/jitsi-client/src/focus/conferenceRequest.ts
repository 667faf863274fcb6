/**
 * The request for a conference, by HTTP or by IQ, which comes before every join (protocol/client.md §4).
 *
 * Here: both forms, their answers and errors as types, the retry while the focus is not ready. Not here: the MUC join.
 */
import { StanzaError } from '../xmpp/errors';
import { NS } from '../xmpp/ns';
import { attr, child, children, isRecord, x, type XmlNode } from '../xmpp/xml';

export interface ConferenceRequest {
  readonly room: string;
  /** Names this browser profile to the focus across sessions. */
  readonly machineUid: string;
  readonly sessionId: string | null;
  /** Token (JWT) of who asks. */
  readonly token: string | null;
  /** To watch only. */
  readonly watch: boolean;
}

export interface ConferenceReply {
  readonly ready: boolean;
  /** Bare JID of the focus; its occupant's real JID starts with it. */
  readonly focusJid: string | null;
  readonly sessionId: string | null;
  /** The visitor node to go to instead of the room itself. */
  readonly vnode: string | null;
  readonly properties: ReadonlyMap<string, string>;
}

/** Whether visitors of the meeting have to wait until it is live. */
export function isNotLive(reply: ConferenceReply): boolean {
  return !reply.ready && reply.properties.get('live') === 'false';
}

export type ConferenceErrorKind =
  /** An account or a token is needed. */
  | 'not-authorized'
  /** The stored session id is no longer good; asking without it helps. */
  | 'session-invalid'
  /** A reservation system said no; the text is for people. */
  | 'reservation'
  /** The focus did not answer, or answered something else. */
  | 'failed';

export class ConferenceRequestError extends Error {
  constructor(readonly kind: ConferenceErrorKind, readonly text: string = '') {
    super(text === '' ? kind : `${kind}: ${text}`);
    this.name = 'ConferenceRequestError';
  }
}

/** The stock client never gives up waiting for this IQ; a person should hear about it sooner. */
export const REQUEST_TIMEOUT_MS = 15_000;
/** Tries while the focus says that it is not ready: 1, 2, 4, 8 … s apart. */
const MAX_NOT_READY = 6;
const MAX_NOT_READY_DELAY_MS = 16_000;

/** What the focus is told besides. That this client knows of visitors lets it be sent to their nodes. */
function propertiesOf(request: ConferenceRequest): Record<string, boolean | number> {
  return { rtcstatsEnabled: false, 'visitors-version': 1, ...(request.watch ? { visitor: true } : {}) };
}

export function buildConferenceIq(focus: string, request: ConferenceRequest): XmlNode {
  return x(
    'iq',
    { type: 'set', to: focus },
    x(
      'conference',
      { xmlns: NS.FOCUS, room: request.room, 'machine-uid': request.machineUid, 'session-id': request.sessionId, token: request.token },
      Object.entries(propertiesOf(request)).map(([name, value]) => x('property', { name, value })),
    ),
  );
}

export function parseConferenceIq(answer: Element): ConferenceReply {
  const conference = child(answer, 'conference', NS.FOCUS);
  if (!conference) throw new ConferenceRequestError('failed', 'answer without <conference/>');
  const properties = new Map<string, string>();
  for (const property of children(conference, 'property')) {
    const name = attr(property, 'name');
    if (name !== null) properties.set(name, property.getAttribute('value') ?? '');
  }
  return {
    ready: attr(conference, 'ready') === 'true',
    focusJid: attr(conference, 'focusjid'),
    sessionId: attr(conference, 'session-id'),
    vnode: nodeName(attr(conference, 'vnode')),
    properties,
  };
}

/** Turns the error answer of the focus into a type. */
export function conferenceErrorFrom(error: unknown): ConferenceRequestError {
  if (error instanceof ConferenceRequestError) return error;
  if (!(error instanceof StanzaError)) return new ConferenceRequestError('failed', error instanceof Error ? error.message : String(error));
  const has = (name: string): boolean => child(error.element, name) !== null;
  if (has('reservation-error')) return new ConferenceRequestError('reservation', error.text);
  if (has('session-invalid') || has('not-acceptable')) return new ConferenceRequestError('session-invalid', error.text);
  if (has('not-authorized')) return new ConferenceRequestError('not-authorized', error.text);
  return new ConferenceRequestError('failed', error.message);
}

/** Body of the HTTP form; property values are JSON values there. */
export function buildConferenceJson(request: ConferenceRequest): string {
  return JSON.stringify({
    room: request.room,
    machineUid: request.machineUid,
    ...(request.sessionId === null ? {} : { sessionId: request.sessionId }),
    properties: propertiesOf(request),
  });
}

export function parseConferenceJson(body: unknown): ConferenceReply {
  if (!isRecord(body)) throw new ConferenceRequestError('failed', 'answer is not a JSON object');
  const properties = new Map<string, string>();
  for (const [name, value] of Object.entries(isRecord(body['properties']) ? body['properties'] : {})) properties.set(name, String(value));
  const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
  return { ready: body['ready'] === true, focusJid: text(body['focusJid']), sessionId: text(body['sessionId']), vnode: nodeName(text(body['vnode'])), properties };
}

/** The name of a node becomes the first label of a domain. */
function nodeName(text: string | null): string | null {
  if (text !== null && !/^[\w-]{1,63}$/.test(text)) throw new ConferenceRequestError('failed', 'answer with an impossible vnode');
  return text;
}

/** Asks once over HTTP. */
export async function requestByHttp(url: string, request: ConferenceRequest, fetcher: typeof fetch = fetch): Promise<ConferenceReply> {
  let response: Response;
  try {
    response = await fetcher(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...(request.token === null ? {} : { Authorization: `Bearer ${request.token}` }) },
      body: buildConferenceJson(request),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
  } catch (error) {
    throw new ConferenceRequestError('failed', error instanceof Error ? error.message : String(error));
  }
  if (response.status === 403) throw new ConferenceRequestError('not-authorized');
  if (!response.ok) {
    const body = await response.text().catch(() => '');
    throw new ConferenceRequestError(body.includes('invalid-session') ? 'session-invalid' : 'failed', `HTTP ${response.status}`);
  }
  return parseConferenceJson(await response.json().catch(() => null));
}

/** Repeats `ask` until the focus is ready, or has visitors wait; forgets a refused session id once. */
export async function untilReady(
  request: ConferenceRequest,
  ask: (request: ConferenceRequest) => Promise<ConferenceReply>,
  sleep: (ms: number) => Promise<void> = (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
): Promise<ConferenceReply> {
  let current = request;
  for (let tries = 0; tries < MAX_NOT_READY; tries += 1) {
    try {
      const reply = await ask(current);
      if (reply.ready || isNotLive(reply)) return reply;
    } catch (thrown) {
      const error = conferenceErrorFrom(thrown);
      if (error.kind !== 'session-invalid' || current.sessionId === null) throw error;
      current = { ...current, sessionId: null };
      continue;
    }
    await sleep(Math.min(MAX_NOT_READY_DELAY_MS, 1000 * 2 ** tries));
  }
  throw new ConferenceRequestError('failed', 'the focus is not ready');
}
