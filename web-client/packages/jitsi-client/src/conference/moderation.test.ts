import { describe, expect, it } from 'vitest';
import { FOCUS, ROOM, stanza } from '../testing/stanzas';
import { readComponentMessage } from './components';
import { readMuteRequest, readStartMuted } from './moderation';

describe('mute request', () => {
  const iq = (children: string, type = 'set'): Element => stanza(`<iq xmlns='jabber:client' type='${type}' from='${FOCUS}'>${children}</iq>`);

  it('names the medium and the moderator', () => {
    expect(readMuteRequest(iq(`<mute xmlns='http://jitsi.org/jitmeet/video' actor='${ROOM}/ef567890'>true</mute>`))).toEqual({ media: 'video', muted: true, actor: 'ef567890' });
    expect(readMuteRequest(iq("<mute xmlns='http://jitsi.org/jitmeet/audio'>false</mute>"))).toEqual({ media: 'audio', muted: false, actor: '' });
  });

  it('is nothing else', () => {
    expect(readMuteRequest(iq("<mute xmlns='http://jitsi.org/jitmeet/desktop'>true</mute>"))).toBeNull();
    expect(readMuteRequest(iq("<mute xmlns='http://jitsi.org/jitmeet/audio'>true</mute>", 'get'))).toBeNull();
  });
});

describe('start-muted policy', () => {
  const read = (from: string, json: string): ReturnType<typeof readStartMuted> => {
    const message = stanza(`<message xmlns='jabber:client' from='${from}'><json-message xmlns='http://jitsi.org/jitmeet'>${json}</json-message></message>`);
    const said = readComponentMessage(message);
    return said && readStartMuted(said);
  };
  const json = '{"type":"room_metadata","metadata":{"startMuted":{"audio":true}}}';

  it('is taken from a component only', () => {
    expect(read('metadata.meet.example', json)).toEqual({ audio: true, video: false });
    expect(read(`${ROOM}/ef567890`, json)).toBeNull();
    expect(read('mallory@meet.example', json)).toBeNull();
  });

  it('is absent from other messages', () => {
    for (const other of ['{}', '{"type":"room_metadata"}', '{"type":"room_metadata","metadata":{}}', '{"type":"x","metadata":{"startMuted":{}}}', '[']) {
      expect(read('metadata.meet.example', other)).toBeNull();
    }
  });
});
