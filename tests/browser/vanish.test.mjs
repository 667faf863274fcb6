// A participant who is gone without a goodbye disappears at the others.

import { after, before, describe, test } from 'node:test';
import { launch, launchAlone } from './lib/chromium.mjs';
import { Participant } from './lib/participant.mjs';
import { Server } from './lib/server.mjs';

/** A dropped socket is held for 60 s, so that its owner may resume (client.md §2.8); the rest is slack for a busy machine. */
const SOCKET_DROPPED_MS = 90_000;
/** A silent one is probed after 15 s, has 15 s to answer (client.md §2.6), and is then held for the same 60 s. */
const SILENT_MS = 120_000;

// Both wait most of the time, so they wait together.
describe('a participant gone without a goodbye', { concurrency: true }, () => {
  let server;
  let browser;

  before(async () => {
    server = await Server.start();
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  async function meet(room) {
    const alone = await launchAlone();
    const victim = await Participant.open({ browser: alone.browser, server, room, index: 0 });
    const witness = await Participant.open({ browser, server, room, index: 1 });
    await Promise.all([victim.joined([witness]), witness.joined([victim])]);
    await Promise.all([witness.sees(victim), witness.hears(victim)]);
    return { alone, victim, witness };
  }

  test('whose browser was killed disappears', async (t) => {
    const { alone, victim, witness } = await meet('killed');
    const ms = await witness.observes(Participant.tileOf(victim), 'detached', SOCKET_DROPPED_MS, () => alone.signal('SIGKILL'));
    t.diagnostic(`disappeared after ${ms} ms`);
    await witness.close();
  });

  test('whose browser answers nothing any more disappears', async (t) => {
    const { alone, victim, witness } = await meet('frozen');
    try {
      const ms = await witness.observes(Participant.tileOf(victim), 'detached', SILENT_MS, () => alone.signal('SIGSTOP'));
      t.diagnostic(`disappeared after ${ms} ms`);
    } finally {
      alone.signal('SIGKILL');
    }
    await witness.close();
  });
});
