/** What holds somebody up on the way into a meeting, and what he can do about it. */
import type { ClientConfig } from '../config';

/** How people log in on this deployment, as far as a page can offer it. */
export type LoginWay =
  /** With name and password. */
  | 'password'
  /** At a page that gives out tokens. */
  | 'page'
  /** Not by themselves: somebody gives them a link. */
  | 'none';

export function loginWayOf({ tokenUrl, passwordDomain }: ClientConfig): LoginWay {
  return tokenUrl !== null ? 'page' : passwordDomain !== null ? 'password' : 'none';
}

/** What came of the last try to log in: name or password are wrong, or something else was in the way. */
export type LoginProblem = 'wrong' | 'failed';

export type Gate =
  /** The server takes nobody without a login. */
  | { readonly kind: 'login'; readonly problem: LoginProblem | null }
  /** The room opens when somebody comes who may open it; it is looked again every few seconds. */
  | { readonly kind: 'host'; readonly login: LoginWay; readonly problem: LoginProblem | null }
  /** Visitors wait until the meeting is live; it is looked again every few seconds. */
  | { readonly kind: 'live' }
  /** The room has a password; `refused`: another than the one that was given. */
  | { readonly kind: 'password'; readonly refused: boolean }
  /** A moderator lets people in, one by one. Who has the password may come in with that. */
  | {
      readonly kind: 'lobby';
      /** Whether the moderators have been told. */
      readonly knocked: boolean;
      /** There is no moderator yet: all are let in when one comes. */
      readonly waitsForHost: boolean;
      readonly passwordRefused: boolean;
      /** The lobby insists on a name. */
      readonly nameMissing: boolean;
    };

/** What the condition of a refusal says (RFC 6120 §6.5.10): anything else than a wrong password may be over in a while. */
export function loginProblem(condition: string): LoginProblem {
  return condition === 'not-authorized' ? 'wrong' : 'failed';
}
