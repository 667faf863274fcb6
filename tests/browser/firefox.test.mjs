// Another engine, with another DTLS and SCTP: Firefox and Chromium see and hear each other.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { launch as launchFirefox } from 'puppeteer-core';
import { launch } from './lib/chromium.mjs';
import { Participant } from './lib/participant.mjs';
import { installProbes } from './lib/probes.mjs';
import { Server } from './lib/server.mjs';
import { FRAME } from './lib/synthetic-media.mjs';

const EXECUTABLE = process.env.FIREFOX_BIN ?? '/usr/bin/firefox-esr';

const TONE_HZ = 700;

const PREFERENCES = {
  // No one clicks before a page may make a sound.
  'media.autoplay.default': 0,
  'media.autoplay.blocking_policy': 0,
  // Headless Firefox does not run the Web Audio API, which makes the other participants' tones: its own fake devices send
  // a tone, and a picture that changes its colour.
  'media.navigator.streams.fake': true,
  'media.navigator.audio.fake_frequency': TONE_HZ,
  'media.navigator.permission.disabled': true,
  // A host whose only interface is loopback still has a path to the server under test.
  'media.peerconnection.ice.loopback': true,
};

/** Runs in the page: frames that a video element has shown so far. */
function framesShown(selector) {
  return document.querySelector(selector).getVideoPlaybackQuality().totalVideoFrames;
}

/** Runs in the page: what the peer connections decoded of sound, and how they are protected. */
async function received() {
  const reports = await Promise.all(window.connections.map((connection) => connection.getStats()));
  const all = reports.flatMap((report) => [...report.values()]);
  const sound = all.filter(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio');
  const total = (field) => sound.reduce((sum, stream) => sum + (stream[field] ?? 0), 0);
  const { dtlsState, tlsVersion, srtpCipher } = all.find(({ type }) => type === 'transport') ?? {};
  const channels = all.filter(({ type, state }) => type === 'data-channel' && state === 'open').length;
  return { energy: total('totalAudioEnergy'), samples: total('totalSamplesReceived'), dtlsState, tlsVersion, srtpCipher, channels };
}

describe('Firefox and Chromium', () => {
  const fox = { name: 'Fox', media: { toneHz: TONE_HZ } };
  let server;
  let chromium;
  let firefox;

  before(async () => {
    server = await Server.start();
    chromium = await launch();
    firefox = await launchFirefox({
      browser: 'firefox',
      executablePath: EXECUTABLE,
      headless: true,
      acceptInsecureCerts: true,
      extraPrefsFirefox: PREFERENCES,
    });
  });

  after(async () => {
    await firefox?.close();
    await chromium?.close();
    await server?.stop();
  });

  test('see and hear each other, over a data channel as bridge channel', async (t) => {
    const page = await firefox.newPage();
    await page.evaluateOnNewDocument(installProbes, { frame: FRAME });
    await page.evaluateOnNewDocument(() => {
      const Original = window.RTCPeerConnection;
      window.connections = [];
      window.RTCPeerConnection = class extends Original {
        constructor(...parameters) {
          super(...parameters);
          window.connections.push(this);
        }
      };
    });
    const settings = `config.prejoinConfig.enabled=false&userInfo.displayName=${encodeURIComponent('"Fox"')}`;
    await page.goto(`${server.url}firefox#${settings}`);
    const person = await Participant.open({ browser: chromium, server, room: 'firefox', index: 0 });
    await person.joined([fox]);
    const tile = Participant.tileOf(person);
    await page.waitForSelector(tile);
    const [heard, foxSees] = await Promise.all([
      person.hears(fox),
      page.evaluate((...probe) => window.probes.sees(...probe), `${tile} video`, person.media.colour),
    ]);
    const shown = () => person.page.evaluate(framesShown, `${Participant.tileOf(fox)} video`);
    const firstFrames = await shown();
    t.diagnostic(`Firefox sees Chromium ${foxSees.width}x${foxSees.height} frames ${foxSees.counters}`);
    const firstSound = await page.evaluate(received);
    await delay(1000);
    const { energy, samples, dtlsState, tlsVersion, srtpCipher, channels } = await page.evaluate(received);
    const frames = await shown();
    t.diagnostic(`Chromium shows ${firstFrames}, a second later ${frames} frames of Firefox, hears ${heard.hz} Hz`);
    assert.ok(frames > firstFrames, 'the picture goes on');
    t.diagnostic(`Firefox's transport: TLS ${tlsVersion}, ${srtpCipher}; sound of ${energy} in ${samples} samples`);
    // Headless Firefox gives the Web Audio API nothing of a remote track: that the tone is heard shows in the statistics.
    assert.ok(samples > firstSound.samples && energy > firstSound.energy, 'decoded sound goes on and is not silence');
    assert.equal(dtlsState, 'connected');
    assert.match(srtpCipher, /GCM/);
    assert.equal(channels, 1);
    await page.close();
    await person.close();
  });
});
