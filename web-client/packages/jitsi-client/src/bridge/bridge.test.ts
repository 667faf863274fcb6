import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BridgeChannel } from './BridgeChannel';
import { endpointMessage, MAX_MESSAGE_LENGTH, parseBridgeMessage, type ReceiverConstraints } from './messages';

const CONSTRAINTS: ReceiverConstraints = { lastN: -1, onStage: [], selected: [], defaultMaxHeight: 180, maxHeights: new Map([['ef567890-v0', 360]]) };

describe('messages of the bridge', () => {
  it('are read by class', () => {
    const read = (json: object): unknown => parseBridgeMessage(JSON.stringify(json));
    expect(read({ colibriClass: 'ServerHello', version: '2' })).toEqual({ kind: 'hello', version: '2' });
    expect(read({ colibriClass: 'ForwardedSources', forwardedSources: ['a-v0', 7] })).toEqual({ kind: 'forwarded-sources', sources: ['a-v0'] });
    expect(read({ colibriClass: 'DominantSpeakerEndpointChangeEvent', dominantSpeakerEndpoint: 'a', previousSpeakers: ['b'], silence: true })).toEqual({
      kind: 'dominant-speaker',
      endpoint: 'a',
      previous: ['b'],
      silence: true,
    });
    expect(read({ colibriClass: 'EndpointMessage', from: 'a', msgPayload: { name: 'x' } })).toEqual({ kind: 'endpoint-message', from: 'a', payload: { name: 'x' } });
    expect(read({ colibriClass: 'SenderSourceConstraints', sourceName: 'a-v0', maxHeight: 360 })).toEqual({ kind: 'sender-constraints', source: 'a-v0', maxHeight: 360 });
    expect(read({ colibriClass: 'ConnectionStats', estimatedDownlinkBandwidth: 5 })).toEqual({ kind: 'connection-stats', downlinkBps: 5 });
    expect(read({ colibriClass: 'Novelty' })).toEqual({ kind: 'other', colibriClass: 'Novelty' });
  });

  it('are dropped when they lack what their class needs', () => {
    const broken = [
      '', '{', '[]', '{}', '{"colibriClass":7}', '{"colibriClass":"ForwardedSources"}', '{"colibriClass":"DominantSpeakerEndpointChangeEvent"}',
      '{"colibriClass":"EndpointMessage","from":"a","msgPayload":"text"}', '{"colibriClass":"SenderSourceConstraints","sourceName":"a","maxHeight":"360"}',
      `{"colibriClass":"ServerHello","x":"${'x'.repeat(MAX_MESSAGE_LENGTH)}"}`,
    ];
    for (const text of broken) expect(parseBridgeMessage(text)).toBeNull();
  });
});

class FakeSocket extends EventTarget {
  static readonly OPEN = 1;
  static all: FakeSocket[] = [];
  readonly sent: string[] = [];
  readyState = 0;

  constructor(readonly url: string) {
    super();
    FakeSocket.all.push(this);
  }

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.readyState = 3;
    this.dispatchEvent(new Event('close'));
  }

  open(): void {
    this.readyState = 1;
    this.dispatchEvent(new Event('open'));
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.all = [];
  vi.stubGlobal('WebSocket', FakeSocket);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const classesOf = (socket: FakeSocket | undefined): string[] => (socket?.sent ?? []).map((text) => (JSON.parse(text) as { colibriClass: string }).colibriClass);

describe('bridge channel', () => {
  it('says what it wants as soon as it is open, and again on each new WebSocket', () => {
    const channel = new BridgeChannel();
    channel.setReceiverConstraints(CONSTRAINTS);
    channel.setVideoType('abcd1234-v0', 'none');
    channel.connectWebSocket('wss://h/colibri-ws/1/2/3?pwd=4');
    channel.setVideoType('abcd1234-v0', 'camera');
    const [first] = FakeSocket.all;
    first?.open();
    expect(classesOf(first)).toEqual(['ReceiverVideoConstraints', 'SourceVideoTypeMessage']);
    expect(JSON.parse(first?.sent[0] ?? '')).toEqual({
      colibriClass: 'ReceiverVideoConstraints',
      lastN: -1,
      selectedSources: [],
      onStageSources: [],
      defaultConstraints: { maxHeight: 180 },
      constraints: { 'ef567890-v0': { maxHeight: 360 } },
      assumedBandwidthBps: -1,
    });
    first?.close();
    vi.advanceTimersByTime(1000);
    FakeSocket.all[1]?.open();
    expect(classesOf(FakeSocket.all[1])).toEqual(['ReceiverVideoConstraints', 'SourceVideoTypeMessage']);
  });

  it('retries ever more slowly and stops when it is disposed', () => {
    const channel = new BridgeChannel();
    channel.connectWebSocket('wss://h/');
    for (const delay of [1, 2, 4, 8, 16, 32, 60, 60]) {
      FakeSocket.all.at(-1)?.close();
      const before = FakeSocket.all.length;
      vi.advanceTimersByTime(delay * 1000 - 1);
      expect(FakeSocket.all).toHaveLength(before);
      vi.advanceTimersByTime(1);
      expect(FakeSocket.all).toHaveLength(before + 1);
    }
    channel.dispose();
    vi.advanceTimersByTime(100_000);
    expect(FakeSocket.all).toHaveLength(9);
  });

  it('hands messages on and loses those of the moment while closed', () => {
    const channel = new BridgeChannel();
    const heard: string[] = [];
    channel.on('message', (message) => heard.push(message.kind));
    expect(channel.sendNow(endpointMessage('', { name: 'x' }))).toBe(false);
    channel.connectWebSocket('wss://h/');
    const [socket] = FakeSocket.all;
    socket?.open();
    for (const data of ['{"colibriClass":"ServerHello"}', 'nonsense', new ArrayBuffer(2)]) socket?.dispatchEvent(new MessageEvent('message', { data }));
    expect(heard).toEqual(['hello']);
    expect(channel.sendNow(endpointMessage('', { name: 'x' }))).toBe(true);
  });
});
