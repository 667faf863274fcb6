// Two people who reach the server in no other way than TURN, over each of its transports: they see and hear each other.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from './lib/chromium.mjs';
import { Participant } from './lib/participant.mjs';
import { keepPeers, pathOf } from './lib/paths.mjs';
import { Server } from './lib/server.mjs';

describe('media through TURN', () => {
  let server;
  let browser;

  before(async () => {
    server = await Server.start({ extraFlags: ['--address', '127.0.0.1'] });
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  for (const [name, protocol, pattern] of [
    ['UDP', 'udp', () => `^turn:127.0.0.1:${server.turnPort}.transport=udp$`],
    ['TCP', 'tcp', () => `^turn:127.0.0.1:${server.turnPort}.transport=tcp$`],
    ['TCP on the https port', 'tcp', () => `^turn:127.0.0.1:${new URL(server.url).port}.transport=tcp$`],
    ['TLS on the https port', 'tls', () => `^turns:127.0.0.1:${new URL(server.url).port}.transport=tcp$`],
  ]) {
    test(`flows over ${name} alone`, async (t) => {
      const people = [];
      try {
        for (let index = 0; index < 2; index += 1) {
          const init = { script: keepPeers, argument: pattern() };
          people.push(await Participant.open({ browser, server, room: `turn-${name.replaceAll(' ', '-')}`, index, init, config: { forceTurnRelay: true } }));
        }
        const [one, other] = people;
        await Promise.all([one.joined([other]), other.joined([one])]);
        const waited = await Promise.all([one.sees(other), other.sees(one), one.hears(other), other.hears(one)]);
        for (const person of people) {
          const { urls, policy, type, relayProtocol } = await pathOf(person);
          assert.deepEqual({ urls: urls.length, policy, type, relayProtocol }, { urls: 1, policy: 'relay', type: 'relay', relayProtocol: protocol });
        }
        t.diagnostic(`seen and heard after ${waited.map(({ ms }) => ms).join(', ')} ms`);
      } finally {
        await Promise.all(people.map((person) => person.close()));
      }
    });
  }
});
