// Visitors of a conference, by the stock library: one is sent to a visitor node, sees and hears those in the conference, writes,
// votes, raises a hand, is let in, and is sent back. Run by hand, since the library is not part of the project:
//
//   node tests/browser/stock-visitors.mjs --lib DIR      DIR holds lib-jitsi-meet.min.js, built from its public repository
//
// Prints a line a thing that was seen; exit code 1 when something was missing.

import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { launch } from './lib/chromium.mjs';
import { Server } from './lib/server.mjs';
import { StockParticipant } from './lib/stock-participant.mjs';

const { values: args } = parseArgs({
  options: { lib: { type: 'string' }, log: { type: 'boolean', default: false } },
});
if (!args.lib) {
  console.error('usage: node stock-visitors.mjs --lib DIR-with-lib-jitsi-meet.min.js [--log]');
  process.exit(2);
}

const say = (text) => console.log(`  ${text}`);
const opened = [];

async function join(browser, url, index, more = {}) {
  const stock = await StockParticipant.open({ browser, url, lib: args.lib, log: args.log, room: 'stock-visitors', index, more });
  opened.push(stock);
  await stock.until('joined', (now) => now.state === 'joined');
  stock.id = (await stock.state()).id;
  return stock;
}

/** The web app's answer to a request, and its wish to make a visitor of somebody. */
const respond = (conference, [id, approved]) =>
  conference.sendMessage({ type: 'visitors', action: 'promotion-response', approved, id });
const demote = (conference, id) =>
  conference.sendMessage({ type: 'visitors', action: 'demote-request', id, actor: conference.myUserId() });
const raiseHand = (conference, value) => conference.setLocalParticipantProperty('raisedHand', value);

async function untilAsked(moderator, times) {
  await moderator.until(
    'asked',
    (now, count) => now.events.filter((event) => event.name === 'VISITORS_MESSAGE' && event.details[0].on).length === count,
    times,
  );
  const asked = (await moderator.told('VISITORS_MESSAGE')).filter(([message]) => message.on);
  return asked.at(-1)[0];
}

async function visit(browser, url) {
  const ada = await join(browser, url, 0);
  const bob = await join(browser, url, 1);
  await ada.until('a moderator', () => window.conference.isModerator());
  assert.equal(await ada.does((conference) => conference.isVisitorsSupported()), true);

  const vic = await join(browser, url, 2, { preferVisitor: 'true' });
  assert.match((await vic.state()).vnode, /^v\d+$/u);
  assert.ok(vic.sockets.some((socket) => socket.includes('vnode=v')));
  await vic.until('shown both', (now, ids) => ids.every((id) => id in now.users), [ada.id, bob.id]);
  assert.ok(!(vic.id in (await ada.state()).users));
  assert.equal(await vic.does((conference) => conference.getRole()), 'visitor');
  say('a visitor is at a node, sees both, and is seen by neither');
  for (const { id } of [ada, bob]) {
    await vic.until('sent their media', (now, owner) => ['audio', 'video'].every((kind) => now.tracks.some((track) => track.owner === owner && track.kind === kind)), id);
  }
  say('their sound and pictures reach him');

  await ada.does((conference) => conference.sendTextMessage('hello'));
  await vic.hears('MESSAGE_RECEIVED', (details, id) => details[0] === id && details[1] === 'hello', ada.id);
  await vic.does((conference) => conference.sendTextMessage('good morning'));
  // Text, time, name, and that he is a visitor.
  await ada.hears('MESSAGE_RECEIVED', (details) => details[1] === 'good morning' && details[3] === 'Stock 2' && details[4] === true);
  await bob.hears('MESSAGE_RECEIVED', (details) => details[1] === 'good morning');
  say('what is written goes both ways, with his name');
  await vic.does((conference, id) => conference.sendPrivateTextMessage(id, 'psst'), ada.id);
  await ada.hears('PRIVATE_MESSAGE_RECEIVED', (details) => details[1] === 'psst' && details[5] === true);
  const [from] = (await ada.told('PRIVATE_MESSAGE_RECEIVED')).at(-1);
  await ada.does((conference, to) => conference.sendPrivateTextMessage(to, 'yes?', 'body', true), from);
  await vic.hears('PRIVATE_MESSAGE_RECEIVED', (details, id) => details[0] === id && details[1] === 'yes?', ada.id);
  assert.deepEqual(await bob.told('PRIVATE_MESSAGE_RECEIVED'), []);
  say('so does what is for one alone');

  await ada.does((conference) => conference.getPolls().createPoll('poll-1', 'Tea?', [{ name: 'Yes' }, { name: 'No' }]));
  await vic.hears('POLL_RECEIVED', (details) => details[0].pollId === 'poll-1');
  await vic.does((conference) => conference.getPolls().answerPoll('poll-1', [true, false]));
  await ada.hears('POLL_ANSWER_RECEIVED', (details) => details[0].pollId === 'poll-1' && details[0].answers[0] === true);
  say('he votes');

  await vic.does(raiseHand, String(Date.now()));
  const asked = await untilAsked(ada, 1);
  assert.equal(asked.nick, 'Stock 2');
  assert.deepEqual(await bob.told('VISITORS_MESSAGE'), []);
  await ada.does(respond, [asked.from, false]);
  await vic.hears('VISITORS_REJECTION');
  say('his raised hand shows at the moderator, who says no');
  await vic.does(raiseHand, '');
  await vic.does(raiseHand, String(Date.now()));
  await ada.does(respond, [(await untilAsked(ada, 2)).from, true]);
  await vic.until('in the conference', (now) => now.state === 'joined' && now.vnode === null);
  vic.id = (await vic.state()).id;
  await ada.until('shown the new one', (now, id) => now.users[id] === 'Stock 2', vic.id);
  await ada.until('sent his media', (now, id) => now.tracks.some((track) => track.owner === id && track.kind === 'video'), vic.id);
  await bob.hears('METADATA_UPDATED', (details, id) => details[0].visitors?.promoted?.[id] === true, vic.id);
  say('let in, he is seen and heard by all');

  await ada.does(demote, vic.id);
  await vic.until('a visitor again', (now) => now.state === 'joined' && now.vnode !== null);
  await ada.until('told that he is gone', (now, id) => !(id in now.users), vic.id);
  await vic.until('shown both again', (now, ids) => ids.every((id) => id in now.users), [ada.id, bob.id]);
  say('sent back, he only watches');

  await ada.does((conference) => conference.end());
  await vic.hears('CONFERENCE_FAILED', (details) => details[0] === 'conference.destroyed');
  say('the end for all is his as well');
}

const server = await Server.start({ isPublic: true, extraFlags: ['--enable-visitors', '--auto-allow-visitors', 'false'] });
const browser = await launch();
let isMissing = false;
try {
  await visit(browser, server.url);
} catch (error) {
  isMissing = true;
  console.error(error);
} finally {
  await Promise.all(opened.map((stock) => stock.context.close()));
  await browser.close();
  await server.stop();
}
console.log(isMissing ? '\nsomething is missing' : '\nall seen');
process.exitCode = isMissing ? 1 : 0;
