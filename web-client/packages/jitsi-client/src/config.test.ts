import { describe, expect, it } from 'vitest';
import { ConfigError, foldRoomName, readConfig, readHash, roomJid, roomNameFromPath, withOverrides, withQuery } from './config';

const PAGE = new URL('https://meet.example/demo');
const STOCK = { hosts: { domain: 'meet.example', muc: 'muc.meet.example' }, websocket: 'wss://meet.example/xmpp-websocket' };

describe('config', () => {
  it('reads the stock shape', () => {
    const config = readConfig({ ...STOCK, conferenceRequestUrl: '/conference-request/v1', bridgeChannel: { preferSctp: false } }, PAGE);
    expect(config).toMatchObject({
      domain: 'meet.example',
      focus: 'focus.meet.example',
      websocket: 'wss://meet.example/xmpp-websocket',
      conferenceRequestUrl: 'https://meet.example/conference-request/v1',
      preferSctp: false,
      resume: true,
      forceTurnRelay: false,
      prejoin: true,
    });
  });

  it('names the key that is missing', () => {
    const broken: [unknown, string][] = [
      [undefined, 'config'],
      [{}, 'hosts.domain'],
      [{ hosts: { domain: 'a' } }, 'hosts.muc'],
      [{ hosts: { domain: 'a', muc: 'b' }, websocket: 'ftp://c' }, 'websocket'],
    ];
    for (const [raw, key] of broken) {
      expect(() => readConfig(raw, PAGE)).toThrowError(expect.objectContaining({ key }) as ConfigError);
    }
  });

  it('takes allowed keys of the hash and no others', () => {
    const hash = readHash('#config.prejoinConfig.enabled=false&config.hosts.domain="evil"&userInfo.displayName="Awa%20N"&config.startWithAudioMuted=true&config.forceTurnRelay=true&x&config.channelLastN={');
    expect(hash.displayName).toBe('Awa N');
    const config = readConfig(withOverrides(STOCK, hash), PAGE);
    expect(config).toMatchObject({ domain: 'meet.example', prejoin: false, startWithAudioMuted: true, forceTurnRelay: true, lastN: -1 });
  });

  it('folds room names as the stock client does', () => {
    expect(roomNameFromPath('/R%C3%89union')).toBe('réunion');
    expect(roomNameFromPath('/tenant/Demo/')).toBe('demo');
    expect(roomNameFromPath('/')).toBe('');
    expect(roomNameFromPath('/100%')).toBe('100%');
    expect(foldRoomName('  Ｗeekly  Stand-up?! ')).toBe('weekly-stand-up!');
    expect(roomJid('réunion', 'muc.meet.example')).toBe('r%c3%a9union@muc.meet.example');
  });

  it('adds parameters to service URLs', () => {
    expect(withQuery('wss://meet.example/xmpp-websocket?x=1', { room: 'a b' })).toBe('wss://meet.example/xmpp-websocket?x=1&room=a+b');
  });
});
