import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readConfig } from '../config';
import { LocalMedia } from '../media/LocalMedia';
import { FakePeer, FakeStreams, settle, type FakeStream } from '../testing/fakes';
import { offerJingle, OWN_JID, ROOM, stanza } from '../testing/stanzas';
import { attr, child, childText } from '../xmpp/xml';
import { Conference } from './Conference';
import type { ConferenceState } from './types';
import type { VisitorsState } from './visitors';

const NODE_ROOM = 'demo@muc.v1.meet.example';
const VISITOR_JID = 'abcd1234-0000-4000-8000-000000000000@v1.meet.example/Xy7';
const FOCUS_JID = 'focus@auth.meet.example';

let peers: FakePeer[] = [];
beforeEach(() => {
  vi.useFakeTimers();
  peers = [];
  vi.stubGlobal('RTCPeerConnection', function make() {
    peers.push(new FakePeer());
    return peers.at(-1);
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

class Person {
  readonly streams = new FakeStreams();
  readonly states: ConferenceState[] = [];
  readonly told: string[] = [];
  readonly media = new LocalMedia();
  readonly conference: Conference;
  visitors: VisitorsState | null = null;

  constructor(config: object = {}) {
    const hosts = { domain: 'meet.example', muc: 'muc.meet.example' };
    const read = readConfig({ hosts, websocket: 'wss://meet.example/xmpp-websocket', ...config }, new URL('https://meet.example/demo'));
    this.conference = new Conference({ config: read, room: 'demo', displayName: 'Awa', machineUid: '9f00', media: this.media, streams: this.streams });
    this.conference.on('state', (state) => this.states.push(state));
    this.conference.on('visitors', (state) => (this.visitors = state));
    this.conference.on('watching', (watching) => this.told.push(watching ? 'watching' : 'taking part'));
    this.conference.on('promotionRefused', () => this.told.push('refused'));
    this.conference.on('demoted', () => this.told.push('demoted'));
    this.conference.join();
  }

  get stream(): FakeStream {
    return this.streams.current;
  }

  get query(): URLSearchParams {
    return new URL(this.stream.request.url).searchParams;
  }

  hear(text: string): void {
    this.stream.handlers.onStanza(stanza(text));
  }

  sent(name: string): Element | undefined {
    return this.stream.sent.findLast((element) => element.localName === name || child(element, name) !== null);
  }

  /** The digest of the capabilities is computed outside of the microtask queue. */
  async until(isSo: () => boolean): Promise<void> {
    for (let turn = 0; turn < 200 && !isSo(); turn += 1) {
      await new Promise<void>((resolve) => void crypto.subtle.digest('SHA-1', new Uint8Array(1)).then(() => resolve()));
    }
    expect(isSo()).toBe(true);
  }

  /** The focus answers the last request; answers the properties that it had. */
  async answer(attributes: string, properties = ''): Promise<string[]> {
    await this.until(() => this.sent('conference') !== undefined);
    const request = this.sent('conference') ?? null;
    const asked = Array.from(child(request, 'conference')?.children ?? [], (property) => `${attr(property, 'name')}=${attr(property, 'value')}`);
    this.hear(`<iq xmlns='jabber:client' type='result' id='${attr(request, 'id')}' from='focus.meet.example'>
      <conference xmlns='http://jitsi.org/protocol/focus' focusjid='${FOCUS_JID}' ${attributes}>${properties}</conference></iq>`);
    await settle();
    return asked;
  }

  presence(room: string, nick: string, { realJid = `${nick}@meet.example/r`, role = 'participant', more = '' } = {}): void {
    this.hear(`<presence xmlns='jabber:client' from='${room}/${nick}'>${more}<x xmlns='http://jabber.org/protocol/muc#user'>
      <item affiliation='none' role='${role}' jid='${realJid}'/></x></presence>`);
  }

  /** The room lets us in. */
  async letIn(room: string, role: string): Promise<void> {
    await this.until(() => attr(this.sent('x'), 'to') === `${room}/abcd1234`);
    this.presence(room, 'focus', { realJid: `${FOCUS_JID}/focus`, role: 'moderator' });
    this.presence(room, 'abcd1234', { role });
    await settle();
  }

  /** Up to the room of the node. */
  async watch(): Promise<void> {
    this.stream.handlers.onReady(OWN_JID, false);
    await this.answer("ready='true' vnode='v1'");
    this.stream.handlers.onReady(VISITOR_JID, false);
    await this.letIn(NODE_ROOM, 'visitor');
  }
}

describe('somebody who watches', () => {
  it('is led to the room of a node, where the focus is not asked', async () => {
    const person = new Person();
    person.stream.handlers.onReady(OWN_JID, false);
    expect(await person.answer("ready='true' vnode='v1'")).toEqual(['rtcstatsEnabled=false', 'visitors-version=1']);
    expect(person.streams.attempts[0]?.ended).toBe('closed');
    expect(person.stream.request).toMatchObject({ domain: 'v1.meet.example', account: null });
    expect(Object.fromEntries(person.query)).toEqual({ room: 'demo', vnode: 'v1' });
    person.stream.handlers.onReady(VISITOR_JID, false);
    await person.letIn(NODE_ROOM, 'visitor');
    expect(person.sent('conference')).toBeUndefined();
    expect(person.states.at(-1)).toEqual({ name: 'joined' });
    expect([person.conference.watching, person.told]).toEqual([true, ['watching']]);
  });

  it('sends nothing and announces no sources', async () => {
    const person = new Person();
    await person.watch();
    person.presence(NODE_ROOM, 'ef567890');
    person.hear(`<iq xmlns='jabber:client' type='set' id='j1' from='${NODE_ROOM}/focus'>${offerJingle()}</iq>`);
    await settle();
    const accept = person.stream.sent.findLast((element) => attr(child(element, 'jingle'), 'action') === 'session-accept');
    person.hear(`<iq xmlns='jabber:client' type='result' id='${attr(accept, 'id')}' from='${NODE_ROOM}/focus'/>`);
    await settle();
    expect(peers[0]?.transceivers.slice(0, 2).map(({ direction, sender }) => [direction, sender.track])).toEqual([['inactive', null], ['inactive', null]]);
    expect(childText(person.stream.last('presence'), 'SourceInfo')).toBe('{}');
  });

  it('asks with a raised hand, and takes part under the name that it is given', async () => {
    const person = new Person();
    await person.watch();
    person.conference.setRaisedHand(true);
    expect(child(person.stream.last('presence'), 'jitsi_participant_raisedHand')).not.toBeNull();
    const answer = (from: string, response: string): void =>
      person.hear(`<iq xmlns='jabber:client' type='set' id='p' from='${from}'><visitors xmlns='jitsi:visitors' room='${ROOM}' focusjid='${FOCUS_JID}'>${response}</visitors></iq>`);
    answer(`${NODE_ROOM}/ef567890`, "<promotion-response allow='true' username='evil'/>");
    expect(attr(person.stream.last('iq'), 'type')).toBe('error');
    answer(NODE_ROOM, "<promotion-response allow='false'/>");
    expect([person.told.at(-1), child(person.stream.last('presence'), 'jitsi_participant_raisedHand')]).toEqual(['refused', null]);

    answer(NODE_ROOM, "<promotion-response allow='true' username='4f1c'/>");
    await settle();
    expect([attr(person.stream.last('iq'), 'type'), attr(person.stream.last('presence'), 'type')]).toEqual(['result', 'unavailable']);
    person.hear(`<presence xmlns='jabber:client' type='unavailable' from='${NODE_ROOM}/abcd1234'><x xmlns='http://jabber.org/protocol/muc#user'><item role='none'/></x></presence>`);
    await settle();
    expect([person.stream.request.domain, Object.fromEntries(person.query)]).toEqual(['meet.example', { room: 'demo', customusername: '4f1c' }]);
    person.stream.handlers.onReady(OWN_JID, false);
    await person.letIn(ROOM, 'participant');
    expect(person.sent('conference')).toBeUndefined();
    expect([person.conference.watching, person.told.at(-1), person.media.isMuted('audio')]).toEqual([false, 'taking part', true]);
  });

  it('waits until the meeting is live', async () => {
    const person = new Person({ preferVisitor: true });
    person.stream.handlers.onReady(OWN_JID, false);
    expect(await person.answer("ready='false'", "<property name='live' value='false'/>")).toContain('visitor=true');
    expect(person.states.at(-1)).toEqual({ name: 'held', gate: { kind: 'live' } });
    const before = person.stream.sent.length;
    await vi.advanceTimersByTimeAsync(5_000);
    await person.until(() => person.stream.sent.slice(before).some((element) => child(element, 'conference')));
    await person.answer("ready='true' vnode='v2'");
    expect(person.stream.request.domain).toBe('v2.meet.example');
    person.conference.leaveNow();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('comes where a full room sends it', async () => {
    const person = new Person();
    person.stream.handlers.onReady(OWN_JID, false);
    await person.answer("ready='true'", "<property name='visitors-supported' value='true'/>");
    await person.until(() => person.sent('x') !== undefined);
    person.hear(`<presence xmlns='jabber:client' type='error' from='${ROOM}/abcd1234'><error type='cancel'><service-unavailable/></error></presence>`);
    await settle();
    await person.until(() => person.stream.sent.filter((element) => child(element, 'conference')).length === 2);
    expect(await person.answer("ready='true' vnode='v1'")).toContain('visitor=true');
    expect(person.stream.request.domain).toBe('v1.meet.example');
  });

  it('tells a refusal about visitors from others', async () => {
    const person = new Person();
    person.stream.handlers.onReady(OWN_JID, false);
    await person.answer("ready='true'");
    await person.until(() => person.sent('x') !== undefined);
    person.hear(`<presence xmlns='jabber:client' type='error' from='${ROOM}/abcd1234'><error type='cancel'><not-allowed/><promotion-not-allowed xmlns='jitsi:visitors'/></error></presence>`);
    await settle();
    expect(person.states.at(-1)).toMatchObject({ name: 'ended', failure: { code: 'promotion-not-allowed' } });
  });
});

describe('somebody who takes part', () => {
  const say = (person: Person, from: string, json: object): void =>
    person.hear(`<message xmlns='jabber:client' from='${from}'><json-message xmlns='http://jitsi.org/jitmeet'>${JSON.stringify(json)}</json-message></message>`);
  const ask = (person: Person, name: string, on = true): void =>
    say(person, 'visitors.meet.example', { type: 'visitors', action: 'promotion-request', from: `${name}@v1.meet.example/r`, nick: name, on });

  async function moderator(): Promise<Person> {
    const person = new Person();
    person.stream.handlers.onReady(OWN_JID, false);
    await person.answer("ready='true'");
    await person.letIn(ROOM, 'moderator');
    return person;
  }

  it('hears how many watch', async () => {
    const person = await moderator();
    const properties = "<conference-properties xmlns='http://jitsi.org/protocol/focus'><property key='visitors-enabled' value='true'/><property key='visitor-count' value='12'/></conference-properties>";
    person.presence(ROOM, 'focus', { realJid: `${FOCUS_JID}/focus`, role: 'moderator', more: properties });
    expect(person.visitors).toMatchObject({ enabled: true, count: 12 });
  });

  it('answers who asks, as a moderator', async () => {
    const person = await moderator();
    ask(person, 'vic');
    ask(person, 'eve');
    ask(person, 'sam');
    ask(person, 'eve', false);
    say(person, `${ROOM}/ef567890`, { type: 'visitors', action: 'promotion-request', from: 'x@v1.meet.example/r', on: true });
    expect(person.visitors?.requests.map(({ name }) => name)).toEqual(['vic', 'sam']);
    person.conference.answerVisitors(['vic@v1.meet.example/r'], true);
    const message = person.stream.last('message');
    expect([attr(message, 'to'), attr(message, 'type')]).toEqual([ROOM, 'groupchat']);
    expect(JSON.parse(childText(message, 'json-message') ?? '')).toEqual({ type: 'visitors', action: 'promotion-response', approved: true, ids: ['vic@v1.meet.example/r'] });
    expect(person.visitors?.requests.map(({ name }) => name)).toEqual(['sam']);
  });

  it('goes live without changing what else is agreed on', async () => {
    const person = await moderator();
    person.conference.goLive();
    expect(person.stream.sent.some((element) => element.localName === 'message')).toBe(false);
    say(person, 'metadata.meet.example', { type: 'room_metadata', metadata: { visitors: { live: false, promoted: { a: true } } } });
    expect(person.visitors?.live).toBe(false);
    person.conference.goLive();
    expect(attr(person.stream.last('message'), 'to')).toBe('metadata.meet.example');
    expect(JSON.parse(childText(person.stream.last('message'), 'room_metadata') ?? '')).toEqual({ key: 'visitors', data: { live: true, promoted: { a: true } } });
  });

  it('watches from when a moderator says so', async () => {
    const person = await moderator();
    say(person, 'visitors.meet.example', { type: 'visitors', action: 'demote-request', id: 'ef567890', actor: 'x' });
    expect(person.told).toEqual([]);
    say(person, 'visitors.meet.example', { type: 'visitors', action: 'demote-request', id: 'abcd1234', actor: 'x' });
    await settle();
    person.hear(`<presence xmlns='jabber:client' type='unavailable' from='${ROOM}/abcd1234'><x xmlns='http://jabber.org/protocol/muc#user'><item role='none'/></x></presence>`);
    await settle();
    person.stream.handlers.onReady(OWN_JID, false);
    expect(await person.answer("ready='true' vnode='v1'")).toContain('visitor=true');
    expect(person.stream.request.domain).toBe('v1.meet.example');
    person.stream.handlers.onReady(VISITOR_JID, false);
    await person.letIn(NODE_ROOM, 'visitor');
    expect(person.told).toEqual(['demoted', 'watching']);
  });
});
