import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeStreams } from '../testing/fakes';
import { OWN_JID, stanza } from '../testing/stanzas';
import { MAX_OUTAGE_MS } from './lifecycle';
import { child, x } from './xml';
import { XmppConnection, type ConnectionEnd } from './XmppConnection';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const URL_ = 'wss://meet.example/xmpp-websocket?room=demo';

function connect(): { connection: XmppConnection; streams: FakeStreams; log: string[]; ends: ConnectionEnd[] } {
  const streams = new FakeStreams();
  const connection = new XmppConnection({ url: URL_, domain: 'meet.example', pingIntervalMs: 10_000 }, streams);
  const log: string[] = [];
  const ends: ConnectionEnd[] = [];
  connection.on('session', (jid) => log.push(`session ${jid}`));
  connection.on('resumed', () => log.push('resumed'));
  connection.on('interrupted', () => log.push('interrupted'));
  connection.on('closed', (end) => ends.push(end));
  connection.start();
  return { connection, streams, log, ends };
}

const lost = { kind: 'lost', detail: '' } as const;

describe('connection', () => {
  it('gives up quickly when the server was never reached', () => {
    const { streams, ends } = connect();
    for (let tries = 0; tries < 3; tries += 1) {
      streams.current.handlers.onDown(lost);
      vi.advanceTimersByTime(10_000);
    }
    expect(streams.attempts).toHaveLength(3);
    expect(ends).toEqual([{ reason: 'unreachable' }]);
  });

  it('does not try again after a refusal', () => {
    const { streams, ends } = connect();
    streams.current.handlers.onDown({ kind: 'refused', condition: 'not-allowed', text: 'token expired' });
    vi.advanceTimersByTime(60_000);
    expect(streams.attempts).toHaveLength(1);
    expect(ends).toEqual([{ reason: 'refused', condition: 'not-allowed', text: 'token expired' }]);
  });

  it('resumes with previd and sends what was kept', () => {
    const { connection, streams, log } = connect();
    streams.current.handlers.onReady(OWN_JID, false);
    streams.sessionId = 'sm_AbC-12';
    streams.current.handlers.onDown(lost);
    connection.send(x('message', { to: 'demo@muc.meet.example' }));
    vi.advanceTimersByTime(1000);
    expect(streams.current.request).toEqual({ url: `${URL_}&previd=sm_AbC-12`, domain: 'meet.example', account: null, resume: true });
    streams.current.handlers.onReady(OWN_JID, true);
    expect(streams.current.sent.map((element) => element.localName)).toEqual(['message']);
    expect(log).toEqual([`session ${OWN_JID}`, 'interrupted', 'resumed']);
  });

  it('begins a new session when the old one is not known any more', async () => {
    const { connection, streams, log } = connect();
    streams.current.handlers.onReady(OWN_JID, false);
    streams.sessionId = 'sm_1';
    const answer = connection.request(x('iq', { type: 'get', to: 'meet.example' }));
    const rejected = expect(answer).rejects.toMatchObject({ condition: 'connection-lost' });
    streams.current.handlers.onDown(lost);
    vi.advanceTimersByTime(1000);
    streams.current.handlers.onResumeRefused();
    expect(streams.current.request.resume).toBe(false);
    streams.current.handlers.onReady('12345678-x@meet.example/r', false);
    await rejected;
    expect(log.at(-1)).toBe('session 12345678-x@meet.example/r');
  });

  it('gives a long outage up', () => {
    const { streams, ends } = connect();
    streams.current.handlers.onReady(OWN_JID, false);
    streams.current.handlers.onDown(lost);
    for (let waited = 0; waited < MAX_OUTAGE_MS + 20_000 && ends.length === 0; waited += 8_000) {
      vi.advanceTimersByTime(8_000);
      streams.current.handlers.onDown(lost);
    }
    expect(ends).toEqual([{ reason: 'lost' }]);
  });

  it('ignores late events of an abandoned socket', () => {
    const { streams, log } = connect();
    const first = streams.current;
    first.handlers.onDown(lost);
    vi.advanceTimersByTime(1000);
    first.handlers.onReady(OWN_JID, false);
    expect(log).toEqual([]);
  });

  it('answers ping, and an unknown request by an error', () => {
    const { streams } = connect();
    streams.current.handlers.onReady(OWN_JID, false);
    streams.current.handlers.onStanza(stanza("<iq xmlns='jabber:client' type='get' id='p1' from='meet.example'><ping xmlns='urn:xmpp:ping'/></iq>"));
    expect(streams.current.last('iq').getAttribute('type')).toBe('result');
    streams.current.handlers.onStanza(stanza("<iq xmlns='jabber:client' type='set' id='u1' from='x@y/z'><what xmlns='urn:ever'/></iq>"));
    const reply = streams.current.last('iq');
    expect([reply.getAttribute('type'), reply.getAttribute('id'), reply.getAttribute('to')]).toEqual(['error', 'u1', 'x@y/z']);
    expect(child(child(reply, 'error'), 'service-unavailable', 'urn:ietf:params:xml:ns:xmpp-stanzas')).not.toBeNull();
  });

  it('abandons a socket on which two pings stay unanswered', async () => {
    const { streams, log } = connect();
    streams.current.handlers.onReady(OWN_JID, false);
    const socket = streams.current;
    await vi.advanceTimersByTimeAsync(36_000);
    expect(socket.ended).toBe('aborted');
    expect(log).toContain('interrupted');
  });

  it('says goodbye when stopped and stays closed', () => {
    const { connection, streams, ends } = connect();
    streams.current.handlers.onReady(OWN_JID, false);
    connection.stop();
    connection.send(x('message'));
    expect(streams.current.ended).toBe('closed');
    expect(ends).toEqual([{ reason: 'stopped' }]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
