/**
 * Streams over strophe.js: RFC 7395 framing, SASL (ANONYMOUS, or SCRAM and PLAIN with an account), resource binding, XEP-0198 counting and resumption.
 *
 * Strophe's Connection object is used for one attempt only: it keeps unsent data and handlers of a dead socket, which a second
 * connect would send or call again. What outlives an attempt is the storage of the stream-management state.
 */
import { Strophe } from 'strophe.js';
import type { DownCause, Stream, StreamFactory, StreamHandlers, StreamRequest } from './stream';
import { childText } from './xml';

type Connection = InstanceType<typeof Strophe.Connection>;

/** An attempt that has neither succeeded nor failed by then has failed: some closes of a socket are not reported by strophe. */
const ATTEMPT_TIMEOUT_MS = 15_000;

export class StropheStreams implements StreamFactory {
  readonly #wantResume: boolean;
  #storage = new Strophe.MemoryStorageBackend();
  #sessionId: string | null = null;

  constructor(wantResume: boolean) {
    this.#wantResume = wantResume;
    Strophe.setLogLevel(Strophe.LogLevel.FATAL);
  }

  open(request: StreamRequest, handlers: StreamHandlers): Stream {
    if (!request.resume) this.forgetSession();
    const connection = new Strophe.Connection(request.url, {
      mechanisms: request.account === null ? [Strophe.SASLAnonymous] : [Strophe.SASLSHA256, Strophe.SASLSHA1, Strophe.SASLPlain],
      explicitResourceBinding: true,
      enableStreamManagement: this.#wantResume,
      streamManagement: { storage: this.#storage },
    });
    return new StropheStream(connection, request, handlers, () => this.#remember(connection));
  }

  resumableId(): string | null {
    return this.#sessionId;
  }

  forgetSession(): void {
    this.#storage = new Strophe.MemoryStorageBackend();
    this.#sessionId = null;
  }

  #remember(connection: Connection): void {
    const state = connection.sm?.state;
    this.#sessionId = state?.resumeSupported && state.id ? state.id : null;
  }
}

class StropheStream implements Stream {
  readonly #connection: Connection;
  readonly #handlers: StreamHandlers;
  readonly #resuming: boolean;
  #over = false;
  #timer: ReturnType<typeof setTimeout> | null;

  constructor(connection: Connection, request: StreamRequest, handlers: StreamHandlers, remember: () => void) {
    this.#connection = connection;
    this.#handlers = handlers;
    this.#resuming = request.resume;
    this.#timer = setTimeout(() => this.#end({ kind: 'lost', detail: 'no answer' }), ATTEMPT_TIMEOUT_MS);
    if (connection.sm) connection.sm.onEnabled = remember;
    // After `connect`, which forgets earlier handlers; the socket cannot have delivered anything yet.
    const { account } = request;
    connection.connect(account?.jid ?? request.domain, account?.password ?? '', (status, condition, element) => this.#onStatus(status, condition, element));
    connection.addHandler((stanza) => this.#onStanza(stanza), null, null, null);
  }

  send(stanza: Element): void {
    if (!this.#over) this.#connection.send(stanza);
  }

  close(): void {
    if (this.#over) return;
    this.#finish();
    this.#connection.disconnect();
  }

  abort(): void {
    if (this.#over) return;
    this.#finish();
    this.#connection._doDisconnect();
  }

  #onStatus(status: number, condition: string | null, element?: Element): void {
    if (this.#over) return;
    const { Status } = Strophe;
    switch (status) {
      case Status.BINDREQUIRED:
        if (this.#resuming) {
          this.abort();
          this.#handlers.onResumeRefused();
        } else {
          this.#connection.bind();
        }
        break;
      case Status.CONNECTED:
      case Status.ATTACHED:
        if (this.#timer !== null) clearTimeout(this.#timer);
        this.#timer = null;
        this.#handlers.onReady(this.#connection.jid, this.#connection.hasResumed());
        break;
      case Status.AUTHFAIL:
        this.#end({ kind: 'refused', condition: element?.firstElementChild?.localName ?? '', text: (element && childText(element, 'text')) ?? condition ?? '' });
        break;
      case Status.CONNFAIL:
        this.#end(condition === Strophe.ErrorCondition.NO_AUTH_MECH ? { kind: 'other-login' } : { kind: 'lost', detail: condition ?? '' });
        break;
      case Status.ERROR:
      case Status.CONNTIMEOUT:
      case Status.DISCONNECTED:
        this.#end({ kind: 'lost', detail: condition ?? '' });
        break;
      default: // CONNECTING, AUTHENTICATING, REDIRECT …: on the way.
    }
  }

  #onStanza(stanza: Element): boolean {
    const name = stanza.localName;
    if (!this.#over && (name === 'iq' || name === 'message' || name === 'presence')) this.#handlers.onStanza(stanza);
    return true;
  }

  #end(cause: DownCause): void {
    if (this.#over) return;
    this.abort();
    this.#handlers.onDown(cause);
  }

  #finish(): void {
    this.#over = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
