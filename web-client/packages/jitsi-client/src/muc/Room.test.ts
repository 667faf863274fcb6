import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeStreams } from '../testing/fakes';
import { focusPresence, OWN_JID, presence, ROOM, stanza } from '../testing/stanzas';
import { XmppConnection } from '../xmpp/XmppConnection';
import { Room } from './Room';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const OWN = { displayName: 'Awa', statsId: 'T', sources: new Map(), codecs: ['vp8'], raisedHand: null, caps: null };
const EXTRAS = { password: null, billingId: null };
const SELF = "<status code='110'/>";

function enter(): { room: Room; log: string[]; hear: (stanza: Element) => void; streams: FakeStreams } {
  const streams = new FakeStreams();
  const connection = new XmppConnection({ url: 'wss://h/', domain: 'meet.example', pingIntervalMs: 10_000 }, streams);
  connection.start();
  streams.current.handlers.onReady(OWN_JID, false);
  const room = new Room(connection, ROOM, OWN);
  room.trustFocus('focus@auth.meet.example');
  const log: string[] = [];
  room.on('occupantJoined', (occupant) => log.push(`joined ${occupant.id}`));
  room.on('occupantChanged', (occupant) => log.push(`changed ${occupant.id}`));
  room.on('occupantLeft', (id) => log.push(`left ${id}`));
  room.on('ended', (ended) => log.push(`ended ${ended.kind}`));
  room.on('focusLeft', () => log.push('focus left'));
  room.on('role', (moderator) => log.push(`moderator ${moderator}`));
  return { room, log, hear: (element) => streams.current.handlers.onStanza(element), streams };
}

const error = (children: string): Element => stanza(`<presence xmlns='jabber:client' type='error' from='${ROOM}/abcd1234'><error type='cancel'>${children}</error></presence>`);
const gone = (nick: string, children = ''): Element =>
  stanza(`<presence xmlns='jabber:client' type='unavailable' from='${ROOM}/${nick}'><x xmlns='http://jabber.org/protocol/muc#user'><item role='none'/>${children}</x></presence>`);

describe('room', () => {
  it('is joined by the own presence, after those of the others', async () => {
    const { room, log, hear } = enter();
    const joined = room.join(EXTRAS);
    hear(focusPresence());
    hear(presence('ef567890'));
    expect(room.joined).toBe(false);
    hear(presence('abcd1234', '', { role: 'moderator', statuses: SELF }));
    await joined;
    expect(log).toEqual(['joined ef567890', 'moderator true']);
    expect([...room.occupants.keys()]).toEqual(['ef567890']);
    expect(room.isFocus(`${ROOM}/focus`)).toBe(true);
  });

  it('shows an impostor of the focus as a participant', () => {
    const { room, log, hear } = enter();
    hear(presence('focus', '', { realJid: 'x@meet.example/y' }));
    expect(log).toEqual(['joined focus']);
    expect(room.isFocus(`${ROOM}/focus`)).toBe(false);
  });

  it('tries again when the join raced the focus, and not for ever', async () => {
    const { room, hear, streams } = enter();
    const joined = expect(room.join(EXTRAS)).rejects.toMatchObject({ kind: 'not-allowed' });
    for (let tries = 0; tries < 3; tries += 1) {
      hear(error("<not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><room-does-not-exist xmlns='http://jitsi.org/jitmeet'/>"));
      await vi.advanceTimersByTimeAsync(2000);
    }
    await joined;
    expect(streams.current.sent).toHaveLength(3);
  });

  it('types the refusals', async () => {
    const refusals: [string, string][] = [
      ['<service-unavailable/>', 'full'],
      ['<not-authorized/>', 'password'],
      ['<registration-required/>', 'members-only'],
      ["<displayname-required xmlns='http://jitsi.org/jitmeet'/>", 'name-required'],
      ['<conflict/>', 'other'],
    ];
    for (const [children, kind] of refusals) {
      const { room, hear } = enter();
      const refused = expect(room.join(EXTRAS)).rejects.toMatchObject({ kind });
      hear(error(children));
      await refused;
    }
  });

  it('gives up a join that nobody answers', async () => {
    const { room } = enter();
    const refused = expect(room.join(EXTRAS)).rejects.toMatchObject({ kind: 'no-answer' });
    await vi.advanceTimersByTimeAsync(20_000);
    await refused;
  });

  it('waits for the confirmation of a leave, but not for ever', async () => {
    const { room, hear, log } = enter();
    const joined = room.join(EXTRAS);
    hear(presence('abcd1234', '', { statuses: SELF }));
    await joined;
    let left = false;
    void room.leave().then(() => (left = true));
    await vi.advanceTimersByTimeAsync(4_000);
    expect(left).toBe(false);
    hear(gone('abcd1234', SELF));
    await vi.advanceTimersByTimeAsync(0);
    expect(left).toBe(true);
    expect(log).toEqual([]);
  });

  it('notices a kick, the end of the room, and that the focus left', async () => {
    const { room, hear, log } = enter();
    const joined = room.join(EXTRAS);
    hear(focusPresence());
    hear(presence('abcd1234', '', { statuses: SELF }));
    await joined;
    hear(gone('focus'));
    hear(gone('abcd1234', "<status code='307'/><status code='110'/>"));
    expect(log).toEqual(['focus left', 'ended kicked']);
  });

  it('hears from the focus whether there is a bridge', () => {
    const { room, hear } = enter();
    const told: boolean[] = [];
    room.on('bridgeAvailable', (available) => told.push(available));
    hear(focusPresence());
    hear(presence('focus', "<bridgeNotAvailable xmlns='http://jitsi.org/protocol/focus'/>", { realJid: 'focus@auth.meet.example/focus' }));
    hear(presence('ef567890', "<bridgeNotAvailable xmlns='http://jitsi.org/protocol/focus'/>"));
    expect(told).toEqual([true, false]);
  });

  it('ignores stanzas of another room', () => {
    const { log, hear } = enter();
    hear(stanza("<presence xmlns='jabber:client' from='other@muc.meet.example/x'><x xmlns='http://jabber.org/protocol/muc#user'><item jid='a@b/c'/></x></presence>"));
    expect(log).toEqual([]);
  });
});
