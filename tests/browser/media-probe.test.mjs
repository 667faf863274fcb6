// The measuring tools measured: what a participant sends in these tests survives VP8 and Opus, and the probes tell one
// participant from another. Two peer connections in one page, no server.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from './lib/chromium.mjs';
import { installProbes } from './lib/probes.mjs';
import { FRAME, installSyntheticMedia, mediaOf } from './lib/synthetic-media.mjs';

/** Runs in the page: sends the synthetic camera and microphone to itself and shows what arrives. */
async function loopBack(maxBitrate) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  const sender = new RTCPeerConnection();
  const receiver = new RTCPeerConnection();
  sender.addEventListener('icecandidate', ({ candidate }) => candidate && receiver.addIceCandidate(candidate));
  receiver.addEventListener('icecandidate', ({ candidate }) => candidate && sender.addIceCandidate(candidate));
  receiver.addEventListener('track', ({ track }) => {
    const element = document.createElement(track.kind);
    element.id = track.kind;
    element.autoplay = true;
    element.srcObject = new MediaStream([track]);
    document.body.append(element);
  });
  const [audioTrack] = stream.getAudioTracks();
  const [videoTrack] = stream.getVideoTracks();
  sender.addTransceiver(audioTrack, { direction: 'sendonly' });
  const video = sender.addTransceiver(videoTrack, { direction: 'sendonly', sendEncodings: [{ maxBitrate }] });
  video.setCodecPreferences(RTCRtpReceiver.getCapabilities('video').codecs.filter((c) => c.mimeType === 'video/VP8'));
  await sender.setLocalDescription();
  await receiver.setRemoteDescription(sender.localDescription);
  await receiver.setLocalDescription();
  await sender.setRemoteDescription(receiver.localDescription);
  window.sentTracks = { audioTrack, videoTrack };
}

describe('synthetic media over a VP8 and Opus loopback', () => {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser.close());

  async function openLoop(index, maxBitrate, overrides) {
    const context = await browser.newContext();
    await context.addInitScript(installSyntheticMedia, mediaOf(index, overrides));
    await context.addInitScript(installProbes, { frame: FRAME });
    const page = await context.newPage();
    // Media devices exist only in a secure context; the page itself is never fetched.
    await page.route('https://loop.test/', (route) => route.fulfill({ contentType: 'text/html', body: '<body></body>' }));
    await page.goto('https://loop.test/');
    await page.evaluate(loopBack, maxBitrate);
    return page;
  }

  for (const index of [0, 1, 2, 3]) {
    test(`participant ${index}'s colour, counter and tone are recognised`, async (t) => {
      const { colour, toneHz } = mediaOf(index);
      const page = await openLoop(index, 300_000);
      const [seen, heard] = await Promise.all([
        page.evaluate((expected) => window.probes.sees('#video', expected), colour),
        page.evaluate((expected) => window.probes.hears('#audio', expected), toneHz),
      ]);
      t.diagnostic(`saw ${seen.width}x${seen.height} rgb(${seen.colour}) frames ${seen.counters}, heard ${heard.hz} Hz at ${heard.db} dB`);
      await page.context().close();
    });
  }

  test('the counter is readable in the lowest simulcast layer', async () => {
    const page = await openLoop(0, 80_000, { width: 160, height: 90 });
    await page.evaluate((expected) => window.probes.sees('#video', expected), mediaOf(0).colour);
    await page.context().close();
  });

  test("another participant's colour and tone are refused, with what was there instead", async () => {
    const page = await openLoop(0, 300_000);
    await page.evaluate((expected) => window.probes.sees('#video', expected), mediaOf(0).colour);
    await page.evaluate((expected) => window.probes.hears('#audio', expected), mediaOf(0).toneHz);
    await assert.rejects(
      page.evaluate((expected) => window.probes.sees('#video', expected, { timeoutMs: 1000 }), mediaOf(1).colour),
      /expected colour 40,170,60 .* saw \{"colour"/,
    );
    await assert.rejects(
      page.evaluate((expected) => window.probes.hears('#audio', expected, { timeoutMs: 1000 }), mediaOf(1).toneHz),
      /expected a tone of 700 Hz; heard \{"hz":/,
    );
    await page.context().close();
  });

  test('a frozen picture and a muted microphone are noticed', async () => {
    const page = await openLoop(0, 300_000);
    const { colour, toneHz } = mediaOf(0);
    await page.evaluate((expected) => window.probes.sees('#video', expected), colour);
    await page.evaluate((expected) => window.probes.hears('#audio', expected), toneHz);
    await page.evaluate(() => {
      window.sentTracks.audioTrack.enabled = false;
      document.querySelector('#video').pause();
    });
    await page.evaluate(() => window.probes.silent('#audio'));
    await assert.rejects(
      page.evaluate((expected) => window.probes.sees('#video', expected, { timeoutMs: 1000 }), colour),
      /a counter that advances/,
    );
    await page.context().close();
  });
});
