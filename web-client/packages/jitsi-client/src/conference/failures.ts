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
}

export function failure(code: FailureCode, text = '', actor = ''): Failure {
  return { code, text, actor };
}

export function failureOfConnection(end: ConnectionEnd): Failure | null {
  switch (end.reason) {
    case 'unreachable':
      return failure('server-unreachable');
    case 'lost':
      return failure('connection-lost');
    case 'refused':
      return failure('not-authorized', end.text);
    case 'login-needed':
      return failure('not-authorized');
    case 'stopped':
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
