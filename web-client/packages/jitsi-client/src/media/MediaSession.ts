/**
 * One RTCPeerConnection to the bridge: descriptions built from Jingle, own tracks, remote tracks by source name.
 *
 * Here: the order of negotiations (one at a time, bursts folded into one) and the sender's encodings. Not here: Jingle stanzas, who
 * is muted, capture of devices.
 */
import { Emitter } from '../events';
import type { Answer } from '../jingle/build';
import type { IceTransport, LocalSource, MediaKind, RemoteSource, RtpContent, SessionOffer } from '../jingle/model';
import { sourceName } from '../muc/sourceInfo';
import { readContent, readLocalSource, readTransport, withSimulcast, type LayerSsrcs } from './answerSdp';
import { applyLayers, NO_LIMIT } from './encodings';
import { buildOfferSdp, midOf } from './offerSdp';
import { detectQuirks, withoutRefused } from './quirks';
import { SlotTable } from './slots';

export interface RemoteTrack {
  readonly source: RemoteSource;
  readonly track: MediaStreamTrack;
}

export type MediaSessionEvents = {
  /** Remote tracks came, went or changed hands. */
  tracks: [tracks: ReadonlyMap<string, RemoteTrack>];
  state: [state: RTCPeerConnectionState];
  /** A negotiation after the first failed; the session is not to be trusted any more. */
  broken: [error: unknown];
};

export interface MediaSessionOptions {
  readonly iceServers: readonly RTCIceServer[];
  /** Take candidates of TURN servers only. */
  readonly forceTurnRelay: boolean;
  readonly endpoint: string;
  /** Whether nothing is ever sent: who only watches has no sources. */
  readonly receiveOnly: boolean;
  readonly createPeer?: (configuration: RTCConfiguration) => RTCPeerConnection;
}

/** Height assumed of a camera that does not tell. */
const DEFAULT_CAPTURE_HEIGHT = 720;

export class MediaSession extends Emitter<MediaSessionEvents> {
  readonly peer: RTCPeerConnection;
  readonly #offer: SessionOffer;
  readonly #endpoint: string;
  readonly #receiveOnly: boolean;
  readonly #slots: SlotTable;
  readonly #audioMid: string;
  readonly #videoMid: string;
  #transport: IceTransport;
  #version = 1;
  #layers: readonly LayerSsrcs[] | null = null;
  #simulcast = true;
  #maxHeight = NO_LIMIT;
  #codec: string | null = null;
  #localSdp = '';
  #tail: Promise<unknown> = Promise.resolve();
  #dirty = false;
  #started = false;
  #closed = false;

  constructor(offer: SessionOffer, options: MediaSessionOptions) {
    super();
    const quirks = detectQuirks();
    this.#offer = {
      ...offer,
      contents: offer.contents.map((content) => (content.kind === 'data' ? content : { ...content, extensions: withoutRefused(content.extensions, quirks) })),
    };
    this.#transport = offer.transport;
    this.#endpoint = options.endpoint;
    this.#receiveOnly = options.receiveOnly;
    this.#slots = new SlotTable(offer.contents.length);
    this.#audioMid = midOf(offer, 'audio') ?? '';
    this.#videoMid = midOf(offer, 'video') ?? '';
    this.#slots.add(offer.sources);
    const create = options.createPeer ?? ((configuration) => new RTCPeerConnection(configuration));
    const iceTransportPolicy = options.forceTurnRelay ? 'relay' : 'all';
    this.peer = create({ bundlePolicy: 'max-bundle', rtcpMuxPolicy: 'require', iceTransportPolicy, iceServers: [...options.iceServers] });
    this.peer.addEventListener('connectionstatechange', () => {
      if (!this.#closed) this.emit('state', this.peer.connectionState);
    });
  }

  /** Codecs of the offer's video content, without RTX and the like. */
  get offeredVideoCodecs(): string[] {
    const video = this.#offer.contents.find((content): content is RtpContent => content.kind === 'video');
    return (video?.payloadTypes ?? []).map((payload) => payload.name.toLowerCase()).filter((name) => name !== 'rtx');
  }

  /** First negotiation; answers what the session-accept says. */
  start(tracks: Readonly<Record<MediaKind, MediaStreamTrack | null>>, codec: string | null): Promise<Answer> {
    return this.#enqueue(async () => {
      this.#codec = codec;
      await this.#setRemote();
      for (const [mid, track] of [[this.#audioMid, tracks.audio], [this.#videoMid, tracks.video]] as const) {
        const transceiver = this.#transceiver(mid);
        if (!transceiver) continue;
        // With or without a track: the SSRCs are signalled once, and muting never needs a negotiation.
        transceiver.direction = this.#receiveOnly ? 'inactive' : 'sendonly';
        await transceiver.sender.replaceTrack(track);
      }
      await this.#setLocal();
      this.#started = true;
      this.#publishTracks();
      return this.#answer();
    });
  }

  addSources(sources: readonly RemoteSource[]): void {
    this.#slots.add(sources);
    this.#renegotiate();
  }

  removeSources(names: readonly string[]): void {
    if (this.#slots.remove(names).length > 0) this.#renegotiate();
  }

  removeOwner(owner: string): void {
    if (this.#slots.removeOwner(owner).length > 0) this.#renegotiate();
  }

  /** Sends another track, or nothing. */
  setTrack(media: MediaKind, track: MediaStreamTrack | null): Promise<void> {
    return this.#enqueue(async () => {
      const transceiver = this.#transceiver(media === 'audio' ? this.#audioMid : this.#videoMid);
      if (!transceiver || transceiver.sender.track === track) return;
      await transceiver.sender.replaceTrack(track);
      if (media === 'video' && track) await this.#applyEncodings();
    });
  }

