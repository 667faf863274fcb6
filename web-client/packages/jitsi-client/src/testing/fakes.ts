/** Stand-ins for the network and the browser in tests. Not part of the build. */
import type { Stream, StreamFactory, StreamHandlers, StreamRequest } from '../xmpp/stream';
import { attr } from '../xmpp/xml';
import { CHROME_ANSWER } from './stanzas';

/** One attempt at a stream, under the test's control. */
export class FakeStream implements Stream {
  readonly sent: Element[] = [];
  ended: 'closed' | 'aborted' | null = null;

  constructor(readonly request: StreamRequest, readonly handlers: StreamHandlers) {}

  send(stanza: Element): void {
    this.sent.push(stanza);
  }

  close(): void {
    this.ended = 'closed';
  }

  abort(): void {
    this.ended = 'aborted';
  }

  /** The last stanza sent with this name. */
  last(name: string): Element {
    const found = this.sent.findLast((stanza) => stanza.localName === name);
    if (!found) throw new Error(`no ${name} was sent`);
    return found;
  }

  /** Id of the last IQ sent. */
  lastIqId(): string {
    return attr(this.last('iq'), 'id') ?? '';
  }
}

export class FakeStreams implements StreamFactory {
  readonly attempts: FakeStream[] = [];
  sessionId: string | null = null;

  open(request: StreamRequest, handlers: StreamHandlers): Stream {
    const stream = new FakeStream(request, handlers);
    this.attempts.push(stream);
    return stream;
  }

  resumableId(): string | null {
    return this.sessionId;
  }

  forgetSession(): void {
    this.sessionId = null;
  }

  get current(): FakeStream {
    const stream = this.attempts.at(-1);
    if (!stream) throw new Error('no stream was opened');
    return stream;
  }
}

/** Just enough of RTCPeerConnection for `MediaSession`: m-lines become transceivers, the answer is Chromium's. */
export class FakePeer extends EventTarget {
  readonly remote: string[] = [];
  readonly local: string[] = [];
  readonly transceivers: FakeTransceiver[] = [];
  readonly channels: string[] = [];
  connectionState: RTCPeerConnectionState = 'new';
  localDescription: { sdp: string } | null = null;
  closed = false;
  failAnswer = false;
  /** What the sender of the camera has after the answer was set: 3 where SSRC simulcast is understood. */
  encodings = 3;

  setRemoteDescription({ sdp }: { sdp: string }): Promise<void> {
    this.remote.push(sdp);
    for (const match of sdp.matchAll(/m=(audio|video|application)[\s\S]*?a=mid:(\d+)/g)) {
      const [, kind = '', mid = ''] = match;
      if (kind !== 'application' && !this.transceivers.some((known) => known.mid === mid)) this.transceivers.push(new FakeTransceiver(this, mid, kind));
    }
    return Promise.resolve();
  }

  createAnswer(): Promise<{ sdp: string }> {
    return this.failAnswer ? Promise.reject(new Error('no answer')) : Promise.resolve({ sdp: CHROME_ANSWER });
  }

  setLocalDescription({ sdp }: { sdp: string }): Promise<void> {
    this.local.push(sdp);
    this.localDescription = { sdp };
    return Promise.resolve();
  }

  getTransceivers(): FakeTransceiver[] {
    return this.transceivers;
  }

  createDataChannel(label: string): EventTarget & { readyState: string; close: () => void } {
    this.channels.push(label);
    return Object.assign(new EventTarget(), { readyState: 'connecting', close: () => undefined });
  }

  close(): void {
    this.closed = true;
  }

  become(state: RTCPeerConnectionState): void {
    this.connectionState = state;
    this.dispatchEvent(new Event('connectionstatechange'));
  }

  asPeer(): RTCPeerConnection {
    return this as unknown as RTCPeerConnection;
  }
}

class FakeTransceiver {
  direction = 'recvonly';
  readonly receiver: { readonly track: { readonly kind: string; readonly id: string } };
  readonly sender: FakeSender;

  constructor(peer: FakePeer, readonly mid: string, kind: string) {
    this.receiver = { track: { kind, id: `remote-${mid}` } };
    this.sender = new FakeSender(peer);
  }
}

class FakeSender {
  track: unknown = null;
  parameters: { encodings: object[] } | null = null;
  readonly #peer: FakePeer;

  constructor(peer: FakePeer) {
    this.#peer = peer;
  }

  replaceTrack(track: unknown): Promise<void> {
    this.track = track;
    return Promise.resolve();
  }

  getParameters(): { encodings: object[] } {
    return this.parameters ?? { encodings: Array.from({ length: this.#peer.encodings }, () => ({})) };
  }

  setParameters(parameters: { encodings: object[] }): Promise<void> {
    this.parameters = parameters;
    return Promise.resolve();
  }
}

/** Lets everything that is already settled run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 40; turn += 1) await Promise.resolve();
}
