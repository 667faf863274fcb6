// One receiver of four is on a bad line: 1 Mbit/s, 100 ms there and back, 3 % loss each way. It keeps audio and video, and the others their
// top layer.
//
// The bad line ends at Chromium, whose own statistics tell what it played. The three others are of the load generator, which
// sends three layers and counts whether it got those that it asked for.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { EXECUTABLE, launch } from './lib/chromium.mjs';
import { Network, spawnIn, testProgram } from './lib/namespaces.mjs';
import { Participant } from './lib/participant.mjs';
import { keepPeers } from './lib/paths.mjs';
import { Server } from './lib/server.mjs';

const LINE = { down: 1000, up: 1000, delay: 50, loss: 3 };
const OTHERS = 3;
/** Until the estimate has found the line, and what is judged then. */
const CONVERGED_AFTER_MS = 15_000;
const WATCHED_MS = 15_000;
/** The others stay beyond that. */
const OTHERS_STAY_S = 45;
/** Frames of theirs in the layer asked for: one of their six streams may take the first three seconds to get there, as estimates start. */
const TOP_LAYER = 'layer_match>=97%';
/** Longest time without a packet of audio, and without a new picture. */
const MAX_AUDIO_GAP_MS = 200;
const MAX_FREEZE_MS = 1000;

/**
 * Runs in the page: what its peers play for so long. Times in milliseconds. Where the machine lets the page itself wait, nobody looks:
 * of such a time only as much counts as two looks are apart.
 */
async function watch(ms) {
  const LOOK_MS = 50;
  const inbound = async () => {
    const reports = await Promise.all(globalThis.peers.map(({ peer }) => peer.getStats()));
    return reports.flatMap((report) => [...report.values()].filter(({ type }) => type === 'inbound-rtp'));
  };
  const streams = new Map();
  const began = performance.now();
  let [looked, watched] = [began, 0];
  while (looked < began + ms) {
    const reports = await inbound();
    watched += Math.min(performance.now() - looked, 2 * LOOK_MS);
    looked = performance.now();
    for (const now of reports) {
      const stream = streams.get(now.ssrc) ?? { kind: now.kind, first: now, last: now, changed: watched, longest: 0 };
      streams.set(now.ssrc, stream);
      const [known, count] = now.kind === 'video' ? [stream.last.framesDecoded, now.framesDecoded] : [stream.last.packetsReceived, now.packetsReceived];
      stream.longest = Math.max(stream.longest, watched - stream.changed);
      if (count > known) {
        stream.changed = watched;
      }
      stream.last = now;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return [...streams.values()].map(({ kind, first, last, longest }) => ({
    kind,
    longest: Math.round(longest),
    packets: last.packetsReceived - first.packetsReceived,
    lost: last.packetsLost - first.packetsLost,
    kbps: Math.round(((last.bytesReceived - first.bytesReceived) * 8) / ms),
    ...(kind === 'video'
      ? { height: last.frameHeight, frames: last.framesDecoded - first.framesDecoded, freezes: last.freezeCount - first.freezeCount, frozen: Math.round(1000 * (last.totalFreezesDuration - first.totalFreezesDuration)) }
      : { concealed: Math.round((last.concealedSamples - last.silentConcealedSamples - first.concealedSamples + first.silentConcealedSamples) / 48) }),
  }));
}

describe('one of four on a line of 1 Mbit/s with 3 % loss', () => {
  let network;
  let server;
  let browser;

  before(async () => {
    network = await Network.create();
    await network.connectNarrow(LINE);
    server = await Server.start({ network });
    browser = await launch([], await network.executable('narrow', EXECUTABLE));
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
    await network?.remove();
  });

  test('plays all of it, and the others get their top layers', async (t) => {
    const url = `https://${network.serverAddress(4)}/`;
    const flags = ['--insecure', '--participants', OTHERS, '--room-prefix', 'narrow', '--tile-height', 720, '--duration', `${OTHERS_STAY_S}s`, '--expect', TOP_LAYER, '--quiet'];
    const others = spawnIn(network, 'client4', testProgram('teranga-load'), [url, ...flags].map(String), { stdio: ['ignore', 'inherit', 'inherit'] });
    const ended = once(others, 'exit');
    const person = await Participant.open({ browser, server: { url }, room: 'narrow-0', config: { startWithVideoMuted: true }, init: { script: keepPeers, argument: '' } });
    await person.joined();
    await person.page.locator('[data-testid="tile"][data-local="false"]').nth(OTHERS - 1).waitFor({ state: 'attached' });
    await delay(CONVERGED_AFTER_MS);
    const played = await person.page.evaluate(watch, WATCHED_MS);
    for (const stream of played) {
      t.diagnostic(JSON.stringify(stream));
    }
    await person.close();
    const [code] = await ended;
    assert.equal(code, 0, 'the others got the layers that they asked for');
    const [audio, video] = ['audio', 'video'].map((kind) => played.filter((stream) => stream.kind === kind));
    assert.deepEqual([audio.length, video.length], [OTHERS, OTHERS]);
    for (const { packets, longest } of audio) {
      assert.ok(packets > 0 && longest < MAX_AUDIO_GAP_MS, `audio stopped for ${longest} ms`);
    }
    for (const { frames, longest } of video) {
      assert.ok(frames > 0 && longest < MAX_FREEZE_MS, `a picture stood for ${longest} ms`);
    }
  });
});
