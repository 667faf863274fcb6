/** Why a meeting could not be entered or ended: codes for the user interface, which has the sentences. */
import type { ConferenceRequestError } from '../focus/conferenceRequest';
import type { JoinError } from '../muc/Room';
import type { Ended } from '../muc/presence';
import type { ConnectionEnd } from '../xmpp/XmppConnection';

export type FailureCode =
  /** The server does not answer. */
  | 'server-unreachable'
  /** It answered once and has been gone for too long. */
  | 'connection-lost'
  /** An account or a token is needed. */
  | 'not-authorized'
  /** The token is for a meeting that is still to come; `at` says when. */
  | 'too-early'
  /** It is for one that is over. */
  | 'too-late'
  /** The focus did not give a conference. */
  | 'conference-failed'
  /** A reservation system refused; the text says why. */
  | 'reservation'
  | 'room-full'
  | 'password-required'
  | 'members-only'
  /** A moderator did not let us in. */
  | 'lobby-denied'
  | 'name-required'
  | 'join-refused'
  /** Others watch, and come in when a moderator lets them. */
  | 'promotion-not-allowed'
  | 'not-live'
  /** There is a lobby, and nobody can watch meanwhile. */
  | 'no-visitors'
  | 'kicked'
  | 'destroyed'
  /** The browser could not use the bridge's offer. */
  | 'media-failed'
  /** No path for audio and video to the bridge. */
  | 'media-blocked';

export interface Failure {
  readonly code: FailureCode;
  /** The server's own words, in its language; empty when there are none. */
  readonly text: string;
  /** Who did it (display name), for a kick. */
  readonly actor: string;
  /** The time that it is about, in milliseconds since 1970. */
  readonly at: number | null;
}

export function failure(code: FailureCode, text = '', actor = '', at: number | null = null): Failure {
  return { code, text, actor, at };
}

/** What stock and our server say of a token outside its time (protocol/signaling.md §3.2). */
const NOT_YET = 'Not acceptable by nbf';
const NO_MORE = 'Not acceptable by exp';

export function failureOfConnection(end: ConnectionEnd, token: string | null): Failure | null {
  switch (end.reason) {
    case 'unreachable':
      return failure('server-unreachable');
    case 'lost':
      return failure('connection-lost');
    case 'refused':
      if (end.text === NOT_YET) return failure('too-early', '', '', beginOf(token));
      return end.text.startsWith(NO_MORE) ? failure('too-late') : failure('not-authorized', end.text);
    case 'login-needed':
      return failure('not-authorized');
    case 'stopped':
      return null;
  }
}

/** From when on a token counts (RFC 7519 §4.1.5), as it says itself. */
function beginOf(token: string | null): number | null {
  try {
    const payload = token?.split('.')[1]?.replaceAll('-', '+').replaceAll('_', '/') ?? '';
    const claims = JSON.parse(atob(payload)) as { nbf?: unknown };
    return typeof claims.nbf === 'number' && Number.isFinite(claims.nbf) ? claims.nbf * 1000 : null;
  } catch {
    return null;
  }
}

export function failureOfRequest(error: ConferenceRequestError): Failure {
  switch (error.kind) {
    case 'not-authorized':
      return failure('not-authorized', error.text);
    case 'reservation':
      return failure('reservation', error.text);
    case 'session-invalid':
    case 'failed':
      return failure('conference-failed', error.text);
  }
}

export function failureOfJoin(error: JoinError): Failure {
  switch (error.kind) {
    case 'full':
      return failure('room-full', error.text);
    case 'password':
      return failure('password-required', error.text);
    case 'members-only':
      return failure('members-only', error.text);
    case 'name-required':
      return failure('name-required', error.text);
    case 'promotion-not-allowed':
    case 'not-live':
    case 'no-visitors':
      return failure(error.kind);
    case 'not-allowed':
      return failure('join-refused', error.text);
    case 'no-answer':
    case 'other':
      return failure('conference-failed', error.text);
  }
}

export function failureOfEnd(ended: Ended, nameOf: (id: string) => string): Failure {
  return ended.kind === 'kicked' ? failure('kicked', ended.reason, nameOf(ended.actor)) : failure('destroyed', ended.reason);
}
