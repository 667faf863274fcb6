// Who may come in, with the stock library: tokens, secure domain, lobby, moderators and the end of a meeting, on servers started
// here. Run by hand, since the library is not part of the project (stock.mjs says how it is built):
//
//   node tests/browser/stock-access.mjs --lib DIR [--log]
//
// Prints what each side saw; exit code 1 at the first thing that is missing.

import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { launch } from './lib/chromium.mjs';
import { Server } from './lib/server.mjs';
import { StockParticipant } from './lib/stock-participant.mjs';
import { APP_ID, APP_SECRET, tokenFor } from './lib/token.mjs';

const { values: args } = parseArgs({ options: { lib: { type: 'string' }, log: { type: 'boolean', default: false } } });
if (!args.lib) {
  console.error('usage: node stock-access.mjs --lib DIR-with-lib-jitsi-meet.min.js [--log]');
  process.exit(2);
}

const TOKENS = ['--enable-auth', '--auth-type', 'jwt', '--jwt-app-id', APP_ID, '--jwt-app-secret', APP_SECRET];
const MODERATOR = { context: { user: { name: 'Moderator', moderator: true } } };
const say = (text) => console.log(`  ${text}`);

let opened = 0;

/** A page of the library in a room, on its way in. */
function open(browser, server, room, jwt = null) {
  opened += 1;
  const more = { silent: '1', ...(jwt === null ? {} : { jwt }) };
  return StockParticipant.open({ browser, url: server.url, lib: args.lib, log: args.log, room, index: opened, preferSctp: false, more });
}

const start = (flags) => Server.start({ extraFlags: ['--media-tcp-port', '0', ...flags] });
const joined = (stock) => stock.until('joined', (now) => now.state === 'joined');
const waiting = (stock) => stock.until('waiting for a host', (now) => now.state === 'waiting');
const moderates = (stock) => stock.until('moderator', (now) => now.moderator);
const failed = (stock, words) => stock.until(`refused with "${words}"`, (now, said) => now.errors.some((error) => error.includes(said)), words);
const close = (...stocks) => Promise.all(stocks.map((stock) => stock.context.close()));

async function tokens(browser) {
  console.log('tokens');
  const server = await start([...TOKENS, '--enable-auto-owner', 'false']);
  const participant = await open(browser, server, 'ticketed', tokenFor('ticketed'));
  await joined(participant);
  assert.equal((await participant.state()).moderator, false);
  const { version } = await participant.state();
  say(`lib-jitsi-meet ${version}: a token opens its room, and who comes first does not moderate by that`);
  const moderator = await open(browser, server, 'ticketed', tokenFor('ticketed', MODERATOR));
  await Promise.all([joined(moderator), moderates(moderator)]);
  say('a token makes a moderator');
  for (const [what, jwt, words] of [
    ['of another secret', tokenFor('ticketed', { secret: 'another' }), 'Invalid signature'],
    ['that has run out', tokenFor('ticketed', { exp: 1 }), 'Not acceptable by exp'],
    ['of a slot to come', tokenFor('ticketed', { nbf: 4_000_000_000, exp: 4_000_000_600 }), 'Not acceptable by nbf'],
    ['of another issuer', tokenFor('ticketed', { iss: 'other' }), 'iss'], // the library escapes the quotes
    ['that is not there', null, 'token required'],
  ]) {
    const refused = await open(browser, server, 'ticketed', jwt);
    await failed(refused, words);
    say(`a token ${what} is refused: ${(await refused.state()).errors[0]}`);
    await close(refused);
  }
  const stranger = await open(browser, server, 'ticketed', tokenFor('another'));
  await failed(stranger, 'conference.connectionError.notAllowed');
  say(`a token of another room is refused: ${(await stranger.state()).errors[0]}`);
  await moderator.does((conference) => conference.end());
  await failed(participant, 'conference.destroyed');
  say('the moderator ends the meeting for all, and the other is told');
  await close(participant, moderator, stranger);
  await server.stop();
}

async function secureDomain(browser) {
  console.log('secure domain');
  const server = await start(['--enable-auth', '--enable-guests']);
  await server.addAccount('alice', 'planted-alice');
  const [guest, host] = [await open(browser, server, 'hosted'), await open(browser, server, 'hosted')];
  await Promise.all([waiting(guest), waiting(host)]);
  say('guests wait for a host');
  const refusal = await host.page.evaluate(() => window.stock.logIn('alice', 'wrong'));
  assert.match(refusal, /passwordRequired/);
  say(`a wrong password is refused: ${refusal}`);
  assert.equal(await host.page.evaluate(() => window.stock.logIn('alice', 'planted-alice')), null);
  await Promise.all([joined(host), joined(guest), moderates(host)]);
  assert.equal((await guest.state()).moderator, false);
  say('the host logs in and moderates; the guest is let in by himself, and does not');
  await close(guest, host);
  await server.stop();
}

async function lobby(browser) {
  console.log('lobby');
  const server = await start([...TOKENS, '--jwt-allow-empty', '--enable-auto-owner', 'false']);
  const moderator = await open(browser, server, 'screened', tokenFor('screened', MODERATOR));
  await moderates(moderator);
  await moderator.does((conference) => conference.enableLobby());
  const [first, second] = [await open(browser, server, 'screened'), await open(browser, server, 'screened')];
  for (const stock of [first, second]) {
    await stock.until('in the lobby', (now) => now.state === 'lobby');
    await stock.does((conference, name) => void conference.joinLobby(name), stock.name);
    await moderator.until(`told of ${stock.name}`, (now, name) => Object.values(now.knocking).includes(name), stock.name);
  }
  say('two knock, and the moderator is shown both names');
  const idOf = async (stock) => Object.entries((await moderator.state()).knocking).find(([, name]) => name === stock.name)[0];
  await moderator.does((conference, id) => conference.lobbyApproveAccess(id), await idOf(first));
  await joined(first);
  say('one is let in');
  await moderator.does((conference, id) => conference.lobbyDenyAccess(id), await idOf(second));
  await second.until('denied', (now) => now.errors.some((error) => error.includes('accessDenied')));
  say(`the other is not: ${(await second.state()).errors[0]}`);
  await close(moderator, first, second);
  await server.stop();
}

async function ownerLeaves(browser) {
  console.log('the last owner leaves');
  const rules = ['--enable-auto-owner', 'false', '--muc-module', 'token_owner_party', '--without-owner-for', '3'];
  const server = await start([...TOKENS, ...rules]);
  const owner = await open(browser, server, 'owned', tokenFor('owned', MODERATOR));
  await moderates(owner);
  const other = await open(browser, server, 'owned', tokenFor('owned'));
  await joined(other);
  await owner.page.evaluate(() => window.stock.leave());
  await failed(other, 'conference.destroyed');
  say(`the meeting ends for the other: ${(await other.state()).errors[0]}`);
  await delay(100);
  const late = await open(browser, server, 'owned', tokenFor('owned'));
  await failed(late, 'conference.connectionError.notAllowed');
  say(`nobody begins without an owner: ${(await late.state()).errors[0]}`);
  await close(owner, other, late);
  await server.stop();
}

const browser = await launch();
try {
  for (const scenario of [tokens, secureDomain, lobby, ownerLeaves]) {
    await scenario(browser);
  }
  console.log('all seen');
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
}
// Servers of a scenario that failed end with this process.
process.exit();
