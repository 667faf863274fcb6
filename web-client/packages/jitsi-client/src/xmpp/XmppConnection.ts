/**
 * The connection that outlives its sockets: start, retry, resume, requests and answers, ping.
 *
 * Here: driving the table of `lifecycle`, the outbox of an outage, XEP-0199. Not here: framing and SASL (`StropheStream`), MUC, Jingle.
 */
import { Emitter } from '../events';
import { withQuery } from '../config';
import { StanzaError } from './errors';
import { IqTracker } from './IqTracker';
import { backoffMs, MAX_FIRST_TRIES, MAX_OUTAGE_MS, nextState, type LinkInput, type LinkState } from './lifecycle';
import { NS } from './ns';
import type { Account, DownCause, Stream, StreamFactory } from './stream';
import { attr, child, toElement, x, type XmlNode } from './xml';

/** Default wait for the answer of an IQ, as the stock client's Jingle requests. */
export const IQ_TIMEOUT_MS = 10_000;
const PING_TIMEOUT_MS = 5_000;
const PING_FAILURES = 2;
/** Stanzas kept during an outage; more than this only a runaway loop produces, and then the oldest go. */
const MAX_OUTBOX = 200;

export type ConnectionEnd =
  /** Never reached, or away for too long. */
  | { readonly reason: 'unreachable' | 'lost' }
  /** The server takes nobody without an account. */
  | { readonly reason: 'login-needed' }
  /** SASL refused (RFC 6120 §6.5); `text` from the server. */
  | { readonly reason: 'refused'; readonly condition: string; readonly text: string }
  /** `stop` was called. */
  | { readonly reason: 'stopped' };

export type ConnectionEvents = {
  /** A new session: everything of an earlier one (rooms, Jingle sessions) is gone. */
  session: [jid: string];
  /** The interrupted session goes on as if nothing had happened. */
  resumed: [];
  /** No socket; retrying. */
  interrupted: [];
  /** Over for good. */
  closed: [end: ConnectionEnd];
  message: [stanza: Element];
  presence: [stanza: Element];
};

export interface ConnectionOptions {
  readonly url: string;
  readonly domain: string;
  /** Whom to log in as. */
  readonly account?: Account | null;
  readonly pingIntervalMs: number;
}

/** Answers a request: a result payload (or nothing), or throws a `StanzaError`; `null` = not mine. */
export type IqHandler = (iq: Element) => XmlNode | true | null;

export class XmppConnection extends Emitter<ConnectionEvents> {
  readonly #options: ConnectionOptions;
  readonly #streams: StreamFactory;
  readonly #iqHandlers: IqHandler[] = [];
  #iqs = new IqTracker('q');
  #state: LinkState = 'idle';
  #stream: Stream | null = null;
  #jid = '';
  #hadSession = false;
  #tries = 0;
  #outageSince = 0;
  #retryTimer: ReturnType<typeof setTimeout> | null = null;
  #outbox: Element[] = [];
  #pingTimer: ReturnType<typeof setInterval> | null = null;
  #pingFailures = 0;
  #heardSincePing = false;
  readonly #onOnline = (): void => this.#retryNow();

  constructor(options: ConnectionOptions, streams: StreamFactory) {
    super();
    this.#options = options;
    this.#streams = streams;
  }

  /** Full JID of the current session; empty before the first. */
  get jid(): string {
    return this.#jid;
  }

  get state(): LinkState {
    return this.#state;
  }

  get domain(): string {
    return this.#options.domain;
  }

