// Who may not come in yet is told why, and can do something about it: guests, hosts, accounts and tokens in our own client.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from './lib/chromium.mjs';
import { Participant } from './lib/participant.mjs';
import { Server } from './lib/server.mjs';
import { APP_ID, APP_SECRET, tokenFor } from './lib/token.mjs';

const TOKENS = ['--auth-type', 'jwt,internal', '--jwt-app-id', APP_ID, '--jwt-app-secret', APP_SECRET];

async function logIn(person, name, password) {
  await person.control('login-name').fill(name);
  await person.control('login-password').fill(password);
  await person.click('login-button');
}

/** Waits for this gate. */
function heldAt(person, gate) {
  return person.page.locator(`[data-testid="gate"][data-gate="${gate}"]`).waitFor();
}

describe('who may not come in yet', () => {
  let browser;
  let server;

  before(async () => {
    browser = await launch();
    server = await Server.start({ extraFlags: ['--enable-auth', '--enable-guests', ...TOKENS] });
    await server.addAccount('alice', 'planted-alice');
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  const open = (index, room) => Participant.open({ browser, server, room, index });

  test('a guest waits until the host has logged in', async () => {
    const [guest, host] = [await open(0, 'hosted'), await open(1, 'hosted')];
    await Promise.all([heldAt(guest, 'host'), heldAt(host, 'host')]);
    await host.click('host-login');
    await logIn(host, 'alice', 'wrong');
    await host.control('refused').waitFor();
    await logIn(host, 'alice', 'planted-alice');
    await Promise.all([host.joined([guest]), guest.joined([host])]);
    await Promise.all([guest.sees(host), host.hears(guest)]);
    await Promise.all([guest.close(), host.close()]);
  });

  test('a token opens its room, to guests too, and no other', async () => {
    const guest = await open(0, 'ticketed');
    await heldAt(guest, 'host');
    const stranger = await open(2, `ticketed?jwt=${tokenFor('another')}`);
    const failure = stranger.page.locator('[data-testid="failure"]');
    await failure.waitFor();
    const holder = await open(1, `ticketed?jwt=${tokenFor('ticketed')}`);
    await Promise.all([holder.joined([guest]), guest.joined([holder])]);
    await Promise.all([guest.sees(holder), holder.hears(guest)]);
    await Promise.all([guest.close(), holder.close(), stranger.close()]);
  });

  test('a token of somebody else is refused with the reason', async () => {
    const person = await open(0, `ticketed?jwt=${tokenFor('ticketed', { secret: 'other-secret' })}`);
    const failure = person.page.locator('[data-testid="failure"][data-code="not-authorized"]');
    await failure.waitFor();
    assert.match(await failure.innerText(), /The server says: .+/);
    await person.close();
  });

  test('without guests everybody logs in', async () => {
    const closed = await Server.start({ extraFlags: ['--enable-auth', '--media-tcp-port', '0'] });
    await closed.addAccount('bob', 'planted-bob');
    const person = await Participant.open({ browser, server: closed, room: 'closed', index: 0 });
    await heldAt(person, 'login');
    await logIn(person, 'bob', 'wrong');
    await person.control('refused').waitFor();
    await logIn(person, 'bob', 'planted-bob');
    await person.joined();
    await person.close();
    await closed.stop();
  });
});
