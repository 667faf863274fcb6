/**
 * The bridge session of a room: reads the focus's Jingle requests, answers at once, drives a `MediaSession`, and asks for a new session
 * when ICE failed (protocol/client.md §7).
 *
 * Here: which session is current, the stanzas out. Not here: the peer connection, the bridge channel's messages.
 */
import { Emitter } from '../events';
import { BridgeChannel, DATA_CHANNEL_LABEL, DATA_CHANNEL_PROTOCOL } from '../bridge/BridgeChannel';
import type { RemoteTrack } from '../media/MediaSession';
import { MediaSession, type MediaSessionOptions } from '../media/MediaSession';
import { StanzaError } from '../xmpp/errors';
import { NS } from '../xmpp/ns';
import { attr, child, children, intAttr, x, type XmlNode } from '../xmpp/xml';
import { buildAccept, buildIceRestartRequest, buildTerminate, buildTransportInfo } from './build';
import type { MediaKind, SessionOffer } from './model';
import { parseOffer, parseTransport } from './parse';
import { parseSources } from './sources';

export type JingleEvents = {
  /** A session began: the first negotiation is done and accepted. */
  started: [];
  tracks: [tracks: ReadonlyMap<string, RemoteTrack>];
  state: [state: RTCPeerConnectionState];
  /** The focus ended the session; media stops until it invites again. */
  terminated: [];
  /** Media cannot be had: the browser refused the offer, or ICE failed again and again. */
  failed: [reason: 'offer-answer' | 'ice'];
  channel: [channel: BridgeChannel];
};

export interface JingleOptions extends MediaSessionOptions {
  readonly focusJid: string;
  readonly responder: string;
  readonly preferSctp: boolean;
  /** Try an ICE restart in place first. */
  readonly iceRestart: boolean;
  readonly ignoreBridgeDomain: string | null;
  readonly request: (iq: XmlNode) => Promise<Element>;
  readonly tracks: () => Readonly<Record<MediaKind, MediaStreamTrack | null>>;
  readonly chooseCodec: (offered: readonly string[]) => string | null;
}

/** Restarts of one meeting, and the shortest time between them: stock servers refuse more often. */
const MAX_RESTARTS = 5;
const RESTART_SPACING_MS = 5_000;
/** ICE may come back from `failed` while a network changes. */
const FAILED_GRACE_MS = 2_000;
/** An ICE restart in place that has not led to a connection by then has failed (protocol/client.md §7.8). */
const ICE_RESTART_TIMEOUT_MS = 15_000;
/** Sessions remembered so that a reused sid is refused. */
const MAX_OLD_SIDS = 100;

interface Current {
  readonly offer: SessionOffer;
  readonly media: MediaSession;
  readonly channel: BridgeChannel;
}

