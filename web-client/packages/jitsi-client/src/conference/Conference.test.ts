import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readConfig } from '../config';
import { LocalMedia } from '../media/LocalMedia';
import { FakePeer, FakeStreams, settle } from '../testing/fakes';
import { FOCUS, focusIq, focusPresence, offerJingle, OWN_JID, presence, ROOM, stanza } from '../testing/stanzas';
import { attr, child, childText } from '../xmpp/xml';
import { Conference } from './Conference';
import type { Participant } from './participants';
import type { ConferenceState } from './types';

const CONFIG = readConfig(
  { hosts: { domain: 'meet.example', muc: 'muc.meet.example' }, websocket: 'wss://meet.example/xmpp-websocket', p2p: { enabled: false } },
  new URL('https://meet.example/demo'),
);
const SELF = "<status code='110'/>";

let peers: FakePeer[] = [];
beforeEach(() => {
  vi.useFakeTimers();
  peers = [];
  vi.stubGlobal(
    'RTCPeerConnection',
    function make() {
      const peer = new FakePeer();
      peers.push(peer);
      return peer;
    },
  );
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

interface Setup {
  readonly conference: Conference;
  readonly streams: FakeStreams;
  readonly states: ConferenceState[];
  readonly seen: { participants: readonly Participant[]; chat: string[]; speaker: string | null };
  readonly hear: (stanza: Element) => void;
  readonly answerFocus: () => void;
}

function setUp(): Setup {
  const streams = new FakeStreams();
  const conference = new Conference({ config: CONFIG, room: 'demo', displayName: 'Awa', machineUid: '9f00', media: new LocalMedia(), streams });
  const states: ConferenceState[] = [];
  const seen: Setup['seen'] = { participants: [], chat: [], speaker: null };
  conference.on('state', (state) => states.push(state));
  conference.on('participants', (participants) => (seen.participants = participants));
  conference.on('chat', (message) => seen.chat.push(`${message.from}: ${message.text}`));
  conference.on('speaker', (id) => (seen.speaker = id));
  conference.join();
  const hear = (element: Element): void => streams.current.handlers.onStanza(element);
  const answerFocus = (): void => {
    const iq = streams.current.sent.findLast((element) => child(element, 'conference') !== null);
    hear(
      stanza(`<iq xmlns='jabber:client' type='result' id='${attr(iq, 'id')}' from='focus.meet.example'>
        <conference xmlns='http://jitsi.org/protocol/focus' ready='true' focusjid='focus@auth.meet.example'/></iq>`),
    );
  };
  return { conference, streams, states, seen, hear, answerFocus };
}

/** Up to the moment when the own presence is back. */
async function enter(setup: Setup): Promise<void> {
  setup.streams.current.handlers.onReady(OWN_JID, false);
  await vi.advanceTimersByTimeAsync(0);
  await untilSent(setup, 'conference');
  setup.answerFocus();
  await settle();
  setup.hear(focusPresence());
  setup.hear(presence('ef567890', `<nick>Bob</nick><SourceInfo>{"ef567890-a0":{"muted":false},"ef567890-v0":{"muted":false}}</SourceInfo>`));
  setup.hear(presence('abcd1234', '', { statuses: SELF }));
  await settle();
}

/** The digest of the capabilities is computed outside of the microtask queue. */
async function untilSent(setup: Setup, name: string): Promise<void> {
  for (let turn = 0; turn < 200; turn += 1) {
    if (setup.streams.current.sent.some((element) => element.localName === name || child(element, name))) return;
    await new Promise<void>((resolve) => void crypto.subtle.digest('SHA-1', new Uint8Array(1)).then(() => resolve()));
  }
  throw new Error(`${name} was not sent`);
}

describe('conference', () => {
  it('asks the focus, then enters, then shows who is there', async () => {
    const setup = setUp();
    await enter(setup);
    const names = setup.streams.current.sent.map((element) => element.firstElementChild?.localName ?? element.localName);
    expect(names.indexOf('conference')).toBeLessThan(names.indexOf('x'));
    expect(setup.states.map((state) => state.name)).toEqual(['joining', 'joined']);
    expect(setup.seen.participants.map(({ id, local, name, audioMuted }) => ({ id, local, name, audioMuted }))).toEqual([
      { id: 'abcd1234', local: true, name: 'Awa', audioMuted: true },
      { id: 'ef567890', local: false, name: 'Bob', audioMuted: false },
    ]);
  });

  it('announces its sources only after the session was accepted', async () => {
    const setup = setUp();
    await enter(setup);
    expect(childText(setup.streams.current.last('presence'), 'SourceInfo')).toBe('{}');
    setup.hear(focusIq(offerJingle()));
    await settle();
    const accept = setup.streams.current.sent.findLast((element) => attr(child(element, 'jingle'), 'action') === 'session-accept');
    setup.hear(stanza(`<iq xmlns='jabber:client' type='result' id='${attr(accept, 'id')}' from='${FOCUS}'/>`));
    await settle();
    expect(childText(setup.streams.current.last('presence'), 'SourceInfo')).toBe('{"abcd1234-a0":{"muted":true},"abcd1234-v0":{"muted":true}}');
    expect(setup.seen.participants[1]?.videoTrack).toMatchObject({ kind: 'video' });
    expect(setup.seen.participants[1]?.audioTrack).toMatchObject({ kind: 'audio' });
  });

  it('says so when the focus does not invite although somebody is there', async () => {
    const setup = setUp();
    await enter(setup);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(setup.states.at(-1)).toEqual({ name: 'reconnecting', part: 'media' });
    setup.hear(focusIq(offerJingle()));
    await settle();
    peers[0]?.become('connected');
    expect(setup.states.at(-1)).toEqual({ name: 'joined' });

    setup.hear(focusIq("<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='8p2k1sid'/>"));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(setup.states.at(-1)).toEqual({ name: 'reconnecting', part: 'media' });
    setup.hear(stanza(`<presence xmlns='jabber:client' type='unavailable' from='${ROOM}/ef567890'><x xmlns='http://jabber.org/protocol/muc#user'><item role='none'/></x></presence>`));
    expect(setup.states.at(-1)).toEqual({ name: 'joined' });
  });

  it('drops the tracks of somebody who left', async () => {
    const setup = setUp();
    await enter(setup);
    setup.hear(focusIq(offerJingle()));
    await settle();
    setup.hear(stanza(`<presence xmlns='jabber:client' type='unavailable' from='${ROOM}/ef567890'><x xmlns='http://jabber.org/protocol/muc#user'><item role='none'/></x></presence>`));
    await settle();
    expect(setup.seen.participants).toHaveLength(1);
    expect(peers[0]?.remote.at(-1)).toContain('a=inactive');
  });

  it('reports a refused join, a kick and an unreachable server by their codes', async () => {
    const full = setUp();
    full.streams.current.handlers.onReady(OWN_JID, false);
    await untilSent(full, 'conference');
    full.answerFocus();
    await settle();
    full.hear(stanza(`<presence xmlns='jabber:client' type='error' from='${ROOM}/abcd1234'><error type='wait'><service-unavailable/></error></presence>`));
    await settle();
    expect(full.states.at(-1)).toEqual({ name: 'ended', failure: { code: 'room-full', text: '', actor: '', at: null } });

    const kicked = setUp();
    await enter(kicked);
    kicked.hear(
      stanza(`<presence xmlns='jabber:client' type='unavailable' from='${ROOM}/abcd1234'><x xmlns='http://jabber.org/protocol/muc#user'>
        <item role='none'><actor nick='ef567890'/><reason>spam</reason></item><status code='307'/><status code='110'/></x></presence>`),
    );
    expect(kicked.states.at(-1)).toEqual({ name: 'ended', failure: { code: 'kicked', text: 'spam', actor: 'Bob', at: null } });

    const down = setUp();
    for (let tries = 0; tries < 3; tries += 1) {
      down.streams.current.handlers.onDown({ kind: 'lost', detail: '' });
      await vi.advanceTimersByTimeAsync(10_000);
    }
    expect(down.states.at(-1)).toEqual({ name: 'ended', failure: { code: 'server-unreachable', text: '', actor: '', at: null } });
  });

  it('goes on after a resume, and enters anew after a lost session', async () => {
    const setup = setUp();
    await enter(setup);
    setup.streams.sessionId = 'sm_1';
    setup.streams.current.handlers.onDown({ kind: 'lost', detail: '' });
    expect(setup.states.at(-1)).toEqual({ name: 'reconnecting', part: 'signaling' });
    await vi.advanceTimersByTimeAsync(1000);
    setup.streams.current.handlers.onReady(OWN_JID, true);
    expect(setup.states.at(-1)).toEqual({ name: 'joined' });
    expect(setup.streams.current.sent).toEqual([]);

    setup.streams.current.handlers.onDown({ kind: 'lost', detail: '' });
    await vi.advanceTimersByTimeAsync(1000);
    setup.streams.current.handlers.onResumeRefused();
    await enter(setup);
    expect(setup.states.at(-1)).toEqual({ name: 'joined' });
    expect(setup.seen.participants).toHaveLength(2);
  });

  it('enters anew when the focus left', async () => {
    const setup = setUp();
    await enter(setup);
    setup.hear(stanza(`<presence xmlns='jabber:client' type='unavailable' from='${FOCUS}'><x xmlns='http://jabber.org/protocol/muc#user'><item role='none'/></x></presence>`));
    expect(setup.states.at(-1)).toEqual({ name: 'reconnecting', part: 'signaling' });
    await vi.advanceTimersByTimeAsync(1000);
    expect(setup.streams.current.last('presence').getAttribute('type')).toBe('unavailable');
  });

  it('leaves with a goodbye, also while the page unloads', async () => {
    const setup = setUp();
    await enter(setup);
    setup.conference.leaveNow();
    expect(attr(setup.streams.current.last('presence'), 'type')).toBe('unavailable');
    expect(setup.streams.current.ended).toBe('closed');
    expect(setup.states.at(-1)).toEqual({ name: 'ended', failure: null });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is muted by a moderator through the focus only', async () => {
    const setup = setUp();
    await enter(setup);
    const mute = (from: string): void => {
      setup.hear(stanza(`<iq xmlns='jabber:client' type='set' id='m2' from='${from}'><mute xmlns='http://jitsi.org/jitmeet/audio' actor='${ROOM}/ef567890'>true</mute></iq>`));
    };
    mute(`${ROOM}/ef567890`);
    expect(attr(setup.streams.current.last('iq'), 'type')).toBe('error');
    mute(FOCUS);
    expect(attr(setup.streams.current.last('iq'), 'type')).toBe('result');
  });

  it('hands chat on', async () => {
    const setup = setUp();
    await enter(setup);
    setup.conference.sendChat('hello');
    expect(childText(setup.streams.current.last('message'), 'body')).toBe('hello');
    setup.hear(stanza(`<message xmlns='jabber:client' type='groupchat' from='${ROOM}/ef567890'><body>salut</body></message>`));
    expect(setup.seen.chat).toEqual(['ef567890: salut']);
  });
});
