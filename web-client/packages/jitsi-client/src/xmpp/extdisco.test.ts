import { describe, expect, it } from 'vitest';
import { stanza } from '../testing/stanzas';
import { extdiscoRequest, parseIceServers } from './extdisco';

const answer = (services: string): Element => stanza(`<iq type='result'><services xmlns='urn:xmpp:extdisco:2'>${services}</services></iq>`);
const service = (attributes: string): string => `<service ${attributes} username='1790003600:ab' password='pw' expires='2026-09-21T15:13:20.000Z' restricted='1'/>`;

describe('external services', () => {
  it('become ICE servers with their credentials', () => {
    const servers = parseIceServers(
      answer(
        [
          "<service type='stun' host='meet.example' port='3478' transport='udp'/>",
          service("type='turn' host='meet.example' port='3478' transport='udp'"),
          service("type='turn' host='meet.example' port='3478' transport='tcp'"),
          service("type='turns' host='meet.example' port='443' transport='tcp'"),
        ].join(''),
      ),
    );
    expect(servers.map((server) => server.urls)).toEqual([
      'turn:meet.example:3478?transport=udp',
      'turn:meet.example:3478?transport=tcp',
      'turns:meet.example:443?transport=tcp',
    ]);
    expect(servers[0]).toMatchObject({ username: '1790003600:ab', credential: 'pw' });
  });

  it('write IPv6 addresses as URLs want them', () => {
    const servers = parseIceServers(answer(service("type='turn' host='2001:db8::1' port='3478'") + service("type='turn' host='[2001:db8::2]' port='3478'")));
    expect(servers.map((server) => server.urls)).toEqual(['turn:[2001:db8::1]:3478?transport=udp', 'turn:[2001:db8::2]:3478?transport=udp']);
  });

  it('are passed over where they are of no use', () => {
    const services = ["<service type='turn' host='meet.example' port='3478'/>", service("type='turn' host='a b' port='1'"), service("type='ftp' host='meet.example'"), service("type='turn'")];
    expect(parseIceServers(answer(services.join('')))).toEqual([]);
    expect(parseIceServers(stanza("<iq type='result'/>"))).toEqual([]);
  });

  it('are asked of the domain', () => {
    expect(extdiscoRequest('meet.example')).toMatchObject({ name: 'iq', attrs: { type: 'get', to: 'meet.example' } });
  });
});
