// Which way the media of a page go: what its peer connection was made with, and the candidate pair in use.

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
      protocol: local.protocol,
      relayProtocol: local.relayProtocol,
      remoteAddress: remote.address,
      remotePort: remote.port,
    };
  });
}
