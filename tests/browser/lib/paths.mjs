// Which way the media of a page go: what its peer connection was made with, and the candidate pair in use.

import { setTimeout as delay } from 'node:timers/promises';

/**
 * Runs in the page before anything else: keeps its peer connections where `pathOf` finds them, and leaves them the ICE
 * servers whose URL matches `pattern`.
 */
export function keepPeers(pattern) {
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

/** The first pair that works carries media until a better one does: both sides need a few checks to agree on that. */
const SETTLED_WITHIN_MS = 5_000;

/** The selected pair once it has the properties of `expected`, or the one of the end of the wait for that. */
export async function settledPathOf(person, expected) {
  const deadline = performance.now() + SETTLED_WITHIN_MS;
  for (;;) {
    const path = await pathOf(person);
    if (Object.entries(expected).every(([key, value]) => path[key] === value) || performance.now() > deadline) {
      return path;
    }
    await delay(100);
  }
}

/** The selected pair of the page's newest peer connection, by its statistics. */
export async function pathOf(person) {
  return person.page.evaluate(async () => {
    const { peer, urls, policy } = globalThis.peers.at(-1);
    const stats = new Map(await peer.getStats());
    const transport = [...stats.values()].find(({ type }) => type === 'transport');
    const pair = stats.get(transport.selectedCandidatePairId);
    const [local, remote] = [stats.get(pair.localCandidateId), stats.get(pair.remoteCandidateId)];
    return {
      urls,
      policy,
      type: local.candidateType,
      isRelayed: local.candidateType === 'relay',
      protocol: local.protocol,
      relayProtocol: local.relayProtocol,
      remoteAddress: remote.address,
      remotePort: remote.port,
    };
  });
}
