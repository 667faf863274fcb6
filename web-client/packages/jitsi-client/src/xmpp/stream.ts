/** What `XmppConnection` needs of a transport: one attempt at one stream. `StropheStream` is the real one, tests bring their own. */

export interface StreamHandlers {
  /** A session exists: new (`resumed` false) or taken up again. Stanzas may be sent from here on. */
  onReady(jid: string, resumed: boolean): void;
  /** A resume was asked for and refused; this stream is of no further use. */
  onResumeRefused(): void;
  /** The stream is over or never began. Called once, and never after `close` or `abort`. */
  onDown(cause: DownCause): void;
  /** A stanza (iq, message, presence) came in. */
  onStanza(stanza: Element): void;
}

export type DownCause =
  | { readonly kind: 'lost'; readonly detail: string }
  /** The server takes nobody in this way: without an account, or with one. */
  | { readonly kind: 'other-login' }
  /** SASL failed (RFC 6120 §6.5): `text` is the server's reason, empty when it gave none. */
  | { readonly kind: 'refused'; readonly condition: string; readonly text: string };

export interface Stream {
  send(stanza: Element): void;
  /** Says goodbye, synchronously as far as the socket goes: it also works while the page unloads. */
  close(): void;
  /** Drops the socket so that the server keeps the session for a resume. */
  abort(): void;
}

/** An account and its password. */
export interface Account {
  /** Bare JID. */
  readonly jid: string;
  readonly password: string;
}

export interface StreamRequest {
  readonly url: string;
  readonly domain: string;
  /** Whom to log in as; `null` for nobody. */
  readonly account: Account | null;
  /** Take the previous session up again rather than bind a new one. */
  readonly resume: boolean;
}

export interface StreamFactory {
  open(request: StreamRequest, handlers: StreamHandlers): Stream;
  /** Id of the session that can be resumed, `null` when there is none. */
  resumableId(): string | null;
  /** Forgets the resumable session. */
  forgetSession(): void;
}
