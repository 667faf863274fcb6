import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readConfig } from '../config';
import { LocalMedia } from '../media/LocalMedia';
import { FakeStreams, settle, type FakeStream } from '../testing/fakes';
import { focusPresence, OWN_JID, presence, ROOM, stanza } from '../testing/stanzas';
import { attr, child, childText } from '../xmpp/xml';
import { Conference } from './Conference';
import type { ConferenceState } from './types';

const LOBBY = 'demo@lobby.meet.example';
const HOSTS = { domain: 'meet.example', anonymousdomain: 'guest.meet.example', authdomain: 'meet.example', muc: 'muc.meet.example' };
const STANZAS = 'urn:ietf:params:xml:ns:xmpp-stanzas';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

class Visitor {
  readonly streams = new FakeStreams();
  readonly states: ConferenceState[] = [];
  readonly sessions: (string | null)[] = [];
  readonly conference: Conference;

  constructor({ config = {}, page = 'https://meet.example/demo' }: { config?: object; page?: string } = {}) {
    const read = readConfig({ hosts: HOSTS, websocket: 'wss://meet.example/xmpp-websocket', ...config }, new URL(page));
    this.conference = new Conference({ config: read, room: 'demo', displayName: 'Awa', machineUid: '9f00', media: new LocalMedia(), streams: this.streams });
    this.conference.on('state', (state) => this.states.push(state));
    this.conference.on('sessionId', (id) => this.sessions.push(id));
    this.conference.join();
  }

  get stream(): FakeStream {
    return this.streams.attempts[0] ?? this.streams.current;
  }

  get gate(): unknown {
    const state = this.states.at(-1);
    return state?.name === 'held' ? state.gate : state;
  }

  hear(text: string, stream = this.stream): void {
    stream.handlers.onStanza(stanza(text));
  }

  /** Logs in, up to the conference request. */
  async start(stream = this.stream, jid = OWN_JID): Promise<void> {
    stream.handlers.onReady(jid, false);
    await this.asked(1, stream);
  }

  /** Until so many conference requests were sent. */
  async asked(times: number, stream = this.stream): Promise<void> {
    await this.until(() => stream.sent.filter((element) => child(element, 'conference') !== null).length >= times);
  }

  async until(isSo: () => boolean): Promise<void> {
    for (let turn = 0; turn < 200 && !isSo(); turn += 1) {
      await new Promise<void>((resolve) => void crypto.subtle.digest('SHA-1', new Uint8Array(1)).then(() => resolve()));
    }
    expect(isSo()).toBe(true);
  }

  /** The focus answers the last request. */
  async answer(sessionId: string | null = null, stream = this.stream): Promise<void> {
    const session = sessionId === null ? '' : `session-id='${sessionId}'`;
    const conference = `<conference xmlns='http://jitsi.org/protocol/focus' ready='true' focusjid='focus@auth.meet.example' ${session}/>`;
    this.hear(`<iq xmlns='jabber:client' type='result' id='${this.request(stream)}' from='focus.meet.example'>${conference}</iq>`, stream);
    await settle();
  }

  async refuse(): Promise<void> {
    const error = `<error type='auth'><not-authorized xmlns='${STANZAS}'/></error>`;
    this.hear(`<iq xmlns='jabber:client' type='error' id='${this.request()}' from='focus.meet.example'>${error}</iq>`);
    await settle();
  }

  request(stream = this.stream): string | null {
    return attr(
      stream.sent.findLast((element) => child(element, 'conference') !== null),
      'id',
    );
  }

  /** The room refuses the join. */
  async refuseJoin(children: string): Promise<void> {
    this.hear(`<presence xmlns='jabber:client' type='error' from='${ROOM}/abcd1234'><error type='auth'>${children}</error></presence>`);
    await settle();
  }

  async letIn(): Promise<void> {
    this.stream.handlers.onStanza(focusPresence());
    this.stream.handlers.onStanza(presence('abcd1234', '', { statuses: "<status code='110'/>" }));
    await settle();
  }

  /** The last presence that was sent to this room. */
  sentTo(room: string): Element | undefined {
    return this.stream.sent.findLast((element) => element.localName === 'presence' && attr(element, 'to') === `${room}/abcd1234`);
  }
}

const MEMBERS_ONLY = `<registration-required xmlns='${STANZAS}'/><lobbyroom>${LOBBY}</lobbyroom>`;
const PASSWORD = `<not-authorized xmlns='${STANZAS}'/>`;

