import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Account, DownCause } from './stream';
import { StropheStreams } from './StropheStream';
import { toElement, x } from './xml';

/** The server's side of RFC 7395 over a WebSocket that exists only in the test. */
class FakeSocket {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSED = 3;
  static all: FakeSocket[] = [];
  readonly sent: string[] = [];
  readyState = 1;
  onopen: (() => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  onerror: ((event: object) => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;

  constructor(readonly url: string, readonly protocol: string) {
    FakeSocket.all.push(this);
  }

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.readyState = 3;
  }

  receive(...frames: string[]): void {
    for (const data of frames) this.onmessage?.({ data });
  }

  static get current(): FakeSocket {
    const socket = FakeSocket.all.at(-1);
    if (!socket) throw new Error('no socket');
    return socket;
  }
}

const OPEN = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='meet.example' id='s1' version='1.0' xml:lang='en'/>";
const MECHANISMS =
  "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>ANONYMOUS</mechanism></mechanisms></stream:features>";
const SUCCESS = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const FEATURES =
  "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required/></bind><sm xmlns='urn:xmpp:sm:3'/></stream:features>";
const BOUND =
  "<iq xmlns='jabber:client' type='result' id='_bind_auth_2'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>abcd1234-u@meet.example/Xy7</jid></bind></iq>";
const MESSAGE = "<message xmlns='jabber:client' from='demo@muc.meet.example/x' type='groupchat'><body>hi</body></message>";

function begin(streams: StropheStreams, resume: boolean, account: Account | null = null): { log: string[]; downs: DownCause[]; stream: ReturnType<StropheStreams['open']> } {
  const log: string[] = [];
  const downs: DownCause[] = [];
  const stream = streams.open(
    { url: 'wss://meet.example/xmpp-websocket?room=demo', domain: 'meet.example', account, resume },
    {
      onReady: (jid, resumed) => log.push(`${resumed ? 'resumed' : 'bound'} ${jid}`),
      onResumeRefused: () => log.push('resume refused'),
      onDown: (cause) => downs.push(cause),
      onStanza: (stanza) => log.push(stanza.localName),
    },
  );
  FakeSocket.current.onopen?.();
  return { log, downs, stream };
}

function login(socket: FakeSocket): void {
  socket.receive(OPEN, MECHANISMS, SUCCESS, OPEN, FEATURES);
}

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.all = [];
  vi.stubGlobal('WebSocket', FakeSocket);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('stream over strophe', () => {
  it('logs in anonymously, binds and enables stream management', () => {
    const { log } = begin(new StropheStreams(true), false);
    const socket = FakeSocket.current;
    expect(socket.protocol).toBe('xmpp');
    login(socket);
    socket.receive(BOUND, "<enabled xmlns='urn:xmpp:sm:3' id='sm_1' resume='true'/>", MESSAGE);
    expect(socket.sent.map((frame) => /^<([\w:]+)/.exec(frame)?.[1])).toEqual(['open', 'auth', 'open', 'iq', 'enable']);
    expect(socket.sent[1]).toContain('mechanism="ANONYMOUS"');
    expect(log).toEqual(['bound abcd1234-u@meet.example/Xy7', 'message']);
  });

  it('logs in with an account by the best that is offered, and tells when the server wants that', () => {
    const account = { jid: 'awa@meet.example', password: 'hush' };
    const offer = (...names: string[]): string => MECHANISMS.replace(/<mechanism>.*<\/mechanism>/, names.map((name) => `<mechanism>${name}</mechanism>`).join(''));
    begin(new StropheStreams(false), false, account);
    FakeSocket.current.receive(OPEN, offer('PLAIN', 'SCRAM-SHA-1', 'SCRAM-SHA-256'));
    expect(FakeSocket.current.sent[1]).toContain('mechanism="SCRAM-SHA-256"');
    begin(new StropheStreams(false), false, account);
    FakeSocket.current.receive(OPEN, offer('PLAIN'));
    expect(FakeSocket.current.sent[1]).toContain('mechanism="PLAIN"');
    const { downs } = begin(new StropheStreams(false), false);
    FakeSocket.current.receive(OPEN, offer('PLAIN', 'SCRAM-SHA-1'));
    expect(downs).toEqual([{ kind: 'other-login' }]);
  });

  it('resumes on a new socket with exact counts and repeats what was not acknowledged', () => {
    const streams = new StropheStreams(true);
    const first = begin(streams, false);
    login(FakeSocket.current);
    FakeSocket.current.receive(BOUND, "<enabled xmlns='urn:xmpp:sm:3' id='sm_1' resume='true'/>", MESSAGE, MESSAGE);
    first.stream.send(toElement(x('presence', { xmlns: 'jabber:client', to: 'demo@muc.meet.example/a' })));
    first.stream.send(toElement(x('message', { xmlns: 'jabber:client', to: 'demo@muc.meet.example' }, x('body', {}, 'lost'))));
    expect(streams.resumableId()).toBe('sm_1');
    FakeSocket.current.onclose?.({ code: 1006 });
    expect(first.downs).toEqual([{ kind: 'lost', detail: '' }]);

    const second = begin(streams, true);
    const socket = FakeSocket.current;
    login(socket);
    expect(socket.sent.at(-1)).toBe('<resume h="2" previd="sm_1" xmlns="urn:xmpp:sm:3"/>');
    socket.receive("<resumed xmlns='urn:xmpp:sm:3' h='1' previd='sm_1'/>", MESSAGE);
    expect(second.log).toEqual(['resumed abcd1234-u@meet.example/Xy7', 'message']);
    expect(socket.sent.filter((frame) => frame.includes('lost'))).toHaveLength(1);
    expect(socket.sent.some((frame) => frame.startsWith('<presence'))).toBe(false);
  });

  it('binds nothing on a stream whose resume was refused', () => {
    const streams = new StropheStreams(true);
    begin(streams, false);
    login(FakeSocket.current);
    FakeSocket.current.receive(BOUND, "<enabled xmlns='urn:xmpp:sm:3' id='sm_1' resume='true'/>");
    FakeSocket.current.onclose?.({ code: 1006 });
    const { log } = begin(streams, true);
    login(FakeSocket.current);
    FakeSocket.current.receive("<failed xmlns='urn:xmpp:sm:3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
    expect(log).toEqual(['resume refused']);
    expect(FakeSocket.current.sent.some((frame) => frame.includes('_bind_auth_2'))).toBe(false);
  });

  it('tells the reason of a refused login', () => {
    const { downs } = begin(new StropheStreams(true), false);
    FakeSocket.current.receive(OPEN, MECHANISMS, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-allowed/><text>token expired</text></failure>");
    expect(downs).toEqual([{ kind: 'refused', condition: 'not-allowed', text: 'token expired' }]);
  });

  it('gives up an attempt on which nothing happens', () => {
    const { downs } = begin(new StropheStreams(true), false);
    vi.advanceTimersByTime(15_000);
    expect(downs).toEqual([{ kind: 'lost', detail: 'no answer' }]);
  });

  it('is over when the server closes the socket before the login', () => {
    const { downs } = begin(new StropheStreams(true), false);
    FakeSocket.current.onclose?.({ code: 1006 });
    expect(downs).toHaveLength(1);
  });

  it('says goodbye synchronously', () => {
    const { stream } = begin(new StropheStreams(true), false);
    const socket = FakeSocket.current;
    login(socket);
    socket.receive(BOUND, "<enabled xmlns='urn:xmpp:sm:3' id='sm_1' resume='true'/>");
    stream.close();
    expect(socket.sent.slice(-2).map((frame) => /^<\w+/.exec(frame)?.[0])).toEqual(['<presence', '<close']);
  });
});
