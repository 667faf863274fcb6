// Each thing that stops a person from taking part shows its own clear failure.

import { after, before, describe, test } from 'node:test';
import { launch } from './lib/chromium.mjs';
import { Participant } from './lib/participant.mjs';
import { Server } from './lib/server.mjs';

/** Chromium's own test devices, behind its real permission checks. */
const FAKE_DEVICES = ['--use-fake-device-for-media-stream'];

/** A server that does not answer is tried a few times before it is called unreachable. */
const SHOWN_WITHIN_MS = 60_000;

describe('what stops a person from taking part is said', () => {
  let server;

  before(async () => {
    server = await Server.start();
  });

  after(async () => {
    await server?.stop();
  });

  async function failureShown(t, browser, options, code, act = async () => {}) {
    const person = await Participant.open({ browser, server, room: `failure-${code}`, skipPrejoin: false, ...options });
    await act(person);
    const ms = await person.observes(`[data-testid="failure"][data-code="${code}"]`, 'attached', SHOWN_WITHIN_MS, async () => {});
    t.diagnostic(`shown after ${ms} ms: ${await person.control('failure').first().innerText()}`);
    await person.close();
  }

  test('permission denied', async (t) => {
    const browser = await launch(FAKE_DEVICES);
    // Permissions given to a context refuse all others: here neither camera nor microphone.
    await failureShown(t, browser, { media: null, context: { permissions: ['clipboard-read'] } }, 'devices-denied');
    await browser.close();
  });

  test('camera denied, microphone allowed', async (t) => {
    const browser = await launch(FAKE_DEVICES);
    await failureShown(t, browser, { media: null, context: { permissions: ['microphone'] } }, 'camera-denied');
    await browser.close();
  });

  test('no device', async (t) => {
    // The browser's own answer where no camera and no microphone exist.
    const browser = await launch();
    await failureShown(t, browser, { media: null, context: { permissions: ['camera', 'microphone'] } }, 'devices-missing');
    await browser.close();
  });

  test('server unreachable', async (t) => {
    const browser = await launch();
    await failureShown(t, browser, {}, 'server-unreachable', async (person) => {
      await person.control('join-button').waitFor();
      await server.stop();
      server = null;
      await person.click('join-button');
    });
    await browser.close();
  });
});
