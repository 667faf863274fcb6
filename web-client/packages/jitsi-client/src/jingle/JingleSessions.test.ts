import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakePeer, settle } from '../testing/fakes';
import { FOCUS, focusIq, offerJingle, OFFER_JSON, OWN_JID } from '../testing/stanzas';
import { StanzaError } from '../xmpp/errors';
import type { XmlNode } from '../xmpp/xml';
import { JingleSessions } from './JingleSessions';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface Setup {
  readonly sessions: JingleSessions;
  readonly peers: FakePeer[];
  readonly log: string[];
  /** Actions sent, with what follows in brackets. */
  readonly sent: string[];
  /** Next answers to our requests; an accepted request where the list is empty. */
  readonly errors: (StanzaError | null)[];
  /** What peer connections were made with. */
  readonly configurations: RTCConfiguration[];
}

const TURN: RTCIceServer = { urls: 'turns:meet.example:443?transport=tcp', username: 'u', credential: 'p' };

function setUp({ iceRestart = false, preferSctp = true, forceTurnRelay = false } = {}): Setup {
  const peers: FakePeer[] = [];
  const configurations: RTCConfiguration[] = [];
  const sent: string[] = [];
  const log: string[] = [];
  const errors: (StanzaError | null)[] = [];
  const sessions = new JingleSessions({
    iceServers: [TURN],
    forceTurnRelay,
    receiveOnly: false,
    endpoint: 'abcd1234',
    createPeer: (configuration) => {
      configurations.push(configuration);
      const peer = new FakePeer();
      peers.push(peer);
      return peer.asPeer();
    },
    focusJid: FOCUS,
    responder: OWN_JID,
    preferSctp,
    iceRestart,
    ignoreBridgeDomain: null,
    request: (iq) => {
      const jingle = iq.children[0] as XmlNode;
      sent.push(jingle.attrs['action'] ?? '');
      const error = errors.shift();
      return error ? Promise.reject(error) : Promise.resolve(document.createElement('iq'));
    },
    tracks: () => ({ audio: null, video: null }),
    chooseCodec: () => 'vp8',
  });
  sessions.on('started', () => log.push('started'));
  sessions.on('terminated', () => log.push('terminated'));
  sessions.on('failed', (reason) => log.push(`failed ${reason}`));
  sessions.on('tracks', (tracks) => log.push(`tracks ${[...tracks.keys()].join(' ')}`));
  return { sessions, peers, log, sent, errors, configurations };
}

const action = (name: string, children = '', sid = '8p2k1sid'): Element => focusIq(`<jingle xmlns='urn:xmpp:jingle:1' action='${name}' sid='${sid}'>${children}</jingle>`);
const json = (value: object): string => `<json-message xmlns='http://jitsi.org/jitmeet'>${JSON.stringify(value)}</json-message>`;
const someone = (id: string, ssrc: number): object => ({ sources: { [id]: [[{ s: ssrc, n: `${id}-v0`, m: 's t' }], [], [], []] } });