export class JingleSessions extends Emitter<JingleEvents> {
  readonly #options: JingleOptions;
  readonly #oldSids: string[] = [];
  #current: Current | null = null;
  #restarts = 0;
  #lastRestart = Number.NEGATIVE_INFINITY;
  #restartTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(options: JingleOptions) {
    super();
    this.#options = options;
  }

  get media(): MediaSession | null {
    return this.#current?.media ?? null;
  }

  get channel(): BridgeChannel | null {
    return this.#current?.channel ?? null;
  }

  /** Takes an IQ; `null` when it is not Jingle, `true` to acknowledge it; throws the error to answer with. */
  handleIq(iq: Element): true | null {
    const jingle = child(iq, 'jingle', NS.JINGLE);
    if (!jingle || attr(iq, 'type') !== 'set') return null;
    if (attr(iq, 'from') !== this.#options.focusJid) throw new StanzaError('service-unavailable', 'cancel');
    const sid = attr(jingle, 'sid') ?? '';
    const action = attr(jingle, 'action');
    if (action === 'session-initiate') {
      this.#initiate(jingle, sid);
      return true;
    }
    const current = this.#current;
    if (!current || current.offer.sid !== sid) {
      throw new StanzaError('item-not-found', 'cancel', '', null, x('unknown-session', { xmlns: NS.JINGLE_ERRORS }));
    }
    switch (action) {
      case 'source-add':
        current.media.addSources(parseSources(jingle));
        return true;
      case 'source-remove':
        current.media.removeSources(parseSources(jingle).map((source) => source.name));
        return true;
      case 'session-terminate':
        this.#drop();
        this.emit('terminated');
        return true;
      case 'transport-info':
        this.#transportInfo(jingle, current);
        return true;
      case 'transport-replace':
      case 'content-modify':
      case 'session-info':
        return true; // Acknowledged, of no effect on a bridge session.
      default:
        throw new StanzaError('bad-request', 'modify');
    }
  }

  /** Sources of somebody who left go with him, whatever the focus sends. */
  removeOwner(owner: string): void {
    this.#current?.media.removeOwner(owner);
  }

  /** Ends the session without a word: the room is being left. */
  dispose(): void {
    this.#drop();
  }

  #initiate(jingle: Element, sid: string): void {
    if (this.#oldSids.includes(sid)) throw new StanzaError('service-unavailable', 'cancel');
    const offer = parseOffer(jingle);
    this.#drop();
    this.#oldSids.push(sid);
    if (this.#oldSids.length > MAX_OLD_SIDS) this.#oldSids.shift();

    const media = new MediaSession(offer, this.#options);
    const channel = new BridgeChannel();
    const current: Current = { offer, media, channel };
    this.#current = current;
    const mine = (): boolean => this.#current === current;
    media.on('tracks', (tracks) => mine() && this.emit('tracks', tracks));
    media.on('state', (state) => mine() && this.#onState(state, current));
    media.on('broken', () => mine() && this.#requestRestart(current, 'failed-application', 'negotiation failed'));
    void this.#accept(current);
  }

  async #accept(current: Current): Promise<void> {
    const { offer, media, channel } = current;
    try {
      const data = offer.contents.some((content) => content.kind === 'data') && this.#options.preferSctp;
      if (data) {
        channel.attachDataChannel(media.peer.createDataChannel(DATA_CHANNEL_LABEL, { protocol: DATA_CHANNEL_PROTOCOL }));
      }
      this.emit('channel', channel);
      const answer = await media.start(this.#options.tracks(), this.#options.chooseCodec(media.offeredVideoCodecs));
      if (this.#current !== current) return;
      if (!data) this.#openWebSocket(offer, channel);
      await this.#request(buildAccept(offer, this.#options.responder, answer));
      if (this.#current === current) this.emit('started');
    } catch (error) {
      if (this.#current !== current) return;
      this.#drop();
      if (error instanceof StanzaError && error.condition === 'connection-lost') return; // The room is joined anew.
      if (!(error instanceof StanzaError)) {
        await this.#request(buildTerminate(offer, 'failed-application', 'offer/answer failed', false)).catch(() => undefined);
      }
      this.emit('failed', 'offer-answer');
    }
  }

  /** First colibri WebSocket whose host is not to be passed over, else the first. */
  #openWebSocket(offer: SessionOffer, channel: BridgeChannel): void {
    const urls = offer.transport.webSockets.filter((url) => /^wss?:\/\//.test(url));
    const chosen = urls.find((url) => hostOf(url) !== this.#options.ignoreBridgeDomain) ?? urls[0];
    if (chosen !== undefined) channel.connectWebSocket(chosen);
  }

  #transportInfo(jingle: Element, current: Current): void {
    const [content] = children(jingle, 'content');
    const generation = intAttr(child(content, 'transport'), 'ice-generation', 1, Number.MAX_SAFE_INTEGER);
    const transport = content ? parseTransport(content) : null;
    // Candidates of a bridge session come in the offer; without a generation there is nothing to restart.
    if (generation === null || transport === null) return;
    const names = current.offer.contents.map((each) => each.name);
    current.media
      .restartIce(transport)
      .then((answer) => this.#request(buildTransportInfo(current.offer, names, answer.transport, generation)))
      .catch(() => {
        if (this.#current === current) this.#requestRestart(current, 'connectivity-error', 'ICE restart failed');
      });
  }

  #onState(state: RTCPeerConnectionState, current: Current): void {
    this.emit('state', state);
    if (state === 'connected') {
      this.#cancelRestart();
      this.#restarts = 0;
    }
    if (state !== 'failed' || this.#restartTimer !== null) return;
    if (this.#options.iceRestart) {
      this.#restartUnlessConnected(current, ICE_RESTART_TIMEOUT_MS);
      this.#request(buildIceRestartRequest(current.offer)).catch(() => {
        if (this.#current !== current) return;
        this.#cancelRestart();
        this.#restartUnlessConnected(current, 0);
      });
      return;
    }
    this.#restartUnlessConnected(current, FAILED_GRACE_MS);
  }

  /** Asks for a new session after `delayMs`, unless this one works by then. */
  #restartUnlessConnected(current: Current, delayMs: number): void {
    const wait = Math.max(delayMs, this.#lastRestart + RESTART_SPACING_MS - performance.now());
    this.#restartTimer = setTimeout(() => {
      this.#restartTimer = null;
      if (this.#current === current && current.media.peer.connectionState !== 'connected') {
        this.#requestRestart(current, 'connectivity-error', 'ICE FAILED');
      }
    }, wait);
  }

  #cancelRestart(): void {
    if (this.#restartTimer !== null) clearTimeout(this.#restartTimer);
    this.#restartTimer = null;
  }

  /** Ends the session and asks the focus for another. */
  #requestRestart(current: Current, reason: 'connectivity-error' | 'failed-application', text: string): void {
    this.#restarts += 1;
    this.#lastRestart = performance.now();
    this.#drop();
    if (this.#restarts > MAX_RESTARTS) {
      this.emit('failed', 'ice');
      return;
    }
    this.#request(buildTerminate(current.offer, reason, text, true)).catch((error: unknown) => {
      const lost = error instanceof StanzaError && error.condition === 'connection-lost';
      if (this.#current === null && !lost) this.emit('failed', 'ice');
    });
  }

  #request(jingle: XmlNode): Promise<Element> {
    return this.#options.request(x('iq', { type: 'set', to: this.#options.focusJid }, jingle));
  }

  #drop(): void {
    const current = this.#current;
    this.#current = null;
    this.#cancelRestart();
    if (!current) return;
    current.channel.dispose();
    current.media.close();
    this.emit('tracks', new Map());
  }
}

function hostOf(url: string): string {
  try {
    return new URL(url).hostname;
  } catch {
    return '';
  }
}
