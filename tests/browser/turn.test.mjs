// Two people who reach the server in no other way than TURN, over each of its transports: they see and hear each other.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from './lib/chromium.mjs';
import { Participant } from './lib/participant.mjs';
import { Server } from './lib/server.mjs';

/** Leaves a peer connection the TURN servers of one transport, and keeps it where the test finds it. */
function takeOnly(pattern) {
  const Native = globalThis.RTCPeerConnection;
  globalThis.peers = [];
  globalThis.RTCPeerConnection = class extends Native {
    constructor(configuration) {
      const iceServers = (configuration.iceServers ?? []).filter(({ urls }) => new RegExp(pattern).test(urls));
      super({ ...configuration, iceServers });
      globalThis.peers.push({ peer: this, urls: iceServers.map(({ urls }) => urls), policy: configuration.iceTransportPolicy });
    }
  };
}

/** The local candidate in use, and what the connection was made with. */
async function pathOf(person) {
  return person.page.evaluate(async () => {
    const { peer, urls, policy } = globalThis.peers.at(-1);
    const stats = new Map(await peer.getStats());
    const transport = [...stats.values()].find(({ type }) => type === 'transport');
    const local = stats.get(stats.get(transport.selectedCandidatePairId).localCandidateId);
    return { urls, policy, type: local.candidateType, protocol: local.relayProtocol };
  });
}

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
          const init = { script: takeOnly, argument: pattern() };
          people.push(await Participant.open({ browser, server, room: `turn-${name.replaceAll(' ', '-')}`, index, init, config: { forceTurnRelay: true } }));
        }
        const [one, other] = people;
        await Promise.all([one.joined([other]), other.joined([one])]);
        const waited = await Promise.all([one.sees(other), other.sees(one), one.hears(other), other.hears(one)]);
        for (const person of people) {
          const path = await pathOf(person);
          assert.deepEqual({ ...path, urls: path.urls.length }, { urls: 1, policy: 'relay', type: 'relay', protocol });
        }
        t.diagnostic(`seen and heard after ${waited.map(({ ms }) => ms).join(', ')} ms`);
      } finally {
        await Promise.all(people.map((person) => person.close()));
      }
    });
  }
});
