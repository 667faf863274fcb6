// Two, three and four people in a room: each sees and hears each of the others, in that person's tile.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch } from './lib/chromium.mjs';
import { Participant } from './lib/participant.mjs';
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
      const people = [];
      for (let index = 0; index < size; index += 1) {
        people.push(await Participant.open({ browser, server, room: `size-${size}`, index }));
      }
      try {
        const pairs = people.flatMap((receiver) =>
          people.filter((sender) => sender !== receiver).map((sender) => [receiver, sender]),
        );
        await Promise.all(people.map((person) => person.joined(people.filter((other) => other !== person))));
        await Promise.all(
          pairs.map(async ([receiver, sender]) => {
            const [seen, heard] = await Promise.all([receiver.sees(sender), receiver.hears(sender)]);
            t.diagnostic(
              `${receiver.name} sees ${sender.name} ${seen.width}x${seen.height} rgb(${seen.colour}) ` +
                `frames ${seen.counters} after ${seen.ms} ms, hears ${heard.hz} Hz ${heard.db} dB after ${heard.ms} ms`,
            );
          }),
        );
      } finally {
        await Promise.all(people.map((person) => person.close()));
      }
    });
  }
});
