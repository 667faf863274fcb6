// The stock library and our own client in one room, over each kind of bridge channel. Run by hand, since the library is
// not part of the project:
//
//   node tests/browser/stock.mjs --lib DIR      DIR holds lib-jitsi-meet.min.js, built from its public repository
//
// Prints what each side saw and heard; exit code 1 at the first thing that is missing.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { launch } from './lib/chromium.mjs';
import { Participant } from './lib/participant.mjs';
import { installProbes } from './lib/probes.mjs';
import { Server } from './lib/server.mjs';
import { FRAME, installSyntheticMedia, mediaOf } from './lib/synthetic-media.mjs';

const { values: args } = parseArgs({ options: { lib: { type: 'string' }, log: { type: 'boolean', default: false } } });
if (!args.lib) {
  console.error('usage: node stock.mjs --lib DIR-with-lib-jitsi-meet.min.js [--log]');
  process.exit(2);
}

const WITHIN_MS = 20_000;
const TYPES = { html: 'text/html; charset=utf-8', js: 'text/javascript; charset=utf-8' };

/** Runs in the page before the library: counts data channels, so that the test can tell which bridge channel is in use. */
function countDataChannels() {
  window.dataChannels = [];
  const create = RTCPeerConnection.prototype.createDataChannel;
  RTCPeerConnection.prototype.createDataChannel = function createDataChannel(label, options) {
    window.dataChannels.push({ label, protocol: options?.protocol ?? '' });
    return create.call(this, label, options);
  };
}

/** The stock page, served under the server's own origin as a web app installed there would be. */
class StockParticipant {
  complaints = [];
  sockets = [];

  static async open({ browser, server, room, index, preferSctp }) {
    const stock = new StockParticipant();
    stock.name = `Stock ${index}`;
    stock.media = mediaOf(index);
    // The page has no address of its own, as the test hands it in, so the browser takes it for one from elsewhere.
    stock.context = await browser.newContext({ ignoreHTTPSErrors: true, permissions: ['local-network-access'] });
    await stock.context.addInitScript(installSyntheticMedia, stock.media);
    await stock.context.addInitScript(installProbes, { frame: FRAME });
    await stock.context.addInitScript(countDataChannels);
    stock.page = await stock.context.newPage();
    stock.page.on('console', (message) => {
      if (args.log || message.type() === 'error') {
        stock.complaints.push(message.text());
      }
      if (args.log) {
        console.log(`   [${stock.name}] ${message.text()}`);
      }
    });
    stock.page.on('pageerror', (error) => stock.complaints.push(String(error)));
    stock.page.on('websocket', (socket) => stock.sockets.push(socket.url()));
    await stock.page.route(new URL('/stock/**', server.url).href, async (route) => {
      const path = new URL(route.request().url()).pathname.replace('/stock/', '');
      const file = path.startsWith('lib/') ? join(resolve(args.lib), path.slice(4)) : join(import.meta.dirname, 'pages', path);
      await route.fulfill({ contentType: TYPES[path.split('.').at(-1)], body: await readFile(file) });
    });
    const query = new URLSearchParams({ room, name: stock.name, preferSctp: String(preferSctp) });
    await stock.page.goto(`${server.url}stock/stock.html?${query}`);
    return stock;
  }

  /** Waits until `window.stock` satisfies the predicate, given as a function of (stock, argument). */
  async until(what, predicate, argument) {
    const source = `(argument) => (${predicate})(window.stock, argument)`;
    try {
      // A function from text: the predicate runs in the page.
      await this.page.waitForFunction(`(${source})(${JSON.stringify(argument ?? null)})`, null, { timeout: WITHIN_MS });
    } catch (error) {
      const state = await this.page.evaluate(() => window.stock).catch(() => 'no page');
      throw new Error(`${this.name}: not ${what}: ${JSON.stringify(state)} ${this.complaints.slice(-20).join('\n')}`, { cause: error });
    }
  }

  state() {
    return this.page.evaluate(() => window.stock);
  }

  probe(name, owner, kind, expected) {
    return this.page.evaluate(
      ([probe, selector, wanted]) => window.probes[probe](selector, wanted),
      [name, `[id="remote-${owner}-${kind}"]`, expected],
    );
  }
}