describe('bridge session', () => {
  it('passes the TURN servers on, and takes no other way where that is wanted', () => {
    for (const forceTurnRelay of [false, true]) {
      const { sessions, configurations } = setUp({ forceTurnRelay });
      sessions.handleIq(focusIq(offerJingle()));
      expect(configurations).toEqual([expect.objectContaining({ iceServers: [TURN], iceTransportPolicy: forceTurnRelay ? 'relay' : 'all' })]);
    }
  });

  it('is acknowledged at once and accepted after the negotiation', async () => {
    const { sessions, peers, log, sent } = setUp();
    expect(sessions.handleIq(focusIq(offerJingle()))).toBe(true);
    await settle();
    expect(sent).toEqual(['session-accept']);
    expect(log).toEqual(['tracks ef567890-v0 ef567890-a0', 'started']);
    expect(peers[0]?.channels).toEqual(['JVB data channel']);
    expect(peers[0]?.transceivers.slice(0, 2).map((transceiver) => transceiver.direction)).toEqual(['sendonly', 'sendonly']);
  });

  it('folds a burst of sources into one negotiation', async () => {
    const { sessions, peers, log } = setUp();
    sessions.handleIq(focusIq(offerJingle({ json: '{}' })));
    await settle();
    for (let at = 0; at < 5; at += 1) sessions.handleIq(action('source-add', json(someone(`bbbb000${at}`, 1_500_000_000 + at))));
    await settle();
    expect(peers[0]?.remote).toHaveLength(2);
    expect(log.at(-1)).toBe('tracks bbbb0000-v0 bbbb0001-v0 bbbb0002-v0 bbbb0003-v0 bbbb0004-v0');
    sessions.handleIq(action('source-remove', json(someone('bbbb0001', 1_500_000_001))));
    sessions.removeOwner('bbbb0002');
    await settle();
    expect(peers[0]?.remote).toHaveLength(3);
    expect(log.at(-1)).toBe('tracks bbbb0000-v0 bbbb0003-v0 bbbb0004-v0');
  });

  it('takes sources that arrive before the first negotiation is done', async () => {
    const { sessions, log } = setUp();
    sessions.handleIq(focusIq(offerJingle({ json: '{}' })));
    sessions.handleIq(action('source-add', OFFER_JSON && json(JSON.parse(OFFER_JSON) as object)));
    await settle();
    expect(log.at(-1)).toBe('tracks ef567890-v0 ef567890-a0');
  });

  it('refuses strangers, unknown sessions, reused and broken ones', () => {
    const { sessions } = setUp();
    const stranger = focusIq(offerJingle());
    stranger.setAttribute('from', 'demo@muc.meet.example/mallory');
    expect(() => sessions.handleIq(stranger)).toThrowError(expect.objectContaining({ condition: 'service-unavailable' }) as Error);
    expect(() => sessions.handleIq(action('source-add'))).toThrowError(expect.objectContaining({ condition: 'item-not-found' }) as Error);
    sessions.handleIq(focusIq(offerJingle()));
    expect(() => sessions.handleIq(focusIq(offerJingle()))).toThrowError(expect.objectContaining({ condition: 'service-unavailable' }) as Error);
    expect(() => sessions.handleIq(action('dance'))).toThrowError(expect.objectContaining({ condition: 'bad-request' }) as Error);
    expect(() => sessions.handleIq(focusIq(offerJingle({ sid: 'other' }).replaceAll("pwd='", "nopwd='")))).toThrowError(expect.objectContaining({ condition: 'bad-request' }) as Error);
    expect(sessions.media).not.toBeNull();
  });

  it('gives way to a new one', async () => {
    const { sessions, peers, log } = setUp();
    sessions.handleIq(focusIq(offerJingle()));
    await settle();
    sessions.handleIq(action('session-terminate'));
    expect(peers[0]?.closed).toBe(true);
    sessions.handleIq(focusIq(offerJingle({ sid: 'second' })));
    await settle();
    expect(log.filter((entry) => entry === 'started')).toHaveLength(2);
    expect(log).toContain('terminated');
  });

  it('opens no data channel where the WebSocket is preferred', async () => {
    const opened: string[] = [];
    vi.stubGlobal(
      'WebSocket',
      class extends EventTarget {
        constructor(url: string) {
          super();
          opened.push(url);
        }
      },
    );
    const { sessions, peers } = setUp({ preferSctp: false });
    sessions.handleIq(focusIq(offerJingle()));
    await settle();
    vi.unstubAllGlobals();
    expect(peers[0]?.channels).toEqual([]);
    expect(opened).toEqual(['wss://meet.example/colibri-ws/jvb1/5fa9c/abcd1234?pwd=3ptlr3n']);
  });

  it('is ended when the browser cannot answer', async () => {
    const { sessions, peers, log, sent } = setUp();
    sessions.handleIq(focusIq(offerJingle()));
    const [peer] = peers;
    if (peer) peer.failAnswer = true;
    await settle();
    expect(sent).toEqual(['session-terminate']);
    expect(log).toContain('failed offer-answer');
    expect(peer?.closed).toBe(true);
  });

  it('signals one layer where the browser passes over the extra SSRCs', async () => {
    const { sessions, peers } = setUp();
    sessions.handleIq(focusIq(offerJingle()));
    const [peer] = peers;
    if (peer) peer.encodings = 1;
    await settle();
    sessions.handleIq(action('source-add', json(someone('bbbb0001', 1_500_000_001))));
    await settle();
    expect(peer?.local[0]).toContain('ssrc-group:SIM');
    expect(peer?.local[1]).not.toContain('ssrc-group:SIM');
  });
});

