// Who only watches, in our own client: is led to the visitors, sees, hears and writes, asks to take part, is refused and let in,
// and waits for a meeting that is not live yet.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from './lib/chromium.mjs';
import { Participant } from './lib/participant.mjs';
import { Server } from './lib/server.mjs';

const FLAGS = ['--enable-visitors', '--auto-allow-visitors', 'false'];

/** Is in, without a tile of its own. */
async function watches(person, others) {
  await person.control('watching').waitFor();
  await Promise.all(others.map((other) => person.page.locator(Participant.tileOf(other)).waitFor()));
  assert.equal(await person.page.locator(Participant.ownTile).count(), 0);
}

describe('visitors', () => {
  let browser;

  before(async () => {
    browser = await launch();
  });

  after(() => browser?.close());

  test('who comes last watches, writes, and takes part when a moderator says so', async () => {
    const server = await Server.start({ extraFlags: [...FLAGS, '--visitors-max-participants', '2'] });
    const open = (index) => Participant.open({ browser, server, room: 'large', index });
    const ada = await open(0);
    await ada.joined();
    const bob = await open(1);
    await Promise.all([ada.joined([bob]), bob.joined([ada])]);

    const vic = await open(2);
    await watches(vic, [ada, bob]);
    await Promise.all([vic.sees(ada), vic.hears(bob), ada.control('visitor-count').waitFor()]);
    assert.equal(await ada.page.locator(Participant.tileOf(vic)).count(), 0, 'nobody sees him');
    assert.equal(await vic.control('mic-button').count() + (await vic.control('camera-button').count()), 0);

    await Promise.all([vic, ada].map((person) => person.click('chat-button')));
    await vic.control('chat-input').fill('good morning');
    await vic.click('chat-send');
    await Promise.all([vic, ada].map((person) => person.control('chat-message').waitFor()));
    assert.match(await ada.control('chat-message').innerText(), new RegExp(`${vic.name}[^]*good morning`, 'u'));

    await vic.click('hand-button');
    await ada.control('visitors-asking').waitFor();
    assert.equal(await bob.control('visitors-button').count(), 0, 'he is no moderator');
    await ada.click('visitors-button');
    await ada.page.locator(`[data-testid="visitor-request"][data-name="${vic.name}"]`).waitFor();
    await ada.click('visitor-deny');
    await vic.page.getByText('A moderator did not let you take part.').first().waitFor();

    await vic.click('hand-button');
    await ada.click('visitor-accept');
    await Promise.all([vic.joined([ada, bob]), ada.joined([vic]), bob.joined([vic])]);
    assert.equal(await vic.control('watching').count(), 0);
    // Nothing of his is open before he wants it.
    await ada.page.locator(`${Participant.tileOf(vic)}[data-audio-muted="true"][data-video-muted="true"]`).waitFor();
    await vic.click('mic-button');
    await vic.click('camera-button');
    await Promise.all([ada.sees(vic), bob.hears(vic), vic.sees(bob), vic.hears(ada)]);
    await Promise.all([ada, bob, vic].map((person) => person.close()));
    await server.stop();
  });

  test('visitors wait until the meeting is live', async () => {
    const server = await Server.start({ extraFlags: [...FLAGS, '--visitors-live-room', 'true', '--media-tcp-port', '0'] });
    const ada = await Participant.open({ browser, server, room: 'live', index: 0 });
    await ada.joined();
    const vic = await Participant.open({ browser, server, room: 'live', index: 1, config: { preferVisitor: true } });
    await vic.page.locator('[data-testid="gate"][data-gate="live"]').waitFor();
    await ada.click('visitors-button');
    await ada.click('go-live');
    await watches(vic, [ada]);
    await ada.control('go-live').waitFor({ state: 'detached' });
    await Promise.all([vic.sees(ada), vic.hears(ada)]);
    await Promise.all([ada.close(), vic.close()]);
    await server.stop();
  });
});
