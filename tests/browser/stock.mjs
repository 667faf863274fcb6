// The stock library in a room: with our own client on a server started here, or only with itself on a deployment that runs
// already, ours or another. Over each kind of bridge channel. Run by hand, since the library is not part of the project:
//
//   node tests/browser/stock.mjs --lib DIR      DIR holds lib-jitsi-meet.min.js, built from its public repository
//     --url https://HOST:PORT                   a deployment that runs already
//     --channel sctp|websocket                  only that kind of bridge channel
//
// Prints what each side saw and heard; exit code 1 at the first thing that is missing.

import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { launch } from './lib/chromium.mjs';
import { Participant } from './lib/participant.mjs';
import { Server } from './lib/server.mjs';
import { StockParticipant, WITHIN_MS } from './lib/stock-participant.mjs';

const USAGE = 'usage: node stock.mjs --lib DIR-with-lib-jitsi-meet.min.js [--url URL] [--channel sctp|websocket] [--log]';
const CHANNELS = ['websocket', 'sctp'];
const { values: args } = parseArgs({
  options: { lib: { type: 'string' }, url: { type: 'string' }, channel: { type: 'string' }, log: { type: 'boolean', default: false } },
});
if (!args.lib || (args.channel && !CHANNELS.includes(args.channel))) {
  console.error(USAGE);
  process.exit(2);
}

const say = (text) => console.log(`  ${text}`);

async function openStock({ browser, url, room, index, channel }) {
  const preferSctp = channel === 'sctp';
  const stock = await StockParticipant.open({ browser, url, lib: args.lib, log: args.log, room, index, preferSctp });
  await stock.until('joined', (now) => now.state === 'joined');
  const { version, id } = await stock.state();
  say(`${stock.name}: lib-jitsi-meet ${version} joined as ${id}`);
  return stock;
}

/** The bridge channel is open, and of the kind that was asked for. */
async function hasChannel(stock, channel) {
  await stock.until('on an open bridge channel', (now) => now.channelOpen);
  const sockets = stock.sockets.filter((url) => url.includes('/colibri-ws/'));
  const dataChannels = (await stock.page.evaluate(() => window.dataChannels)).filter((one) => one.protocol.endsWith('colibri'));
  say(`${stock.name}: bridge channel open: ${sockets.length} colibri WebSocket, ${dataChannels.length} data channel`);
  assert.equal(sockets.length, channel === 'sctp' ? 0 : 1);
  assert.equal(dataChannels.length, channel === 'sctp' ? 1 : 0);
}

async function seesAndHears(stock, id, media) {
  await stock.until('showing both tracks of the other', (now, owner) => now.tracks.filter((track) => track.owner === owner).length === 2, id);
  const seen = await stock.probe('sees', id, 'video', media.colour);
  const heard = await stock.probe('hears', id, 'audio', media.toneHz);
  say(`${stock.name} sees ${id}: ${seen.width}x${seen.height} rgb(${seen.colour}) frames ${seen.counters}; hears ${heard.hz} Hz ${heard.db} dB`);
}

async function exchangeEndpointMessages(stock, other) {
  const stockId = (await stock.state()).id;
  const otherId = (await other.state()).id;
  await stock.until('told of the other', (now, id) => id in now.users, otherId);
  await stock.page.evaluate((to) => window.stock.sendToEndpoint(to, { kind: 'direct', value: 7 }), otherId);
  await other.page.evaluate(() => window.stock.sendToEndpoint('', { kind: 'broadcast' }));
  await other.until('sent the direct message', (now, from) => now.endpointMessages.some((m) => m.from === from && m.payload.value === 7), stockId);
  await stock.until('sent the broadcast', (now, from) => now.endpointMessages.some((m) => m.from === from && m.payload.kind === 'broadcast'), otherId);
  say('endpoint messages pass through the bridge, direct and to all');
}

async function meetOurs({ browser, server, room, channel }) {
  const own = await Participant.open({ browser, server, room, index: 0 });
  await own.joined();
  const stock = await openStock({ browser, url: server.url, room, index: 1, channel });
  await own.joined([stock]);
  const ownId = await own.page.locator(Participant.ownTile).getAttribute('data-endpoint-id');

  await seesAndHears(stock, ownId, own.media);
  const ownSeen = await own.sees(stock);
  const ownHeard = await own.hears(stock);
  say(`ours sees stock: ${ownSeen.width}x${ownSeen.height} rgb(${ownSeen.colour}) frames ${ownSeen.counters}; hears ${ownHeard.hz} Hz ${ownHeard.db} dB`);

  await hasChannel(stock, channel);

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

  const other = await openStock({ browser, url: server.url, room, index: 2, channel });
  await other.until('on an open bridge channel', (now) => now.channelOpen);
  await exchangeEndpointMessages(stock, other);
  const stockId = (await stock.state()).id;
  const otherId = (await other.state()).id;
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

/** Three of the stock library alone, since the bridge is in use from the third on wherever two talk directly. */
async function meetEachOther({ browser, url, room, channel }) {
  const stocks = [];
  for (const index of [0, 1, 2]) {
    stocks.push(await openStock({ browser, url, room, index, channel }));
  }
  for (const stock of stocks) {
    await hasChannel(stock, channel);
    for (const other of stocks.filter((one) => one !== stock)) {
      await seesAndHears(stock, (await other.state()).id, other.media);
    }
  }
  const [stock, other, third] = stocks;
  await exchangeEndpointMessages(stock, other);
  const thirdId = (await third.state()).id;
  await third.page.evaluate(() => window.stock.leave());
  await stock.until('rid of the third', (now, id) => !(id in now.users) && now.tracks.every((track) => track.owner !== id), thirdId);
  say('leaving shows at the others, tracks removed');
  for (const one of [stock, other]) {
    assert.deepEqual((await one.state()).errors, []);
  }
  await Promise.all(stocks.map((one) => one.context.close()));
}

const server = args.url ? null : await Server.start({ isPublic: true });
const browser = await launch();
try {
  for (const channel of args.channel ? [args.channel] : CHANNELS) {
    const room = `stock-${channel}`;
    console.log(`\n${channel === 'sctp' ? 'data channel' : 'WebSocket'} as bridge channel, room ${room}`);
    await (server ? meetOurs({ browser, server, room, channel }) : meetEachOther({ browser, url: args.url, room, channel }));
  }
  console.log('\nall seen');
} catch (error) {
  console.error(error);
  console.error(server?.output ?? '');
  process.exitCode = 1;
} finally {
  await browser.close();
  await server?.stop();
}
