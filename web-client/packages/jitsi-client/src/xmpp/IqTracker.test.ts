import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { stanza } from '../testing/stanzas';
import { IqTracker } from './IqTracker';
import { x } from './xml';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const request = x('iq', { type: 'get', to: 'meet.example' });

describe('requests waiting for answers', () => {
  it('matches the answer by id and sender', async () => {
    const tracker = new IqTracker('t');
    const { stanza: sent, answer } = tracker.track(request, 1000);
    const id = sent.attrs['id'];
    expect(tracker.handleAnswer(stanza(`<iq type='result' id='${id}' from='evil.example'/>`))).toBe(false);
    expect(tracker.handleAnswer(stanza(`<iq type='result' id='${id}' from='meet.example'/>`))).toBe(true);
    expect((await answer).getAttribute('id')).toBe(id);
    expect(tracker.handleAnswer(stanza(`<iq type='result' id='${id}' from='meet.example'/>`))).toBe(false);
  });

  it('rejects with the condition of the error', async () => {
    const tracker = new IqTracker('t');
    const { stanza: sent, answer } = tracker.track(request, 1000);
    tracker.handleAnswer(
      stanza(`<iq type='error' id='${sent.attrs['id']}'><error type='auth'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text>no</text></error></iq>`),
    );
    await expect(answer).rejects.toMatchObject({ condition: 'not-allowed', type: 'auth', text: 'no' });
  });

  it('times out', async () => {
    const { answer } = new IqTracker('t').track(request, 1000);
    const rejected = expect(answer).rejects.toMatchObject({ condition: 'timeout' });
    vi.advanceTimersByTime(1000);
    await rejected;
  });

  it('stops the clock during an interruption', async () => {
    const tracker = new IqTracker('t');
    const { answer } = tracker.track(request, 1000);
    const rejected = expect(answer).rejects.toMatchObject({ condition: 'timeout' });
    vi.advanceTimersByTime(900);
    tracker.pause();
    vi.advanceTimersByTime(60_000);
    tracker.resume();
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(1000);
    await rejected;
  });

  it('fails everything when the session ends', async () => {
    const tracker = new IqTracker('t');
    const { answer } = tracker.track(request, 1000);
    const rejected = expect(answer).rejects.toMatchObject({ condition: 'connection-lost' });
    tracker.failAll();
    await rejected;
    expect(vi.getTimerCount()).toBe(0);
  });
});