  start(): void {
    if (!this.#step('start')) return;
    globalThis.addEventListener?.('online', this.#onOnline);
    this.#open(false);
  }

  /** Says goodbye and closes. */
  stop(): void {
    if (!this.#step('stop')) return;
    const stream = this.#stream;
    this.#stream = null;
    stream?.close();
    this.#end({ reason: 'stopped' });
  }

  /** Sends a stanza, or keeps it for the resumed session. */
  send(node: XmlNode): void {
    if (this.#state === 'closed') return;
    const element = toElement(node.attrs['xmlns'] === undefined ? { ...node, attrs: { xmlns: NS.CLIENT, ...node.attrs } } : node);
    if (this.#state === 'online' && this.#stream) {
      this.#stream.send(element);
      return;
    }
    this.#outbox.push(element);
    if (this.#outbox.length > MAX_OUTBOX) this.#outbox.shift();
  }

  /** Sends an IQ get or set; rejects with a `StanzaError`. */
  async request(node: XmlNode, timeoutMs: number = IQ_TIMEOUT_MS): Promise<Element> {
    if (this.#state === 'closed') throw new StanzaError('connection-lost');
    const { stanza, answer } = this.#iqs.track(node, timeoutMs);
    if (this.#state !== 'online') this.#iqs.pause();
    this.send(stanza);
    return answer;
  }

  /** Adds a handler of incoming requests; the first that does not answer `null` wins. The answer removes it. */
  handleRequests(handler: IqHandler): () => void {
    this.#iqHandlers.push(handler);
    return () => {
      const at = this.#iqHandlers.indexOf(handler);
      if (at >= 0) this.#iqHandlers.splice(at, 1);
    };
  }

  #step(input: LinkInput): boolean {
    const next = nextState(this.#state, input);
    if (next === null) return false;
    this.#state = next;
    return true;
  }

  #open(resume: boolean): void {
    const id = resume ? this.#streams.resumableId() : null;
    const url = id === null ? this.#options.url : withQuery(this.#options.url, { previd: id });
    let stream: Stream | null = null;
    const mine = (): boolean => this.#stream === stream;
    try {
      stream = this.#streams.open(
        { url, domain: this.#options.domain, account: this.#options.account ?? null, resume: id !== null },
        {
          onReady: (jid, resumed) => mine() && this.#onReady(jid, resumed),
          onResumeRefused: () => mine() && this.#onResumeRefused(),
          onDown: (cause) => mine() && this.#onDown(cause),
          onStanza: (stanza) => mine() && this.#onStanza(stanza),
        },
      );
      this.#stream = stream;
    } catch (error) {
      // The WebSocket constructor throws for a URL it refuses (mixed content, blocked port).
      this.#onDown({ kind: 'lost', detail: String(error) });
    }
  }

  #onReady(jid: string, resumed: boolean): void {
    if (!this.#step(resumed ? 'resumed' : 'bound')) return;
    this.#tries = 0;
    this.#startPing();
    if (resumed) {
      this.#iqs.resume();
      const kept = this.#outbox;
      this.#outbox = [];
      for (const element of kept) this.#stream?.send(element);
      this.emit('resumed');
      return;
    }
    this.#jid = jid;
    // Whatever was kept belonged to the session that is gone.
    this.#outbox = [];
    this.#iqs.failAll();
    this.#iqs = new IqTracker(`q${Date.now().toString(36)}`);
    this.#hadSession = true;
    this.emit('session', jid);
  }

  #onResumeRefused(): void {
    if (!this.#step('resume-refused')) return;
    this.#streams.forgetSession();
    this.#open(false);
  }

  #onDown(cause: DownCause): void {
    this.#stream = null;
    this.#stopPing();
    this.#iqs.pause();
    if (cause.kind === 'refused') {
      if (this.#step('refused')) this.#end({ reason: 'refused', condition: cause.condition, text: cause.text });
      return;
    }
    if (cause.kind === 'other-login') {
      if (this.#step('refused')) this.#end({ reason: 'login-needed' });
      return;
    }
    const wasOnline = this.#state === 'online';
    if (!this.#step('dropped')) return;
    if (wasOnline) {
      this.#outageSince = Date.now();
      this.emit('interrupted');
    }
    this.#tries += 1;
    const tooLong = this.#hadSession ? Date.now() - this.#outageSince > MAX_OUTAGE_MS : this.#tries >= MAX_FIRST_TRIES;
    if (tooLong) {
      if (this.#step('give-up')) this.#end({ reason: this.#hadSession ? 'lost' : 'unreachable' });
      return;
    }
    this.#retryTimer = setTimeout(() => this.#retryNow(), backoffMs(this.#tries, Math.random()));
  }

  #retryNow(): void {
    if (this.#state !== 'waiting') return;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    const resume = this.#streams.resumableId() !== null;
    if (this.#step(resume ? 'retry-resume' : 'retry-fresh')) this.#open(resume);
  }

  #end(end: ConnectionEnd): void {
    globalThis.removeEventListener?.('online', this.#onOnline);
    this.#stopPing();
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    this.#iqs.failAll();
    this.#outbox = [];
    this.emit('closed', end);
  }

  #onStanza(stanza: Element): void {
    this.#heardSincePing = true;
    this.#pingFailures = 0;
    switch (stanza.localName) {
      case 'iq':
        this.#onIq(stanza);
        break;
      case 'message':
        this.emit('message', stanza);
        break;
      case 'presence':
        this.emit('presence', stanza);
        break;
      default:
    }
  }

  #onIq(iq: Element): void {
    const type = attr(iq, 'type');
    if (type === 'result' || type === 'error') {
      this.#iqs.handleAnswer(iq);
      return;
    }
    if (type !== 'get' && type !== 'set') return;
    const reply = { to: attr(iq, 'from'), id: attr(iq, 'id') };
    try {
      for (const handler of this.#iqHandlers.slice()) {
        const answer = handler(iq);
        if (answer === null) continue;
        this.send(x('iq', { type: 'result', ...reply }, answer === true ? null : answer));
        return;
      }
      if (type === 'get' && child(iq, 'ping', NS.PING)) {
        this.send(x('iq', { type: 'result', ...reply }));
        return;
      }
      throw new StanzaError('service-unavailable', 'cancel');
    } catch (error) {
      const known = error instanceof StanzaError ? error : new StanzaError('internal-server-error', 'cancel');
      this.send(errorReply(reply, known));
    }
  }

  #startPing(): void {
    this.#stopPing();
    this.#pingFailures = 0;
    this.#heardSincePing = true;
    this.#pingTimer = setInterval(() => void this.#ping(), this.#options.pingIntervalMs);
  }

  #stopPing(): void {
    if (this.#pingTimer !== null) clearInterval(this.#pingTimer);
    this.#pingTimer = null;
  }

  /** XEP-0199, as the stock client: only when nothing was heard since the last tick. */
  async #ping(): Promise<void> {
    if (this.#heardSincePing) {
      this.#heardSincePing = false;
      return;
    }
    try {
      await this.request(x('iq', { type: 'get', to: this.#options.domain }, x('ping', { xmlns: NS.PING })), PING_TIMEOUT_MS);
    } catch (error) {
      if (!(error instanceof StanzaError) || error.condition !== 'timeout' || this.#heardSincePing) return;
      this.#pingFailures += 1;
      if (this.#pingFailures < PING_FAILURES || this.#state !== 'online') return;
      this.#stream?.abort();
      this.#onDown({ kind: 'lost', detail: 'ping' });
    }
  }
}

function errorReply(reply: { to: string | null; id: string | null }, error: StanzaError): XmlNode {
  return x(
    'iq',
    { type: 'error', ...reply },
    x(
      'error',
      { type: error.type || 'cancel' },
      x(error.condition, { xmlns: NS.STANZAS }),
      error.text === '' ? null : x('text', { xmlns: NS.STANZAS }, error.text),
      error.extra,
    ),
  );
}
