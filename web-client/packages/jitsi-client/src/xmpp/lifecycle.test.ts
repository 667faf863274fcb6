import { describe, expect, it } from 'vitest';
import { backoffMs, nextState, type LinkInput, type LinkState } from './lifecycle';

const STATES: LinkState[] = ['idle', 'connecting', 'online', 'waiting', 'resuming', 'closed'];
const INPUTS: LinkInput[] = [
  'start', 'bound', 'resumed', 'resume-refused', 'dropped', 'retry-resume', 'retry-fresh', 'refused', 'give-up', 'stop',
];

describe('life of the connection', () => {
  it('knows exactly these transitions', () => {
    const lines: string[] = [];
    for (const state of STATES) {
      for (const input of INPUTS) {
        const next = nextState(state, input);
        if (next !== null) lines.push(`${state} + ${input} → ${next}`);
      }
    }
    expect(lines).toEqual([
      'idle + start → connecting',
      'idle + stop → closed',
      'connecting + bound → online',
      'connecting + dropped → waiting',
      'connecting + refused → closed',
      'connecting + stop → closed',
      'online + dropped → waiting',
      'online + stop → closed',
      'waiting + retry-resume → resuming',
      'waiting + retry-fresh → connecting',
      'waiting + give-up → closed',
      'waiting + stop → closed',
      'resuming + resumed → online',
      'resuming + resume-refused → connecting',
      'resuming + dropped → waiting',
      'resuming + refused → closed',
      'resuming + stop → closed',
    ]);
  });

  it('waits longer from try to try and never beyond the cap', () => {
    expect([1, 2, 3, 4, 5, 6, 20].map((n) => backoffMs(n, 0))).toEqual([500, 1000, 2000, 4000, 8000, 8000, 8000]);
    expect(backoffMs(3, 1)).toBe(1000);
  });
});