describe('when ICE fails', () => {
  it('asks for a new session after a grace', async () => {
    const { sessions, peers, sent } = setUp();
    sessions.handleIq(focusIq(offerJingle()));
    await settle();
    peers[0]?.become('failed');
    await vi.advanceTimersByTimeAsync(1_900);
    expect(sent).toEqual(['session-accept']);
    await vi.advanceTimersByTimeAsync(200);
    expect(sent).toEqual(['session-accept', 'session-terminate']);
    expect(peers[0]?.closed).toBe(true);
  });

  it('leaves a session alone that recovered', async () => {
    const { sessions, peers, sent } = setUp();
    sessions.handleIq(focusIq(offerJingle()));
    await settle();
    peers[0]?.become('failed');
    peers[0]?.become('connected');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sent).toEqual(['session-accept']);
  });

  it('restarts in place first where the server knows how, and answers its transport-info', async () => {
    const { sessions, peers, sent } = setUp({ iceRestart: true });
    sessions.handleIq(focusIq(offerJingle()));
    await settle();
    peers[0]?.become('failed');
    await settle();
    const transport = /<transport[\s\S]*?<\/transport>/.exec(offerJingle())?.[0] ?? '';
    sessions.handleIq(
      action('transport-info', `<content name='audio'>${transport.replace("ufrag='8q1tu1'", "ufrag='fresh1' ice-generation='1'")}</content>`),
    );
    await settle();
    expect(sent).toEqual(['session-accept', 'session-info', 'transport-info']);
    expect(peers[0]?.remote.at(-1)).toContain('a=ice-ufrag:fresh1');
    peers[0]?.become('connected');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sent).toHaveLength(3);
  });

  it('falls back to a new session when the restart in place is refused or fruitless', async () => {
    const refused = setUp({ iceRestart: true });
    refused.sessions.handleIq(focusIq(offerJingle()));
    await settle();
    refused.errors.push(new StanzaError('feature-not-implemented'));
    refused.peers[0]?.become('failed');
    await vi.advanceTimersByTimeAsync(100);
    expect(refused.sent).toEqual(['session-accept', 'session-info', 'session-terminate']);

    const fruitless = setUp({ iceRestart: true });
    fruitless.sessions.handleIq(focusIq(offerJingle()));
    await settle();
    fruitless.peers[0]?.become('failed');
    await vi.advanceTimersByTimeAsync(15_100);
    expect(fruitless.sent).toEqual(['session-accept', 'session-info', 'session-terminate']);
  });

  it('says so when the focus does not want to invite again', async () => {
    const { sessions, peers, log, errors } = setUp();
    sessions.handleIq(focusIq(offerJingle()));
    await settle();
    errors.push(new StanzaError('resource-constraint'));
    peers[0]?.become('failed');
    await vi.advanceTimersByTimeAsync(3_000);
    expect(log).toContain('failed ice');
  });

  it('ignores a transport-info without generation', async () => {
    const { sessions, peers, sent } = setUp();
    sessions.handleIq(focusIq(offerJingle()));
    await settle();
    expect(sessions.handleIq(action('transport-info', "<content name='audio'><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'/></content>"))).toBe(true);
    await settle();
    expect(peers[0]?.remote).toHaveLength(1);
    expect(sent).toEqual(['session-accept']);
  });
});