describe('gates', () => {
  it('lets a guest wait for the host, and in when he has come', async () => {
    const visitor = new Visitor();
    expect(visitor.stream.request).toMatchObject({ domain: 'guest.meet.example', account: null });
    await visitor.start();
    await visitor.refuse();
    expect(visitor.gate).toEqual({ kind: 'host', login: 'password', problem: null });
    await vi.advanceTimersByTimeAsync(5_000);
    await visitor.asked(2);
    await visitor.refuse();
    await vi.advanceTimersByTimeAsync(5_000);
    await visitor.asked(3);
    await visitor.answer();
    await visitor.letIn();
    expect(visitor.gate).toEqual({ name: 'joined' });
    visitor.conference.leaveNow();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('makes a guest the host by a login on a second stream', async () => {
    const visitor = new Visitor();
    await visitor.start();
    await visitor.refuse();
    visitor.conference.logIn('alice', 'wrong');
    visitor.streams.current.handlers.onDown({ kind: 'refused', condition: 'not-authorized', text: '' });
    await settle();
    expect(visitor.gate).toEqual({ kind: 'host', login: 'password', problem: 'wrong' });

    visitor.conference.logIn('alice', 'secret');
    visitor.streams.current.handlers.onDown({ kind: 'refused', condition: 'temporary-auth-failure', text: '' });
    await settle();
    expect(visitor.gate).toEqual({ kind: 'host', login: 'password', problem: 'failed' });

    visitor.conference.logIn('alice', 'secret');
    const second = visitor.streams.current;
    expect(second.request).toMatchObject({ domain: 'meet.example', account: { jid: 'alice@meet.example', password: 'secret' } });
    await visitor.start(second, 'alice@meet.example/1');
    expect(attr(child(visitor.streams.current.last('iq'), 'conference'), 'machine-uid')).toBe('9f00');
    await visitor.answer('s-77', second);
    expect(second.ended).toBe('closed');
    await visitor.asked(2);
    expect(attr(child(visitor.stream.last('iq'), 'conference'), 'session-id')).toBe('s-77');
    await visitor.answer('s-77');
    await visitor.letIn();
    expect(visitor.gate).toEqual({ name: 'joined' });
    expect(visitor.sessions).toEqual(['s-77']);
  });

  it('asks for a login where nobody comes in without', async () => {
    const visitor = new Visitor({ config: { hosts: { domain: 'meet.example', authdomain: 'meet.example', muc: 'muc.meet.example' } } });
    visitor.stream.handlers.onDown({ kind: 'other-login' });
    expect(visitor.gate).toEqual({ kind: 'login', problem: null });
    visitor.conference.logIn('bob@other.example', 'wrong');
    expect(visitor.streams.current.request.account).toEqual({ jid: 'bob@other.example', password: 'wrong' });
    visitor.streams.current.handlers.onDown({ kind: 'refused', condition: 'not-authorized', text: 'no' });
    expect(visitor.gate).toEqual({ kind: 'login', problem: 'wrong' });
    visitor.conference.logIn('bob', 'right');
    await visitor.start(visitor.streams.current, 'bob@meet.example/1');
    expect(visitor.states.at(-1)).toEqual({ name: 'joining' });
  });

  it('s2_16: tells who comes before or after the time of his token so, and when it begins', async () => {
    const token = `e30.${btoa(JSON.stringify({ nbf: 4_000_000_000 })).replaceAll('=', '')}.x`;
    for (const [text, expected] of [
      ['Not acceptable by nbf', { code: 'too-early', text: '', actor: '', at: 4_000_000_000_000 }],
      ['Not acceptable by exp (7 sec since expired)', { code: 'too-late', text: '', actor: '', at: null }],
    ] as const) {
      const visitor = new Visitor({ page: `https://meet.example/demo?jwt=${token}` });
      visitor.stream.handlers.onDown({ kind: 'refused', condition: 'not-allowed', text });
      await settle();
      expect(visitor.states.at(-1)).toMatchObject({ name: 'ended', failure: expected });
    }
  });

  it('shows its token where one is wanted, and ends when it is refused', async () => {
    const visitor = new Visitor({ page: 'https://meet.example/demo?jwt=a.b.c', config: { tokenAuthUrl: 'https://login.example/{room}' } });
    expect(visitor.stream.request).toMatchObject({ domain: 'meet.example', url: 'wss://meet.example/xmpp-websocket?room=demo&token=a.b.c' });
    await visitor.start();
    expect(attr(child(visitor.stream.last('iq'), 'conference'), 'token')).toBe('a.b.c');

    const refused = new Visitor({ page: 'https://meet.example/demo#jwt=a.b.c' });
    refused.stream.handlers.onDown({ kind: 'refused', condition: 'not-allowed', text: 'token expired' });
    expect(refused.states.at(-1)).toMatchObject({ name: 'ended', failure: { code: 'not-authorized', text: 'token expired' } });
  });

  it('asks for the password of a room until it is right', async () => {
    const visitor = new Visitor();
    await visitor.start();
    await visitor.answer();
    await visitor.refuseJoin(PASSWORD);
    expect(visitor.gate).toEqual({ kind: 'password', refused: false });
    visitor.conference.enterPassword('wrong');
    await visitor.asked(2);
    await visitor.answer();
    expect(childText(child(visitor.sentTo(ROOM), 'x'), 'password')).toBe('wrong');
    await visitor.refuseJoin(PASSWORD);
    expect(visitor.gate).toEqual({ kind: 'password', refused: true });
    visitor.conference.enterPassword('right');
    await visitor.asked(3);
    await visitor.answer();
    await visitor.letIn();
    expect(visitor.gate).toEqual({ name: 'joined' });
  });

  it('knocks at the lobby, and comes in when a moderator says so', async () => {
    const visitor = new Visitor();
    await visitor.start();
    await visitor.answer();
    await visitor.refuseJoin(`${MEMBERS_ONLY}<waiting-for-host/>`);
    expect(visitor.gate).toEqual({ kind: 'lobby', knocked: false, waitsForHost: true, passwordRefused: false, nameMissing: false });
    visitor.conference.knock('');
    const wantsName = "<displayname-required xmlns='http://jitsi.org/jitmeet' lobby='true'/>";
    visitor.hear(`<presence xmlns='jabber:client' type='error' from='${LOBBY}/abcd1234'><error type='modify'>${wantsName}</error></presence>`);
    expect(visitor.gate).toMatchObject({ knocked: false, nameMissing: true });
    visitor.conference.knock('Awa');
    expect(childText(visitor.sentTo(LOBBY), 'nick')).toBe('Awa');
    const self = "<x xmlns='http://jabber.org/protocol/muc#user'><item role='participant'/><status code='110'/></x>";
    visitor.hear(`<presence xmlns='jabber:client' from='${LOBBY}/abcd1234'>${self}</presence>`);
    expect(visitor.gate).toMatchObject({ knocked: true, nameMissing: false });
    // An invitation of anybody but the room is none.
    const invite = "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='x'/><password>hush</password></x>";
    visitor.hear(`<message xmlns='jabber:client' from='other@muc.meet.example'>${invite}</message>`);
    expect(visitor.gate).toMatchObject({ kind: 'lobby' });
    visitor.hear(`<message xmlns='jabber:client' from='${ROOM}'>${invite}</message>`);
    await visitor.asked(2);
    await visitor.answer();
    expect(childText(child(visitor.sentTo(ROOM), 'x'), 'password')).toBe('hush');
    expect(attr(visitor.sentTo(LOBBY), 'type')).toBe('unavailable');
    await visitor.letIn();
    expect(visitor.gate).toEqual({ name: 'joined' });
  });

  it.each([
    ["<item role='none'/><status code='307'/><status code='110'/>", { name: 'ended', failure: { code: 'lobby-denied' } }],
    ["<item role='none'/><destroy><reason>Lobby room closed.</reason></destroy>", { name: 'ended', failure: { code: 'destroyed', text: 'Lobby room closed.' } }],
    [`<item role='none'/><destroy jid='${ROOM}'/>`, { name: 'reconnecting', part: 'signaling' }],
  ])('leaves the lobby as it is told to: %s', async (children, state) => {
    const visitor = new Visitor();
    await visitor.start();
    await visitor.answer();
    await visitor.refuseJoin(MEMBERS_ONLY);
    visitor.conference.knock('Awa');
    visitor.hear(`<presence xmlns='jabber:client' type='unavailable' from='${LOBBY}/abcd1234'><x xmlns='http://jabber.org/protocol/muc#user'>${children}</x></presence>`);
    expect(visitor.states.at(-1)).toMatchObject(state);
  });

  it('waits on where it waited when the connection comes back', async () => {
    const visitor = new Visitor();
    await visitor.start();
    await visitor.refuse();
    visitor.streams.sessionId = 'sm_1';
    visitor.stream.handlers.onDown({ kind: 'lost', detail: '' });
    expect(visitor.states.at(-1)).toEqual({ name: 'reconnecting', part: 'signaling' });
    await vi.advanceTimersByTimeAsync(1_000);
    visitor.streams.current.handlers.onReady(OWN_JID, true);
    expect(visitor.gate).toMatchObject({ kind: 'host' });
  });
});
