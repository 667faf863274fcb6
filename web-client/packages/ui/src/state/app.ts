/** Which screen the page shows, and what leads from one to the next. */
import { ConfigError, LocalMedia, readConfig, readHash, roomNameFromPath, withOverrides, cleanName, type ClientConfig, type Failure, type MediaKind } from '@teranga/jitsi-client';
import { batch, computed, signal } from '@preact/signals';
import { Meeting } from './meeting';
import { deviceNotice, withDeviceError, type DeviceErrors, type NoticeCode } from './notices';
import { load, save } from './store';

export type Screen =
  | { readonly name: 'welcome' }
  | { readonly name: 'prejoin' }
  /** Held up on the way in. */
  | { readonly name: 'gate'; readonly meeting: Meeting }
  | { readonly name: 'meeting'; readonly meeting: Meeting }
  | { readonly name: 'left' }
  | { readonly name: 'failure'; readonly code: NoticeCode; readonly text: string; readonly actor: string; readonly at: number | null };

export class App {
  readonly room: string;
  readonly screen = signal<Screen>({ name: 'welcome' });
  readonly displayName = signal('');
  readonly media = new LocalMedia();
  /** Grows with each change of the own media; read it to depend on `media`. */
  readonly mediaVersion = signal(0);
  readonly deviceErrors = signal<DeviceErrors>({});
  readonly notice = computed(() => deviceNotice(this.deviceErrors.value));
  readonly noticeHidden = signal<NoticeCode | null>(null);
  readonly shortcuts = signal(load('shortcuts') !== 'off');
  /** The way in takes its time. */
  readonly joining = signal(false);
  readonly #config: ClientConfig | null;
  #meeting: Meeting | null = null;
  /** Mute state when the last meeting ended; a rejoin must not open a muted microphone. */
  #mutedBefore: Record<MediaKind, boolean> | null = null;

  constructor(rawConfig: unknown, page: URL) {
    this.room = roomNameFromPath(page.pathname);
    const hash = readHash(page.hash);
    this.displayName.value = cleanName(hash.displayName ?? load('name') ?? '');
    this.media.on('changed', (media) => this.#onMedia(media));
    this.media.on('failed', (error) => {
      this.noticeHidden.value = null;
      this.deviceErrors.value = withDeviceError(this.deviceErrors.value, error.media, error);
    });

    let config: ClientConfig | null = null;
    try {
      config = readConfig(withOverrides(rawConfig, hash), page);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
    }
    this.#config = config;
    if (!isSupported()) this.#fail('browser-unsupported');
    else if (config === null) this.#fail('bad-config');
    else if (this.room !== '') void this.#begin(config);
  }

  /** The page that gives out tokens for this room, if there is one. */
  get tokenUrl(): string | null {
    return this.#config?.tokenUrl ?? null;
  }

  /** Leads from the first page to a room. */
  goTo(room: string): void {
    location.assign(`/${encodeURIComponent(room)}${location.search}${location.hash}`);
  }

  goHome(): void {
    location.assign(`/${location.search}`);
  }

  setName(name: string): void {
    this.displayName.value = name; // As typed: a space at the end is on its way to a second word.
    save('name', cleanName(name) || null);
  }

  setShortcuts(on: boolean): void {
    this.shortcuts.value = on;
    save('shortcuts', on ? null : 'off');
  }

  /** Opens the devices again after a failure. */
  async retryDevices(): Promise<void> {
    const failed = Object.keys(this.deviceErrors.value) as MediaKind[];
    this.deviceErrors.value = {};
    for (const media of failed) await this.media.setMuted(media, false).catch(() => undefined); // Shown by the notice again.
  }

  async selectDevice(media: MediaKind, id: string | null): Promise<void> {
    save(media === 'audio' ? 'microphone' : 'camera', id);
    await this.media.select(media, id).catch(() => undefined); // Shown by the notice.
  }

  join(): void {
    if (this.#config === null || this.#meeting !== null) return;
    const meeting = new Meeting(this.#config, this.room, cleanName(this.displayName.value), this.media);
    this.#meeting = meeting;
    meeting.conference.on('state', (state) => {
      if (this.#meeting !== meeting) return;
      if (state.name === 'held') this.screen.value = { name: 'gate', meeting };
      if (state.name === 'joined') this.screen.value = { name: 'meeting', meeting };
      if (state.name === 'ended') this.#onEnded(state.failure);
    });
    // The prejoin screen stays, with a busy button, until the room is entered.
    this.joining.value = true;
    if (this.screen.value.name !== 'prejoin') this.screen.value = { name: 'meeting', meeting };
    meeting.conference.join();
  }

  leave(): void {
    const meeting = this.#meeting;
    void meeting?.conference.leave();
    this.#close();
    this.screen.value = { name: 'left' };
  }

  /** The page goes away: the others should see it at once. */
  leaveNow(): void {
    this.#meeting?.conference.leaveNow();
  }

  /** From the left or a failure screen back in. */
  async rejoin(): Promise<void> {
    if (this.#config === null || this.#meeting !== null) return;
    const devices = this.#openDevices(this.#config);
    this.join();
    await devices;
  }

  /** Back to the name, which the meeting insists on. */
  async toPrejoin(): Promise<void> {
    if (this.#config === null) return;
    this.screen.value = { name: 'prejoin' };
    await this.#openDevices(this.#config);
  }

  async #begin(config: ClientConfig): Promise<void> {
    if (config.prejoin) {
      this.screen.value = { name: 'prejoin' };
      await this.#openDevices(config);
    } else {
      // Devices may take a while, or a question to the person: the room does not wait for them.
      this.join();
      await this.#openDevices(config);
    }
  }

  #openDevices(config: ClientConfig): Promise<void> {
    this.deviceErrors.value = {};
    // Who comes to watch is not asked for a camera.
    if (config.preferVisitor) return Promise.resolve();
    const muted = this.#mutedBefore ?? { audio: config.startWithAudioMuted, video: config.startWithVideoMuted };
    return this.media.open({ audio: load('microphone'), video: load('camera') }, muted);
  }

  #onMedia(media: MediaKind): void {
    batch(() => {
      this.mediaVersion.value += 1;
      if (this.media.track(media)) this.deviceErrors.value = withDeviceError(this.deviceErrors.value, media, null);
    });
  }

  #onEnded(failure: Failure | null): void {
    this.#close();
    if (failure === null) this.screen.value = { name: 'left' };
    else this.#fail(failure.code, failure.text, failure.actor, failure.at);
  }

  #close(): void {
    this.#meeting = null;
    this.joining.value = false;
    this.#mutedBefore = { audio: this.media.isMuted('audio'), video: this.media.isMuted('video') };
    this.media.close();
  }

  #fail(code: NoticeCode, text = '', actor = '', at: number | null = null): void {
    this.screen.value = { name: 'failure', code, text, actor, at };
  }
}

/** Whether this browser has what a meeting takes. */
function isSupported(): boolean {
  return typeof RTCPeerConnection === 'function' && typeof WebSocket === 'function' && 'getTransceivers' in RTCPeerConnection.prototype;
}
