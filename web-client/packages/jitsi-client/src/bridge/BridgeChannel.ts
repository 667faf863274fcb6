/**
 * The channel to the bridge, over a data channel or a colibri WebSocket (protocol/client.md §7.9, §8.1).
 *
 * Here: opening, reconnecting the WebSocket, repeating this client's state after each opening. Not here: what the messages mean.
 */
import { Emitter } from '../events';
import { parseBridgeMessage, receiverConstraintsMessage, videoTypeMessage, type BridgeMessage, type ReceiverConstraints } from './messages';

export const DATA_CHANNEL_LABEL = 'JVB data channel';
export const DATA_CHANNEL_PROTOCOL = 'http://jitsi.org/protocols/colibri';
/** Delays between tries of the WebSocket: 1, 2, 4 … 60 s, for as long as the session lives. */
const MAX_RETRY_MS = 60_000;

export type BridgeChannelEvents = {
  open: [];
  closed: [];
  message: [message: BridgeMessage];
};

export class BridgeChannel extends Emitter<BridgeChannelEvents> {
  #data: RTCDataChannel | null = null;
  #socket: WebSocket | null = null;
  #url: string | null = null;
  #retryTimer: ReturnType<typeof setTimeout> | null = null;
  #tries = 0;
  #disposed = false;
  #constraints: ReceiverConstraints | null = null;
  readonly #videoTypes = new Map<string, 'camera' | 'desktop' | 'none'>();

  /** Uses a data channel that this client created. */
  attachDataChannel(channel: RTCDataChannel): void {
    this.#data = channel;
    channel.addEventListener('open', () => this.#onOpen());
    channel.addEventListener('close', () => this.emit('closed'));
    channel.addEventListener('message', (event: MessageEvent<unknown>) => this.#onMessage(event.data));
    if (channel.readyState === 'open') this.#onOpen();
  }

  /** Uses a WebSocket, and keeps it up. */
  connectWebSocket(url: string): void {
    this.#url = url;
    this.#connect();
  }

  get isOpen(): boolean {
    return this.#data?.readyState === 'open' || this.#socket?.readyState === WebSocket.OPEN;
  }

  setReceiverConstraints(constraints: ReceiverConstraints): void {
    this.#constraints = constraints;
    this.#send(receiverConstraintsMessage(constraints));
  }

  setVideoType(sourceName: string, videoType: 'camera' | 'desktop' | 'none'): void {
    this.#videoTypes.set(sourceName, videoType);
    this.#send(videoTypeMessage(sourceName, videoType));
  }

  /** Sends a message of its moment; false when the channel is not open and it is lost. */
  sendNow(message: string): boolean {
    return this.#send(message);
  }

  dispose(): void {
    this.#disposed = true;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#data?.close();
    this.#socket?.close(1000);
    this.#data = null;
    this.#socket = null;
  }

  #connect(): void {
    if (this.#disposed || this.#url === null) return;
    let socket: WebSocket;
    try {
      socket = new WebSocket(this.#url);
    } catch {
      return; // A URL the browser refuses will not get better.
    }
    this.#socket = socket;
    socket.addEventListener('open', () => {
      this.#tries = 0;
      if (this.#socket === socket) this.#onOpen();
    });
    socket.addEventListener('message', (event: MessageEvent<unknown>) => {
      if (this.#socket === socket) this.#onMessage(event.data);
    });
    socket.addEventListener('close', () => {
      if (this.#socket !== socket || this.#disposed) return;
      this.#socket = null;
      this.emit('closed');
      this.#retryTimer = setTimeout(() => this.#connect(), Math.min(MAX_RETRY_MS, 1000 * 2 ** this.#tries));
      this.#tries += 1;
    });
  }

  #onOpen(): void {
    if (this.#disposed) return;
    if (this.#constraints) this.#send(receiverConstraintsMessage(this.#constraints));
    for (const [name, type] of this.#videoTypes) this.#send(videoTypeMessage(name, type));
    this.emit('open');
  }

  #onMessage(data: unknown): void {
    if (this.#disposed || typeof data !== 'string') return;
    const message = parseBridgeMessage(data);
    if (message) this.emit('message', message);
  }

  #send(text: string): boolean {
    try {
      if (this.#data?.readyState === 'open') this.#data.send(text);
      else if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(text);
      else return false;
      return true;
    } catch {
      return false; // Closed between the check and the call.
    }
  }
}
