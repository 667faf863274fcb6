/**
 * The own microphone and camera: what is captured, what is muted, which device.
 *
 * A muted microphone stays open but silent, so that unmuting is instant; a camera that is off is closed, so that its light goes out.
 */
import { Emitter } from '../events';
import type { MediaKind } from '../jingle/model';
import { capture, captureAll, DeviceError } from './devices';

export type LocalMediaEvents = {
  /** A track or a mute state changed. */
  changed: [media: MediaKind];
  /** A device could not be opened, or went away. */
  failed: [error: DeviceError];
};

export class LocalMedia extends Emitter<LocalMediaEvents> {
  readonly #tracks: Record<MediaKind, MediaStreamTrack | null> = { audio: null, video: null };
  readonly #muted: Record<MediaKind, boolean> = { audio: false, video: false };
  readonly #devices: Record<MediaKind, string | null> = { audio: null, video: null };
  readonly #turn: Record<MediaKind, number> = { audio: 0, video: 0 };

  /** The captured track, muted or not. */
  track(media: MediaKind): MediaStreamTrack | null {
    return this.#tracks[media];
  }

  /** What may be sent: the track unless muted. */
  sendable(media: MediaKind): MediaStreamTrack | null {
    return this.#muted[media] ? null : this.#tracks[media];
  }

  /** Muted by choice, or nothing to send. */
  isMuted(media: MediaKind): boolean {
    return this.#muted[media] || this.#tracks[media] === null;
  }

  device(media: MediaKind): string | null {
    return this.#devices[media];
  }

  /** Opens what is not muted, with one question to the person. Failures come as events and leave that medium muted. */
  async open(devices: Readonly<Record<MediaKind, string | null>>, muted: Readonly<Record<MediaKind, boolean>>): Promise<void> {
    Object.assign(this.#devices, devices);
    Object.assign(this.#muted, muted);
    const wanted = (['audio', 'video'] as const).filter((media) => !muted[media] && this.#tracks[media] === null);
    const turns = wanted.map((media) => this.#begin(media));
    const result = await captureAll(wanted, devices);
    wanted.forEach((media, at) => {
      const track = result[media];
      if (this.#turn[media] !== turns[at]) {
        if (track && !(track instanceof DeviceError)) track.stop();
      } else if (track instanceof DeviceError) {
        this.#fail(track);
      } else if (track) {
        this.#take(media, track);
      }
    });
  }

  /** Mutes or unmutes; unmuting opens the device where needed and rejects with `DeviceError`. */
  async setMuted(media: MediaKind, muted: boolean): Promise<void> {
    const turn = this.#begin(media);
    if (muted) {
      this.#muted[media] = true;
      const track = this.#tracks[media];
      if (track && media === 'audio') track.enabled = false;
      if (media === 'video') this.#release(media);
      this.emit('changed', media);
      return;
    }
    if (this.#tracks[media] === null) {
      await this.#openOne(media, turn);
      return;
    }
    this.#muted[media] = false;
    const track = this.#tracks[media];
    if (track) track.enabled = true;
    this.emit('changed', media);
  }

  /** Changes the device; opens it at once unless the medium is muted. */
  async select(media: MediaKind, deviceId: string | null): Promise<void> {
    this.#devices[media] = deviceId;
    const turn = this.#begin(media);
    this.#release(media);
    if (this.#muted[media]) return; // Opened when it is unmuted.
    await this.#openOne(media, turn);
  }

  /** Closes all devices. */
  close(): void {
    for (const media of ['audio', 'video'] as const) {
      this.#begin(media);
      this.#release(media);
    }
  }

  async #openOne(media: MediaKind, turn: number): Promise<void> {
    try {
      const track = await capture(media, this.#devices[media]);
      if (this.#turn[media] !== turn) track.stop();
      else this.#take(media, track);
    } catch (error) {
      if (error instanceof DeviceError && this.#turn[media] === turn) this.#fail(error);
      throw error;
    }
  }

  #take(media: MediaKind, track: MediaStreamTrack): void {
    this.#release(media);
    this.#tracks[media] = track;
    this.#muted[media] = false;
    track.addEventListener('ended', () => {
      // Only a device that goes away ends a track; `stop` does not fire this.
      if (this.#tracks[media] !== track) return;
      this.#tracks[media] = null;
      this.#fail(new DeviceError(media, 'missing', 'ended'));
    });
    this.emit('changed', media);
  }

  #fail(error: DeviceError): void {
    this.#muted[error.media] = true;
    this.emit('changed', error.media);
    this.emit('failed', error);
  }

  #release(media: MediaKind): void {
    this.#tracks[media]?.stop();
    this.#tracks[media] = null;
  }

  /** A later request overtakes one that still waits for the person's permission. */
  #begin(media: MediaKind): number {
    this.#turn[media] += 1;
    return this.#turn[media];
  }
}
