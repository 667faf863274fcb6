/**
 * Sound and pictures of one visit to a room: the session with the bridge, what it forwards, who speaks, and what we send.
 *
 * Here: what session, bridge channel, room and own devices mean for each other. Not here: whether we are in (`Conference`), the
 * protocols of the parts.
 */
import type { BridgeChannel } from '../bridge/BridgeChannel';
import type { BridgeMessage, ReceiverConstraints } from '../bridge/messages';
import type { ClientConfig } from '../config';
import { Emitter } from '../events';
import { JingleSessions } from '../jingle/JingleSessions';
import type { MediaKind } from '../jingle/model';
import { chooseCodec, receivableCodecs } from '../media/codecs';
import { NO_LIMIT } from '../media/encodings';
import type { LocalMedia } from '../media/LocalMedia';
import type { RemoteTrack } from '../media/MediaSession';
import type { Room } from '../muc/Room';
import { sourceName, type SourceState } from '../muc/sourceInfo';
import type { XmppConnection } from '../xmpp/XmppConnection';

export type RoomMediaEvents = {
  /** Tracks, or what is forwarded of them, are others. */
  changed: [];
  speaker: [id: string | null];
  endpointMessage: [from: string, payload: Readonly<Record<string, unknown>>];
  connected: [];
  /** The path to the bridge is interrupted. */
  interrupted: [];
  /** The focus ended the session. */
  terminated: [];
  /** Media cannot be had at all. */
  failed: [reason: 'offer-answer' | 'ice'];
};

export interface RoomMediaOptions {
  readonly config: ClientConfig;
  readonly connection: XmppConnection;
  readonly room: Room;
  readonly local: LocalMedia;
  /** Who only watches sends nothing and has no sources. */
  readonly watching: boolean;
  /** As known when a session begins, not when the room was entered. */
  readonly iceServers: () => readonly RTCIceServer[];
}

export class RoomMedia extends Emitter<RoomMediaEvents> {
  readonly #options: RoomMediaOptions;
  readonly #jingle: JingleSessions;
  #tracks: ReadonlyMap<string, RemoteTrack> = new Map();
  #forwarded: ReadonlySet<string> | null = null;
  #speaker: string | null = null;
  #constraints: ReceiverConstraints | null = null;
  /** Sources are announced once the focus knows them (§5.3). */
  #sourcesKnown = false;

  constructor(options: RoomMediaOptions) {
    super();
    this.#options = options;
    this.#jingle = this.#makeJingle(options);
  }

  get tracks(): ReadonlyMap<string, RemoteTrack> {
    return this.#tracks;
  }

  /** Names of the sources that the bridge sends, `null` until it said so. */
  get forwarded(): ReadonlySet<string> | null {
    return this.#forwarded;
  }

  /** State of the session's connection, `null` without a session. */
  get state(): RTCPeerConnectionState | null {
    return this.#jingle.media?.peer.connectionState ?? null;
  }

  handleIq(iq: Element): true | null {
    return this.#jingle.handleIq(iq);
  }

  setConstraints(constraints: ReceiverConstraints): void {
    this.#constraints = constraints;
    this.#jingle.channel?.setReceiverConstraints(constraints);
  }

  /** The own device has something else to send. */
  onLocalChanged(media: MediaKind): void {
    if (this.#options.watching) return;
    const track = this.#options.local.sendable(media);
    this.#jingle.media?.setTrack(media, track).catch(() => undefined); // Closed meanwhile: the next session asks for the tracks.
    if (media === 'video') this.#jingle.channel?.setVideoType(this.#camera, track ? 'camera' : 'none');
    this.#announceSources();
  }

  /** Others came, changed or left: all have to be able to show what we send. */
  onOccupantsChanged(): void {
    const session = this.#jingle.media;
    if (session) session.setCodec(this.#codecFor(session.offeredVideoCodecs));
  }

  onOccupantLeft(id: string): void {
    this.#jingle.removeOwner(id);
    if (this.#speaker === id) this.#setSpeaker(null);
  }

  /** Ends the session without a word: the room is being left. */
  dispose(): void {
    this.#jingle.dispose();
    this.#setSpeaker(null);
  }

  get #camera(): string {
    return sourceName(this.#options.room.id, 'video');
  }

  #makeJingle({ config, connection, room, local, watching, iceServers }: RoomMediaOptions): JingleSessions {
    const jingle = new JingleSessions({
      get iceServers() {
        return iceServers();
      },
      forceTurnRelay: config.forceTurnRelay,
      endpoint: room.id,
      receiveOnly: watching,
      focusJid: `${room.jid}/focus`,
      responder: connection.jid,
      preferSctp: config.preferSctp,
      iceRestart: config.iceRestart,
      ignoreBridgeDomain: config.ignoreBridgeDomain,
      request: (iq) => connection.request(iq),
      tracks: () => (watching ? { audio: null, video: null } : { audio: local.sendable('audio'), video: local.sendable('video') }),
      chooseCodec: (offered) => this.#codecFor(offered),
    });
    jingle.on('tracks', (tracks) => {
      this.#tracks = tracks;
      this.emit('changed');
    });
    jingle.on('channel', (channel) => this.#onChannel(channel));
    jingle.on('started', () => {
      this.#sourcesKnown = true;
      this.#announceSources();
    });
    jingle.on('state', (state) => {
      if (state === 'connected') this.emit('connected');
      if (state === 'failed' || state === 'disconnected') this.emit('interrupted');
    });
    jingle.on('terminated', () => {
      this.#forwarded = null;
      this.#setSpeaker(null);
      this.emit('terminated');
    });
    jingle.on('failed', (reason) => this.emit('failed', reason));
    return jingle;
  }

  #onChannel(channel: BridgeChannel): void {
    this.#forwarded = null;
    channel.on('message', (message) => {
      if (this.#jingle.channel === channel) this.#onBridgeMessage(message);
    });
    if (this.#constraints) channel.setReceiverConstraints(this.#constraints);
    if (!this.#options.watching) channel.setVideoType(this.#camera, this.#options.local.isMuted('video') ? 'none' : 'camera');
  }

  #onBridgeMessage(message: BridgeMessage): void {
    switch (message.kind) {
      case 'forwarded-sources':
        this.#forwarded = new Set(message.sources);
        this.emit('changed');
        break;
      case 'dominant-speaker':
        this.#setSpeaker(message.silence ? null : message.endpoint);
        break;
      case 'sender-constraints':
        if (message.source === this.#camera) this.#jingle.media?.setMaxHeight(message.maxHeight);
        break;
      case 'endpoint-message':
        this.emit('endpointMessage', message.from, message.payload);
        break;
      case 'hello':
        // A bridge that starts over has no wishes yet.
        this.#jingle.media?.setMaxHeight(NO_LIMIT);
        break;
      case 'connection-stats':
      case 'other':
        break;
    }
  }

  #announceSources(): void {
    if (!this.#sourcesKnown || this.#options.watching) return;
    const { room, local } = this.#options;
    const sources = new Map<string, SourceState>(
      (['audio', 'video'] as const).map((media) => [sourceName(room.id, media), { muted: local.isMuted(media), desktop: false }]),
    );
    room.update({ sources });
  }

  #codecFor(offered: readonly string[]): string | null {
    const others = Array.from(this.#options.room.occupants.values(), (occupant) => occupant.codecs);
    return chooseCodec(offered, receivableCodecs(), others);
  }

  #setSpeaker(id: string | null): void {
    if (this.#speaker === id) return;
    this.#speaker = id;
    this.emit('speaker', id);
  }
}
