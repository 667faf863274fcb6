// One conference over bridges on three hosts far apart: `teranga serve` with a bridge, and two bridges of their own. Four people in
// each region, by the load generator, all sending. No browser takes part; what is needed besides is here.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { testProgram } from './lib/namespaces.mjs';
import { BINARY } from './lib/server.mjs';
import { Regions } from './lib/regions.mjs';

const HOME = 'eu';
const AWAY = ['us', 'asia'];
const REGIONS = [HOME, ...AWAY];
/** In each region. */
const PEOPLE = 4;
const READY_WITHIN_MS = 30_000;
const LINE = { delay: 40, loss: 1 };

describe('one conference over bridges in three regions', () => {
  let regions;
  let dir;
  let output = '';
  const bridges = new Map();

  function start(region, program, args) {
    const env = { ...process.env, TERANGA_SERVICE_SECRET: 'a secret of the cascade', TERANGA_XMPP_INSECURE: '1', HOME: dir };
    const child = regions.spawn(region, program, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (output += text));
    }
    return child;
  }

  /** What a program says that ends by itself. */
  async function run(region, program, args) {
    const child = regions.spawn(region, program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (more) => (text += more));
    await once(child, 'close');
    return text;
  }

  function startBridge(region) {
    const args = ['--xmpp', `wss://${regions.address(HOME)}:8443/xmpp-websocket`, '--name', region, '--region', region];
    bridges.set(region, start(region, testProgram('teranga-bridge'), [...args, '--admin', '127.0.0.1:8081']));
  }

  async function untilBridgesAre(count) {
    const deadline = performance.now() + READY_WITHIN_MS;
    let table;
    do {
      table = await run(HOME, BINARY, ['bridges', '--admin', '127.0.0.1:8080']);
      if (table.split('\n').filter((line) => line.endsWith(' ok')).length === count) {
        return;
      }
      await delay(200);
    } while (performance.now() < deadline);
    throw new Error(`no ${count} bridges:\n${table}\n${output}`);
  }

  /** Packets that a bridge sent to others, and got from them. */
  async function relayed(region) {
    const port = region === HOME ? 8080 : 8081;
    const text = await run(region, 'curl', ['-s', `http://127.0.0.1:${port}/metrics`]);
    const value = (name) => Number(new RegExp(`^jitsi_jvb_relay_packets_${name}_total (\\d+)`, 'm').exec(text)[1]);
    return { sent: value('sent'), received: value('received') };
  }

  /** The reports of a call, by region. */
  async function call(duration, { meanwhile = async () => {}, rooms = 1, people = PEOPLE } = {}) {
    const participants = REGIONS.map(async (region) => {
      const file = join(dir, `${region}.json`);
      const size = ['--rooms', String(rooms), '--participants', String(people)];
      const options = ['--region', region, ...size, '--height', '180', '--join-rate', '4'];
      const args = [`https://${regions.address(HOME)}:8443`, '--insecure', '--quiet', '--duration', duration, '--json', file, ...options];
      await run(region, testProgram('teranga-load'), args);
      return [region, JSON.parse(await readFile(file, 'utf8'))];
    });
    await meanwhile();
    const reports = Object.fromEntries(await Promise.all(participants));
    for (const [region, report] of Object.entries(reports)) {
      assert.equal(report.ended, 'completed', `${region}\n${output}`);
      assert.equal(report.metrics.failed.value, 0, `${region}: ${JSON.stringify(report.failures)}\n${output}`);
    }
    return reports;
  }

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'teranga-cascade-'));
    regions = await Regions.create(REGIONS, LINE);
    const octo = ['--enable-octo', 'true', '--bridge-selection-strategy', 'RegionBasedBridgeSelectionStrategy'];
    const home = ['--address', regions.address(HOME), '--state-dir', dir, '--region', HOME, '--admin', '127.0.0.1:8080'];
    start(HOME, BINARY, ['serve', ...home, ...octo]);
    AWAY.forEach(startBridge);
    await untilBridgesAre(3);
  });

  after(async () => {
    regions?.remove();
    await rm(dir, { recursive: true, force: true });
  });

  test('everybody gets everybody, and each packet crosses a line once', async (context) => {
    const earlier = Object.fromEntries(await Promise.all(REGIONS.map(async (region) => [region, await relayed(region)])));
    const reports = await call('12s');
    for (const [region, { steady, whole, steady_media: media, metrics }] of Object.entries(reports)) {
      const others = REGIONS.length * PEOPLE - 1;
      const [median, late] = [metrics.latency_p50, metrics.latency_p99].map(({ value }) => `${(value * 1000).toFixed(1)} ms`);
      context.diagnostic(`${region}: from sender to receiver ${median}, p99 ${late}, behind ${LINE.delay} ms of line at most`);
      // 50 packets of sound a second and 30 pictures: fewer where the machine is busy, and at the end, which the regions have one
      // after the other. Without another bridge it would be a third.
      const heard = media.audio.expected_packets / (PEOPLE * others * 50 * steady);
      const seen = media.camera.frames / (PEOPLE * others * 30 * steady);
      assert.ok(heard > 0.8 && heard < 1.1, `${region} expects ${heard} of the sound`);
      assert.ok(seen > 0.7 && seen < 1.1, `${region} sees ${seen} of the pictures`);
      // What a line lost of them was repaired.
      assert.ok(media.camera.unrecoverable_packets < media.camera.expected_packets / 500, `${region}: ${JSON.stringify(media.camera)}`);
      assert.equal(media.audio.duplicated_packets + media.camera.duplicated_packets, 0, `${region}: ${JSON.stringify(media)}`);
      const { sent } = await relayed(region);
      const own = whole.audio.sent_packets + whole.camera.sent_packets;
      const crossings = (sent - earlier[region].sent) / own / AWAY.length;
      // Less by what went before the lines stood, more by what was lost on them.
      assert.ok(crossings > 0.7 && crossings < 1.1, `${region}: each packet crosses a line ${crossings} times`);
    }
  });

  test('conferences share the bridges and the lines between them', async () => {
    const [rooms, people] = [2, 2];
    const earlier = Object.fromEntries(await Promise.all(REGIONS.map(async (region) => [region, await relayed(region)])));
    const reports = await call('8s', { rooms, people });
    for (const [region, { steady, whole, steady_media: media }] of Object.entries(reports)) {
      const others = REGIONS.length * people - 1;
      const heard = media.audio.expected_packets / (rooms * people * others * 50 * steady);
      assert.ok(heard > 0.8 && heard < 1.1, `${region} expects ${heard} of the sound`);
      assert.ok(media.camera.unrecoverable_packets < media.camera.expected_packets / 500, `${region}: ${JSON.stringify(media.camera)}`);
      const { sent } = await relayed(region);
      const own = whole.audio.sent_packets + whole.camera.sent_packets;
      const crossings = (sent - earlier[region].sent) / own / AWAY.length;
      assert.ok(crossings > 0.7 && crossings < 1.1, `${region}: each packet crosses a line ${crossings} times`);
    }
  });

  test('who was on a bridge that is killed has media again, and nobody else notices', async () => {
    let killed;
    const meanwhile = async () => {
      await delay(10_000);
      bridges.get('us').kill('SIGKILL');
      killed = Date.now();
    };
    const reports = await call('16s', { meanwhile });
    for (const [region, { started, timeline }] of Object.entries(reports)) {
      const cut = (killed - Date.parse(started)) / 1000;
      const rate = (from, to) => {
        const seconds = timeline.filter(({ at, phase }) => phase === 'steady' && at > from && at < to);
        return seconds.reduce((sum, second) => sum + second.receive_bitrate, 0) / seconds.length;
      };
      const [usual, now] = [rate(0, cut), rate(cut + 4, cut + 8)];
      assert.ok(now > usual * 0.8, `${region}: ${now} of ${usual} bit/s ${JSON.stringify(timeline)}\n${output}`);
    }
    startBridge('us');
    await untilBridgesAre(3);
  });
});