  /** The largest height of the camera that the bridge wants; 0 = nothing. */
  setMaxHeight(maxHeight: number): void {
    if (maxHeight === this.#maxHeight) return;
    this.#maxHeight = maxHeight;
    void this.#enqueue(() => this.#applyEncodings()).catch(() => undefined);
  }

  /** Sends this codec from the next key frame on. */
  setCodec(codec: string | null): void {
    if (codec === this.#codec) return;
    this.#codec = codec;
    this.#renegotiate();
  }

  /** Takes the bridge's new ICE parameters; answers ours. */
  restartIce(transport: IceTransport): Promise<Answer> {
    return this.#enqueue(async () => {
      this.#transport = { ...transport, fingerprint: transport.fingerprint ?? this.#transport.fingerprint };
      await this.#setRemote();
      await this.#setLocal();
      return this.#answer();
    });
  }

  close(): void {
    this.#closed = true;
    this.peer.close();
  }

  #renegotiate(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.#enqueue(async () => {
      this.#dirty = false;
      if (!this.#started) return; // What was added before `start` is in the first offer.
      await this.#setRemote();
      await this.#setLocal();
      this.#publishTracks();
    }).catch((error: unknown) => {
      if (!this.#closed) this.emit('broken', error);
    });
  }

  #enqueue<T>(step: () => Promise<T>): Promise<T> {
    const run = this.#tail.then(() => {
      if (this.#closed) throw new DOMException('session closed', 'AbortError');
      return step();
    });
    this.#tail = run.catch(() => undefined);
    return run;
  }

  async #setRemote(): Promise<void> {
    const sdp = buildOfferSdp(this.#offer, this.#transport, this.#slots.slots, this.#version);
    this.#version += 1;
    await this.peer.setRemoteDescription({ type: 'offer', sdp });
  }

  async #setLocal(): Promise<void> {
    this.#preferCodec();
    const answer = await this.peer.createAnswer();
    const plain = answer.sdp ?? '';
    const munged = this.#simulcast ? withSimulcast(plain, this.#videoMid, this.#layers, Math.random) : { sdp: plain, layers: null };
    try {
      await this.peer.setLocalDescription({ type: 'answer', sdp: munged.sdp });
      this.#localSdp = munged.sdp;
      this.#layers = munged.layers;
    } catch (error) {
      if (munged.sdp === plain) throw error;
      this.#simulcast = false;
      this.#layers = null;
      await this.peer.setLocalDescription({ type: 'answer', sdp: plain });
      this.#localSdp = plain;
    }
    const encodings = this.#transceiver(this.#videoMid)?.sender.getParameters().encodings.length ?? 0;
    if (this.#layers && this.#layers.length > 1 && encodings === 1) {
      // This browser passed over the extra SSRCs (Firefox does): signal only what it sends.
      this.#simulcast = false;
      this.#layers = null;
      this.#localSdp = this.peer.localDescription?.sdp ?? plain;
    }
    await this.#applyEncodings();
  }

  #preferCodec(): void {
    const transceiver = this.#transceiver(this.#videoMid);
    const capabilities = globalThis.RTCRtpReceiver?.getCapabilities?.('video')?.codecs;
    if (!transceiver || !capabilities || this.#codec === null || typeof transceiver.setCodecPreferences !== 'function') return;
    const wanted = `video/${this.#codec}`;
    const first = capabilities.filter((codec) => codec.mimeType.toLowerCase() === wanted);
    const rest = capabilities.filter((codec) => codec.mimeType.toLowerCase() !== wanted);
    if (first.length > 0) transceiver.setCodecPreferences([...first, ...rest]);
  }

  async #applyEncodings(): Promise<void> {
    const sender = this.#transceiver(this.#videoMid)?.sender;
    if (!sender) return;
    const parameters = sender.getParameters();
    if (parameters.encodings.length === 0) return;
    const height = sender.track?.getSettings().height ?? DEFAULT_CAPTURE_HEIGHT;
    parameters.encodings = applyLayers(parameters.encodings, height, this.#maxHeight);
    try {
      await sender.setParameters(parameters);
    } catch (error) {
      // InvalidState: the session was closed meanwhile, or a track was replaced. The next call sets them again.
      if (!(error instanceof DOMException)) throw error;
    }
  }

  #answer(): Answer {
    const transport = readTransport(this.#localSdp);
    if (!transport) throw new Error('the browser made an answer without a transport');
    const contents = this.#offer.contents.map((content, at) => readContent(this.#localSdp, String(at), content.name)).filter((content) => content !== null);
    return { contents, transport, sources: this.#localSources() };
  }

  #localSources(): LocalSource[] {
    const one = (media: MediaKind, mid: string): LocalSource | null => {
      const name = sourceName(this.#endpoint, media);
      return readLocalSource(this.#localSdp, mid, media, name, `${this.#endpoint}-${media}-0-1 ${name}-track-1`);
    };
    return [one('audio', this.#audioMid), one('video', this.#videoMid)].filter((source) => source !== null);
  }

  #publishTracks(): void {
    const tracks = new Map<string, RemoteTrack>();
    for (const { mid, source } of this.#slots.slots) {
      const track = source ? this.#transceiver(mid)?.receiver.track : undefined;
      if (source && track) tracks.set(source.name, { source, track });
    }
    this.emit('tracks', tracks);
  }

  #transceiver(mid: string): RTCRtpTransceiver | undefined {
    return this.peer.getTransceivers().find((transceiver) => transceiver.mid === mid);
  }
}
