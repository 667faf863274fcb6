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
import { LoadReport, longest, overlap, sentPart } from './lib/load-report.mjs';
import { Regions } from './lib/regions.mjs';

const HOME = 'eu';
const AWAY = ['us', 'asia'];
const REGIONS = [HOME, ...AWAY];
/** In each region. */
const PEOPLE = 4;
const READY_WITHIN_MS = 30_000;
/** Less than the 20 s after which the focus ends the session of the last one, also if a farewell was lost. */
const GONE_WITHIN_MS = 15_000;
/** The load generator takes its three seconds for the same. */
const SETTLING_MS = 5000;
const LINE = { delay: 40, loss: 1 };
/** Where a bridge and people come later. */
const LATE = 'africa';
const NEWCOMERS = 2;
/** In each region, where more than media costs the machine. */
const FEW = 3;
const CUT_MS = 10_000;
/** Whom a fault concerns has all media again so soon. */
const BACK_WITHIN_MS = 5000;
/** Others miss nothing for so long, whatever else the machine does. */
const UNNOTICED_MS = 2000;

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

  /** What a program says that ends by itself, or is asked to when `end` is settled. */
  async function run(region, program, args, end) {
    const child = regions.spawn(region, program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const stop = () => child.kill('SIGINT');
    end?.then(stop, stop);
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

  /** What a bridge says at its private port. */
  function ask(region, path, options = []) {
    const port = region === HOME ? 8080 : 8081;
    return run(region, 'curl', ['-s', ...options, `http://127.0.0.1:${port}${path}`]);
  }

  /** Packets that each bridge sent to others so far. */
  async function relayed() {
    const sent = REGIONS.map(async (region) => {
      const [, value] = /^jitsi_jvb_relay_packets_sent_total (\d+)/m.exec(await ask(region, '/metrics'));
      return [region, Number(value)];
    });
    return Object.fromEntries(await Promise.all(sent));
  }

  /** Waits until the bridges of some regions have so many endpoints. */
  async function untilEndpointsAre(count, some, within = READY_WITHIN_MS) {
    const deadline = performance.now() + within;
    let endpoints;
    do {
      const stats = await Promise.all(some.map(async (region) => JSON.parse(await ask(region, '/colibri/stats'))));
      endpoints = stats.map((of) => of.local_endpoints);
      if (endpoints.reduce((sum, more) => sum + more) === count) {
        return;
      }
      await delay(200);
    } while (performance.now() < deadline);
    throw new Error(`${endpoints} endpoints in place of ${count}\n${output}`);
  }

  /** Has people come from a region who stay until `end` is settled; answers how it was for them. */
  async function visit(region, end, { rooms = 1, people = PEOPLE } = {}) {
    const file = join(dir, `${region}.json`);
    const size = ['--rooms', String(rooms), '--participants', String(people)];
    const options = ['--region', region, ...size, '--height', '180', '--join-rate', '4', '--duration', '5m'];
    const args = [`https://${regions.address(HOME)}:8443`, '--insecure', '--quiet', '--json', file, ...options];
    await run(region, testProgram('teranga-load'), args, end);
    const report = new LoadReport(await readFile(file, 'utf8'));
    assert.equal(report.json.ended, 'interrupted', `${region}\n${output}`);
    assert.equal(report.json.metrics.failed.value, 0, `${region}: ${JSON.stringify(report.json.failures)}\n${output}`);
    return report;
  }

  /** The reports of a call, by region. It is over when `course`, which begins when all are there and is told the end, is. */
  async function call(course, { rooms = 1, people = PEOPLE } = {}) {
    let hangUp;
    const end = new Promise((resolve) => (hangUp = resolve));
    const visits = REGIONS.map(async (region) => [region, await visit(region, end, { rooms, people })]);
    const happen = async () => {
      await untilEndpointsAre(REGIONS.length * rooms * people, REGIONS);
      await delay(SETTLING_MS);
      await course(end);
    };
    const [reports] = await Promise.all([Promise.all(visits), happen().finally(hangUp)]);
    await untilEndpointsAre(0, REGIONS, GONE_WITHIN_MS);
    return Object.fromEntries(reports);
  }

  /** Checks that people got so many streams of sound and of video in a span, where that part of them was sent. */
  function checkRates(region, report, span, streams, sent) {
    const { sound, frames } = report.rates(span);
    // 50 packets of sound, of which the lines lose one in a hundred for good, and 30 pictures.
    const [heard, seen] = [sound / (streams * 50 * sent), frames / (streams * 30 * sent)];
    const told = () => `${JSON.stringify({ span, ...report.json })}\n${output}`;
    assert.ok(heard > 0.95, `${region} hears ${heard} of the sound\n${told()}`);
    assert.ok(seen > 0.7, `${region} sees ${seen} of the pictures\n${told()}`);
  }

  /** Checks a call in which each bridge had sent `earlier` before it. */
  async function checkCall(reports, earlier, { rooms = 1, people = PEOPLE } = {}) {
    const span = overlap(Object.values(reports).map((report) => report.steady));
    const now = await relayed();
    for (const [region, report] of Object.entries(reports)) {
      checkRates(region, report, span, rooms * people * (REGIONS.length * people - 1), sentPart(Object.values(reports)));
      const { whole, steady_media: media } = report.json;
      // What a line lost of them was repaired.
      const { unrecoverable_packets: lost, expected_packets: sent } = media.camera;
      assert.ok(lost < sent / 500, `${region}: ${JSON.stringify(media.camera)}`);
      assert.equal(media.audio.duplicated_packets + media.camera.duplicated_packets, 0, `${region}: ${JSON.stringify(media)}`);
      const crossings = (now[region] - earlier[region]) / (whole.audio.sent_packets + whole.camera.sent_packets) / AWAY.length;
      // Less by what went before the lines stood, more by what was lost on them.
      assert.ok(crossings > 0.7 && crossings < 1.1, `${region}: each packet crosses a line ${crossings} times`);
    }
  }

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'teranga-cascade-'));
    regions = await Regions.create([...REGIONS, LATE], LINE);
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
    const earlier = await relayed();
    const reports = await call(() => delay(6000));
    for (const [region, { json }] of Object.entries(reports)) {
      const { latency_p50: median, latency_p99: late } = json.metrics;
      const [usual, worst] = [median, late].map(({ value }) => `${(value * 1000).toFixed(1)} ms`);
      context.diagnostic(`${region}: from sender to receiver ${usual}, p99 ${worst}, behind ${LINE.delay} ms of line at most`);
    }
    await checkCall(reports, earlier);
  });

  test('conferences share the bridges and the lines between them', async () => {
    const size = { rooms: 2, people: 2 };
    const earlier = await relayed();
    await checkCall(await call(() => delay(4000), size), earlier, size);
  });

  test('what happens to a line or a bridge concerns those on it, for a moment, and nobody else', async (context) => {
    const spans = {};
    const during = async (name, happen, rest) => {
      const from = Date.now();
      await happen();
      await delay(rest);
      spans[name] = { from, to: Date.now() };
    };
    let mended;
    let newcomers;
    const course = async (end) => {
      await during('cut', async () => {
        regions.cut('us', 'asia');
        await delay(CUT_MS);
        mended = Date.now();
        regions.mend('us', 'asia');
      }, 4000);
      await during('drain', async () => {
        await ask('asia', '/colibri/drain/enable', ['-X', 'POST']);
        await untilEndpointsAre(0, ['asia']);
      }, SETTLING_MS);
      await during('more', async () => {
        startBridge(LATE);
        // The one that drains is not counted.
        await untilBridgesAre(3);
        newcomers = visit(LATE, end, { people: NEWCOMERS });
        await untilEndpointsAre(NEWCOMERS, [LATE]);
        await delay(SETTLING_MS);
      }, 4000);
      await during('kill', async () => bridges.get(LATE).kill('SIGKILL'), 4000);
    };
    const reports = await call(course, { people: FEW });
    const all = { ...reports, [LATE]: await newcomers };

    // Who came later is heard by everybody, and hears them.
    const others = REGIONS.length * FEW + NEWCOMERS - 1;
    const span = overlap([all[LATE].steady, spans.more]);
    for (const [region, report] of Object.entries(all)) {
      const people = region === LATE ? NEWCOMERS : FEW;
      checkRates(region, report, span, people * others, sentPart(Object.values(all)));
    }

    // What nobody had again until all left.
    spans.kill.to = Infinity;
    const missed = (name) => Object.values(all).flatMap((report) => report.interruptions(spans[name]));
    const who = (region, name) => new Set(all[region].interruptions(spans[name]).map(({ receiver }) => receiver));
    const between = (one, other) => (pair) => {
      return (one.has(pair.receiver) && other.has(pair.owner)) || (other.has(pair.receiver) && one.has(pair.owner));
    };
    const of = (some) => (pair) => some.has(pair.receiver) || some.has(pair.owner);
    const [us, asia, moved, thrownOut] = [who('us', 'cut'), who('asia', 'cut'), who('asia', 'drain'), who(LATE, 'kill')];
    assert.deepEqual([us.size, asia.size, moved.size, thrownOut.size], [FEW, FEW, FEW, NEWCOMERS]);
    const concerned = { cut: between(us, asia), drain: of(moved), more: () => false, kill: of(thrownOut) };
    for (const [name, isConcerned] of Object.entries(concerned)) {
      const [those, rest] = [true, false].map((side) => missed(name).filter((one) => isConcerned(one) === side));
      // Of a line that was cut, from its return on.
      const back = longest(name === 'cut' ? those.map((one) => ({ ...one, ms: one.ended - mended })) : those);
      context.diagnostic(`${name}: those concerned missed ${JSON.stringify(back)} ms, others ${JSON.stringify(longest(rest))}`);
      assert.ok(Math.max(...Object.values(back)) < BACK_WITHIN_MS, `${name}: ${JSON.stringify(those)}\n${output}`);
      assert.ok(Math.max(...Object.values(longest(rest))) < UNNOTICED_MS, `${name}: ${JSON.stringify(rest)}\n${output}`);
    }
  });
});
