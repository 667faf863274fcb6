/**
 * Requests waiting for their answer (RFC 6120 §8.2.3). Time stands still for them while the connection is interrupted: a resumed
 * session still delivers the answers.
 */
import { parseStanzaError, StanzaError } from './errors';
import { attr, type XmlNode } from './xml';

interface Pending {
  readonly to: string | null;
  readonly timeoutMs: number;
  readonly resolve: (answer: Element) => void;
  readonly reject: (error: StanzaError) => void;
  timer: ReturnType<typeof setTimeout> | null;
}

export class IqTracker {
  readonly #pending = new Map<string, Pending>();
  readonly #prefix: string;
  #counter = 0;

  /** `prefix` keeps ids of different sessions apart. */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Registers a request; the answer is the stanza with its id, and a promise of the result. */
  track(request: XmlNode, timeoutMs: number): { stanza: XmlNode; answer: Promise<Element> } {
    this.#counter += 1;
    const id = `${this.#prefix}-${this.#counter}`;
    const stanza: XmlNode = { ...request, attrs: { ...request.attrs, id } };
    const answer = new Promise<Element>((resolve, reject) => {
      const entry: Pending = { to: request.attrs['to'] ?? null, timeoutMs, resolve, reject, timer: null };
      this.#pending.set(id, entry);
      this.#arm(id, entry);
    });
    return { stanza, answer };
  }

  /** Takes an IQ of type result or error; false when it answers nothing of ours. */
  handleAnswer(iq: Element): boolean {
    const id = attr(iq, 'id') ?? '';
    const entry = this.#pending.get(id);
    if (!entry) return false;
    // RFC 6120 §8.1.2.1: the answer comes from whom was asked; a missing `from` stands for the own server.
    const from = attr(iq, 'from');
    if (from !== null && entry.to !== null && from !== entry.to) return false;
    this.#forget(id, entry);
    if (attr(iq, 'type') === 'error') entry.reject(parseStanzaError(iq));
    else entry.resolve(iq);
    return true;
  }

  /** The connection is interrupted: no time-outs until `resume`. */
  pause(): void {
    for (const entry of this.#pending.values()) this.#disarm(entry);
  }

  /** The session goes on. */
  resume(): void {
    for (const [id, entry] of this.#pending) this.#arm(id, entry);
  }

  /** The session is over: nobody will answer. */
  failAll(): void {
    for (const [id, entry] of this.#pending) {
      this.#forget(id, entry);
      entry.reject(new StanzaError('connection-lost'));
    }
  }

  #arm(id: string, entry: Pending): void {
    this.#disarm(entry);
    entry.timer = setTimeout(() => {
      this.#forget(id, entry);
      entry.reject(new StanzaError('timeout'));
    }, entry.timeoutMs);
  }

  #disarm(entry: Pending): void {
    if (entry.timer !== null) clearTimeout(entry.timer);
    entry.timer = null;
  }

  #forget(id: string, entry: Pending): void {
    this.#disarm(entry);
    this.#pending.delete(id);
  }
}
