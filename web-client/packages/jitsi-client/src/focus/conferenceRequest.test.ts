import { describe, expect, it, vi } from 'vitest';
import { stanza } from '../testing/stanzas';
import { parseStanzaError } from '../xmpp/errors';
import { toElement } from '../xmpp/xml';
import {
  buildConferenceIq,
  conferenceErrorFrom,
  ConferenceRequestError,
  parseConferenceIq,
  requestByHttp,
  untilReady,
  type ConferenceReply,
  type ConferenceRequest,
} from './conferenceRequest';

const REQUEST: ConferenceRequest = { room: 'demo@muc.meet.example', machineUid: '9f', sessionId: 's-77', token: null, watch: false };
const READY: ConferenceReply = { ready: true, focusJid: 'focus@auth.meet.example', sessionId: null, vnode: null, properties: new Map() };
const noSleep = (): Promise<void> => Promise.resolve();

const errorOf = (children: string): ConferenceRequestError => {
  return conferenceErrorFrom(parseStanzaError(stanza(`<iq xmlns='jabber:client' type='error'><error type='cancel'>${children}</error></iq>`)));
};

describe('conference request', () => {
  it('is an IQ with room, machine and session', () => {
    const xml = new XMLSerializer().serializeToString(toElement(buildConferenceIq('focus.meet.example', REQUEST)));
    expect(xml).toContain('<conference xmlns="http://jitsi.org/protocol/focus" room="demo@muc.meet.example" machine-uid="9f" session-id="s-77">');
  });

  it('reads the answer of the focus', () => {
    const reply = parseConferenceIq(
      stanza(`<iq xmlns='jabber:client' type='result'><conference xmlns='http://jitsi.org/protocol/focus' ready='true' focusjid='focus@auth.meet.example'
        session-id='s-1'><property name='authentication' value='false'/></conference></iq>`),
    );
    expect(reply).toEqual({ ready: true, focusJid: 'focus@auth.meet.example', sessionId: 's-1', vnode: null, properties: new Map([['authentication', 'false']]) });
  });

  it('tells errors apart', () => {
    expect(errorOf("<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>").kind).toBe('not-authorized');
    expect(errorOf("<session-invalid xmlns='http://jitsi.org/protocol/focus'/>").kind).toBe('session-invalid');
    expect(errorOf("<reservation-error error-code='409' xmlns='http://jitsi.org/protocol/focus'/><text>taken</text>")).toMatchObject({ kind: 'reservation', text: 'taken' });
    expect(errorOf("<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>").kind).toBe('failed');
  });

  it('asks again while the focus is not ready, and without a refused session', async () => {
    const ask = vi
      .fn<(request: ConferenceRequest) => Promise<ConferenceReply>>()
      .mockResolvedValueOnce({ ...READY, ready: false })
      .mockRejectedValueOnce(new ConferenceRequestError('session-invalid'))
      .mockResolvedValueOnce(READY);
    expect(await untilReady(REQUEST, ask, noSleep)).toBe(READY);
    expect(ask.mock.calls.map(([request]) => request.sessionId)).toEqual(['s-77', 's-77', null]);
  });

  it('gives up on a focus that is never ready', async () => {
    await expect(untilReady(REQUEST, () => Promise.resolve({ ...READY, ready: false }), noSleep)).rejects.toMatchObject({ kind: 'failed' });
  });

  it('reads HTTP answers, and statuses that are none', async () => {
    const answer = (status: number, body: string): typeof fetch => () => Promise.resolve(new Response(body, { status }));
    const ok = await requestByHttp('https://h/', REQUEST, answer(200, '{"ready":true,"focusJid":"focus@auth.meet.example","properties":{"authentication":"false"}}'));
    expect(ok.ready).toBe(true);
    await expect(requestByHttp('https://h/', REQUEST, answer(403, ''))).rejects.toMatchObject({ kind: 'not-authorized' });
    await expect(requestByHttp('https://h/', REQUEST, answer(400, 'x 400 invalid-session'))).rejects.toMatchObject({ kind: 'session-invalid' });
    await expect(requestByHttp('https://h/', REQUEST, answer(200, 'no json'))).rejects.toMatchObject({ kind: 'failed' });
    await expect(requestByHttp('https://h/', REQUEST, () => Promise.reject(new TypeError('down')))).rejects.toMatchObject({ kind: 'failed' });
  });
});