async function meet({ browser, server, preferSctp }) {
  const room = preferSctp ? 'stock-sctp' : 'stock-websocket';
  console.log(`\n${preferSctp ? 'data channel' : 'WebSocket'} as bridge channel, room ${room}`);
  const say = (text) => console.log(`  ${text}`);

  const own = await Participant.open({ browser, server, room, index: 0 });
  await own.joined();
  const stock = await StockParticipant.open({ browser, server, room, index: 1, preferSctp });
  await stock.until('joined', (now) => now.state === 'joined');
  say(`lib-jitsi-meet ${(await stock.state()).version} joined as ${(await stock.state()).id}`);
  await own.joined([stock]);
  const ownId = await own.page.locator(Participant.ownTile).getAttribute('data-endpoint-id');

  await stock.until('showing our tracks', (now, id) => now.tracks.filter((track) => track.owner === id).length === 2, ownId);
  const seen = await stock.probe('sees', ownId, 'video', own.media.colour);
  const heard = await stock.probe('hears', ownId, 'audio', own.media.toneHz);
  say(`stock sees ours: ${seen.width}x${seen.height} rgb(${seen.colour}) frames ${seen.counters}; hears ${heard.hz} Hz ${heard.db} dB`);
  const ownSeen = await own.sees(stock);
  const ownHeard = await own.hears(stock);
  say(`ours sees stock: ${ownSeen.width}x${ownSeen.height} rgb(${ownSeen.colour}) frames ${ownSeen.counters}; hears ${ownHeard.hz} Hz ${ownHeard.db} dB`);

  await stock.until('on an open bridge channel', (now) => now.channelOpen);
  const colibriSockets = stock.sockets.filter((url) => url.includes('/colibri-ws/'));
  const dataChannels = (await stock.page.evaluate(() => window.dataChannels)).filter((channel) => channel.protocol.endsWith('colibri'));
  say(`bridge channel open: ${colibriSockets.length} colibri WebSocket, ${dataChannels.length} data channel`);
  assert.equal(colibriSockets.length, preferSctp ? 0 : 1);
  assert.equal(dataChannels.length, preferSctp ? 1 : 0);

  await own.click('mic-button');
  await stock.until('showing our mute', (now, id) => now.tracks.some((track) => track.owner === id && track.kind === 'audio' && track.muted), ownId);
  await stock.until('naming itself dominant speaker', (now) => now.dominantSpeaker === now.id);
  await own.click('mic-button');
  await stock.until('showing our unmute', (now, id) => now.tracks.some((track) => track.owner === id && track.kind === 'audio' && !track.muted), ownId);
  say('stock shows our mute and unmute, and was told that it is the dominant speaker meanwhile');

  const tile = Participant.tileOf(stock);
  for (const [kind, attribute] of [['audio', 'data-audio-muted'], ['video', 'data-video-muted']]) {
    for (const muted of [true, false]) {
      const ms = await own.observes(`${tile}[${attribute}="${muted}"]`, 'attached', WITHIN_MS, () =>
        stock.page.evaluate((change) => window.stock.setMuted(...change), [kind, muted]),
      );
      say(`ours shows stock's ${kind} ${muted ? 'muted' : 'unmuted'} after ${ms} ms`);
    }
  }
  await Promise.all([own.sees(stock), own.hears(stock)]);
  say('picture and sound of stock are back');

  await stock.page.evaluate(() => window.stock.sendChat('hello from stock'));
  await own.click('chat-button');
  await own.control('chat-message').filter({ hasText: 'hello from stock' }).waitFor();
  await own.control('chat-input').fill('hello from ours');
  await own.click('chat-send');
  await stock.until('told our chat message', (now) => now.chat.some((message) => message.text === 'hello from ours'));
  say('chat passes both ways');

  const other = await StockParticipant.open({ browser, server, room, index: 2, preferSctp });
  await other.until('joined', (now) => now.state === 'joined');
  await other.until('on an open bridge channel', (now) => now.channelOpen);
  const stockId = (await stock.state()).id;
  const otherId = (await other.state()).id;
  await stock.until('told of the other', (now, id) => id in now.users, otherId);
  await stock.page.evaluate((to) => window.stock.sendToEndpoint(to, { kind: 'direct', value: 7 }), otherId);
  await other.page.evaluate(() => window.stock.sendToEndpoint('', { kind: 'broadcast' }));
  await other.until('sent the direct message', (now, from) => now.endpointMessages.some((m) => m.from === from && m.payload.value === 7), stockId);
  await stock.until('sent the broadcast', (now, from) => now.endpointMessages.some((m) => m.from === from && m.payload.kind === 'broadcast'), otherId);
  say('endpoint messages pass through the bridge, direct and to all');
  await Promise.all([
    stock.until('showing the third', (now, id) => now.tracks.filter((track) => track.owner === id).length === 2, otherId),
    other.until('showing the two', (now) => now.tracks.length === 4),
  ]);
  await stock.probe('sees', otherId, 'video', other.media.colour);
  await stock.probe('hears', otherId, 'audio', other.media.toneHz);
  await other.probe('sees', stockId, 'video', stock.media.colour);
  await other.probe('hears', ownId, 'audio', own.media.toneHz);
  await own.sees(other);
  say('a second stock participant is seen and heard by both, and sees and hears them');

  await other.page.evaluate(() => window.stock.leave());
  await stock.until('rid of the third', (now, id) => !(id in now.users) && now.tracks.every((track) => track.owner !== id), otherId);
  await own.click('hangup-button');
  await stock.until('alone', (now) => Object.keys(now.users).length === 0 && now.tracks.length === 0);
  say('leaving shows at stock, tracks removed');
  assert.deepEqual((await stock.state()).errors, []);
  await Promise.all([own.close(), stock.context.close(), other.context.close()]);
}

const server = await Server.start({ isPublic: true });
const browser = await launch();
try {
  await meet({ browser, server, preferSctp: false });
  await meet({ browser, server, preferSctp: true });
  console.log('\nall seen');
} catch (error) {
  console.error(error);
  console.error(server.output);
  process.exitCode = 1;
} finally {
  await browser.close();
  await server.stop();
}
