// Two, three and four people in a room: each sees and hears each of the others, in that person's tile.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from './lib/chromium.mjs';
import { converse } from './lib/conversation.mjs';
import { Server } from './lib/server.mjs';

describe('a conference through the server', () => {
  let server;
  let browser;

  before(async () => {
    server = await Server.start();
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    const ended = await server?.stop();
    if (ended) {
      assert.equal(ended.code, 0, `Ctrl-C ended the server with ${JSON.stringify(ended)}\n${server.output}`);
      assert.ok(ended.ms < 1000, `Ctrl-C took ${ended.ms} ms`);
    }
  });

  for (const size of [2, 3, 4]) {
    test(`${size} participants see and hear each other`, async (t) => {
      await converse(t, { browser, server, room: `size-${size}` }, size);
    });
  }
});
