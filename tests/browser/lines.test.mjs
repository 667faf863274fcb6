// The conversation over each line that a network may leave: UDP, TCP, the https port alone, TURN, and IPv6 without IPv4.
// Which line it was is read from the statistics of the selected pair.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EXECUTABLE, launch } from './lib/chromium.mjs';
import { converse } from './lib/conversation.mjs';
import { Network, PASS } from './lib/namespaces.mjs';
import { keepPeers, settledPathOf } from './lib/paths.mjs';
import { Server } from './lib/server.mjs';

const direct = (protocol, remotePort) => ({ protocol, isRelayed: false, remotePort });
const relay = (relayProtocol) => ({ policy: 'relay', type: 'relay', relayProtocol, remotePort: 10_000 });
/** Without TURN servers: which of the bridge's own candidates works is the question. */
const NONE = '^$';

/** What passes, by which IP version, with which TURN servers, and what the selected pair has to be then. */
const LINES = [
  { name: 'UDP', pass: PASS.all, expected: direct('udp', 10_000) },
  { name: 'TCP 4443, UDP blocked', pass: PASS.tcp, turn: NONE, expected: direct('tcp', 4443) },
  { name: 'TCP 443 alone', pass: PASS.https, turn: NONE, expected: direct('tcp', 443) },
  { name: 'TURN over UDP', pass: PASS.all, turn: '^turn:.*=udp$', expected: relay('udp') },
  { name: 'TURN over TCP, UDP blocked', pass: PASS.tcp, turn: ':3478.*=tcp$', expected: relay('tcp') },
  { name: 'TURN over TLS, TCP 443 alone', pass: PASS.https, turn: '^turns:', expected: relay('tls') },
  { name: 'UDP, IPv6 alone', pass: PASS.all, family: 6, expected: direct('udp', 10_000) },
];

describe('a conference over', () => {
  let network;
  let server;
  const browsers = new Map();

  before(async () => {
    network = await Network.create();
    server = await Server.start({ network });
    for (const family of [4, 6]) {
      browsers.set(family, await launch([], await network.executable(`client${family}`, EXECUTABLE)));
    }
  });

  after(async () => {
    await Promise.all([...browsers.values()].map((browser) => browser.close()));
    await server?.stop();
    await network?.remove();
  });

  for (const [number, { name, pass, family = 4, turn = '', expected }] of LINES.entries()) {
    test(name, async (t) => {
      network.pass(pass);
      const there = { browser: browsers.get(family), server: { url: `https://${network.serverAddress(family)}/` } };
      const config = { forceTurnRelay: expected.policy === 'relay' };
      const options = { ...there, room: `line-${number}`, config, init: { script: keepPeers, argument: turn } };
      await converse(t, options, 2, async (person) => {
        const path = await settledPathOf(person, expected);
        t.diagnostic(`${person.name} over ${JSON.stringify(path)}`);
        assert.deepEqual(Object.fromEntries(Object.keys(expected).map((key) => [key, path[key]])), expected);
        assert.equal(path.remoteAddress, network.serverAddress(family).replace(/[[\]]/g, ''));
      });
    });
  }
});
