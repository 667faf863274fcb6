// The conversation that every way to the server has to carry: each sees and hears each of the others, in that person's tile.

import { Participant } from './participant.mjs';

/**
 * Lets `size` people meet, as `Participant.open` takes `options`, and tells `t` what they saw and heard. `also` is done
 * with each of them before they leave.
 */
export async function converse(t, options, size, also = async () => {}) {
  const people = [];
  try {
    for (let index = 0; index < size; index += 1) {
      people.push(await Participant.open({ ...options, index }));
    }
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
    for (const person of people) {
      await also(person);
    }
  } finally {
    await Promise.all(people.map((person) => person.close()));
  }
}
