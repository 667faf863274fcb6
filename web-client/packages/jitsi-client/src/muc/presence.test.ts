import { describe, expect, it } from 'vitest';
import { presence, ROOM, stanza } from '../testing/stanzas';
import { toElement } from '../xmpp/xml';
import { buildPresence, cleanName, MAX_NAME_LENGTH, parseMucPresence } from './presence';
import { formatSourceInfo, isMuted, parseSourceInfo } from './sourceInfo';

describe('presence in a room', () => {
  it('reads name, sources, hand and codecs of an occupant', () => {
    const parsed = parseMucPresence(
      presence(
        'ef567890',
        `<nick xmlns='http://jabber.org/protocol/nick'>Bob</nick><SourceInfo>{"ef567890-a0":{"muted":true},"ef567890-v0":{},"abcd1234-v0":{}}</SourceInfo>
         <jitsi_participant_raisedHand>1790000000000</jitsi_participant_raisedHand><jitsi_participant_codecList>VP8, h264</jitsi_participant_codecList>`,
        { role: 'moderator' },
      ),
    );
    expect(parsed).toMatchObject({
      kind: 'available',
      occupant: { id: 'ef567890', displayName: 'Bob', moderator: true, raisedHand: 1_790_000_000_000, codecs: ['vp8', 'h264'] },
    });
    if (parsed?.kind !== 'available') throw new Error('not available');
    const { sources } = parsed.occupant;
    expect([...sources.keys()]).toEqual(['ef567890-a0', 'ef567890-v0']);
    expect([isMuted(sources, 'ef567890', 'audio'), isMuted(sources, 'ef567890', 'video')]).toEqual([true, false]);
  });

  it('ignores a presence without item, as the stock client does', () => {
    expect(parseMucPresence(stanza(`<presence xmlns='jabber:client' from='${ROOM}/ef567890'><x xmlns='http://jabber.org/protocol/muc#user'/></presence>`))).toBeNull();
    expect(parseMucPresence(stanza(`<presence xmlns='jabber:client' from='${ROOM}/ef567890'/>`))).toBeNull();
    expect(parseMucPresence(stanza(`<presence xmlns='jabber:client' from='${ROOM}'/>`))).toBeNull();
  });

  it('tells a kick from the end of the room and from leaving', () => {
    const gone = (user: string): Element =>
      stanza(`<presence xmlns='jabber:client' type='unavailable' from='${ROOM}/abcd1234'><x xmlns='http://jabber.org/protocol/muc#user'>${user}</x></presence>`);
    expect(parseMucPresence(gone("<item role='none'><actor nick='ef567890'/><reason>spam</reason></item><status code='307'/><status code='110'/>"))).toMatchObject({
      ended: { kind: 'kicked', actor: 'ef567890', reason: 'spam' },
    });
    expect(parseMucPresence(gone("<item role='none'/><destroy><reason>over</reason></destroy>"))).toMatchObject({ ended: { kind: 'destroyed', reason: 'over' } });
    expect(parseMucPresence(gone("<item role='none'/><status code='110'/>"))).toMatchObject({ ended: null });
  });

  it('repeats everything in each presence, and asks to enter in the first only', () => {
    const own = { displayName: 'Awa', statsId: 'T', sources: new Map(), codecs: ['vp8'], raisedHand: null, caps: null };
    const xml = (join: boolean): string => new XMLSerializer().serializeToString(toElement(buildPresence(`${ROOM}/a`, own, join ? { password: 'p', billingId: null } : null)));
    expect(xml(true)).toBe(
      `<presence xmlns="jabber:client" to="${ROOM}/a"><x xmlns="http://jabber.org/protocol/muc"><password>p</password></x><stats-id>T</stats-id>` +
        '<SourceInfo>{}</SourceInfo><jitsi_participant_codecList>vp8</jitsi_participant_codecList><nick xmlns="http://jabber.org/protocol/nick">Awa</nick></presence>',
    );
    expect(xml(false)).not.toContain('protocol/muc"');
  });

  it('bounds and cleans names', () => {
    expect(cleanName(' a\nb\u0000\u202ec ')).toBe('a b c');
    expect(Array.from(cleanName('😀'.repeat(500)))).toHaveLength(MAX_NAME_LENGTH);
  });

  it('survives any source info', () => {
    for (const text of [null, '', '[]', '{', 'null', '{"ef567890-a0":1}', '{"ef567890-a0":null}']) expect(parseSourceInfo(text, 'ef567890').size).toBe(0);
    const many = formatSourceInfo(new Map(Array.from({ length: 100 }, (_, at) => [`ef567890-v${at}`, { muted: false, desktop: true }])));
    expect(parseSourceInfo(many, 'ef567890').size).toBe(20);
    expect(parseSourceInfo(many, 'ef567890').get('ef567890-v3')).toEqual({ muted: false, desktop: true });
  });
});
