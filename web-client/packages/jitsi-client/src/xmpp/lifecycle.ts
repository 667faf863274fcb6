/**
 * The life of the connection to the XMPP server as a table of states and inputs.
 *
 *   idle → connecting → online ⇄ waiting → resuming → online
 *                ↑                  │          │
 *                └──────────────────┴──────────┘        any → closed
 *
 * Here: which input leads where. Not here: sockets (`StropheStream`), delays and giving up (`backoff`), what the meeting does about it.
 */

export type LinkState = 'idle' | 'connecting' | 'online' | 'waiting' | 'resuming' | 'closed';

export type LinkInput =
  /** The owner wants a connection. */
  | 'start'
  /** A resource was bound: a new session. */
  | 'bound'
  /** The server took the old session up again (XEP-0198 §5). */
  | 'resumed'
  /** The server no longer knows the old session. */
  | 'resume-refused'
  /** The socket is gone, or never came to life. */
  | 'dropped'
  /** The delay is over; there is a session to resume. */
  | 'retry-resume'
  /** The delay is over; a new session is needed. */
  | 'retry-fresh'
  /** SASL said no: trying again would not help. */
  | 'refused'
  /** Too many tries. */
  | 'give-up'
  /** The owner is done. */
  | 'stop';

const TABLE: Readonly<Record<LinkState, Partial<Record<LinkInput, LinkState>>>> = {
  idle: { start: 'connecting', stop: 'closed' },
  connecting: { bound: 'online', dropped: 'waiting', refused: 'closed', stop: 'closed' },
  online: { dropped: 'waiting', stop: 'closed' },
  waiting: { 'retry-resume': 'resuming', 'retry-fresh': 'connecting', 'give-up': 'closed', stop: 'closed' },
  resuming: { resumed: 'online', 'resume-refused': 'connecting', dropped: 'waiting', refused: 'closed', stop: 'closed' },
  closed: {},
};

/** The next state, or `null` when this input means nothing in this state (a late event of an abandoned socket, say). */
export function nextState(state: LinkState, input: LinkInput): LinkState | null {
  return TABLE[state][input] ?? null;
}

/** Tries before the first session; a person is waiting at a spinner, so few. */
export const MAX_FIRST_TRIES = 3;
/** How long an interrupted session is retried; servers keep a detached session for 60 s or more. */
export const MAX_OUTAGE_MS = 120_000;
const BASE_DELAY_MS = 500;
const MAX_DELAY_MS = 8_000;

/** Delay before try `n` (1 is the first retry): doubling, capped, with up to half of it taken off at random (`random` in 0..1). */
export function backoffMs(n: number, random: number): number {
  const full = Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** Math.max(0, n - 1));
  return Math.round(full * (1 - random / 2));
}
