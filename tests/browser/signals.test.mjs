// What one person does shows at the others within two seconds: mute, camera, leave, rejoin, reload, chat.
//
// The two seconds are a promise of the product, so these are the only timed checks of the suite.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from './lib/chromium.mjs';
import { Participant } from './lib/participant.mjs';
import { Server } from './lib/server.mjs';

const PROMISED_MS = 2000;

describe('what a participant does shows at the others', () => {
  let server;
  let browser;
  let alice;
  let bob;
  let tile;

  before(async () => {
    server = await Server.start();
    browser = await launch();
    alice = await Participant.open({ browser, server, room: 'signals', index: 0 });
    bob = await Participant.open({ browser, server, room: 'signals', index: 1 });
    tile = Participant.tileOf(alice);
    await Promise.all([alice.joined([bob]), bob.joined([alice])]);
    await Promise.all([bob.sees(alice), bob.hears(alice)]);
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  async function shows(t, selector, state, act) {
    const ms = await bob.observes(selector, state, PROMISED_MS, act);
    t.diagnostic(`shown after ${ms} ms`);
  }

  test('microphone off', async (t) => {
    await shows(t, `${tile}[data-audio-muted="true"]`, 'attached', () => alice.click('mic-button'));
    await bob.hearsNothingOf(alice);
  });

  test('microphone on', async (t) => {
    await shows(t, `${tile}[data-audio-muted="false"]`, 'attached', () => alice.click('mic-button'));
    await bob.hears(alice);
  });

  test('camera off', async (t) => {
    await shows(t, `${tile}[data-video-muted="true"]`, 'attached', () => alice.click('camera-button'));
  });

  test('camera on', async (t) => {
    await shows(t, `${tile}[data-video-muted="false"]`, 'attached', () => alice.click('camera-button'));
    const seen = await bob.sees(alice);
    t.diagnostic(`picture back ${seen.ms} ms later, ${seen.width}x${seen.height}`);
  });

  test('a chat message', async (t) => {
    await Promise.all([alice.click('chat-button'), bob.click('chat-button')]);
    await alice.control('chat-input').fill('Salut, ça va ? <b>1 & 2</b>');
    await shows(t, '[data-testid="chat-message"]', 'attached', () => alice.click('chat-send'));
    assert.match(await bob.control('chat-message').innerText(), /Salut, ça va \? <b>1 & 2<\/b>/);
    assert.match(await alice.control('chat-message').innerText(), /Salut, ça va/);
    await Promise.all([alice.click('chat-button'), bob.click('chat-button')]);
  });

  test('leaving', async (t) => {
    await shows(t, tile, 'detached', () => alice.click('hangup-button'));
    await alice.control('left-screen').waitFor();
  });

  test('rejoining', async (t) => {
    await shows(t, tile, 'attached', () => alice.click('rejoin-button'));
    await alice.joined([bob]);
    await Promise.all([bob.sees(alice), bob.hears(alice), alice.sees(bob), alice.hears(bob)]);
  });

  test('reloading the page', async (t) => {
    const oldId = await bob.page.locator(tile).getAttribute('data-endpoint-id');
    const old = `[data-testid="tile"][data-endpoint-id="${oldId}"]`;
    const renewed = `${tile}:not([data-endpoint-id="${oldId}"])`;
    const gone = bob.observes(old, 'detached', PROMISED_MS, () => Promise.resolve());
    const back = bob.observes(renewed, 'attached', PROMISED_MS, () => alice.page.reload());
    t.diagnostic(`old tile gone after ${await gone} ms, new tile after ${await back} ms`);
    await alice.joined([bob]);
    await Promise.all([bob.sees(alice), bob.hears(alice), alice.sees(bob), alice.hears(bob)]);
  });
});
