/**
 * One meeting as signals: what `Conference` tells, and what the person did on this page (chat read, sound allowed).
 *
 * Here: translating events into signals and announcements. Not here: any element.
 */
import { Conference, type ChatMessage, type ClientConfig, type ConferenceState, type LocalMedia, type MediaKind, type Participant, type VisitorsState } from '@teranga/jitsi-client';
import { computed, signal, type Signal } from '@preact/signals';
import { t } from '../i18n';
import { load, machineUid, save } from './store';

/** A line of the chat panel. */
export interface ChatLine {
  readonly key: number;
  readonly message: ChatMessage;
  readonly name: string;
  readonly mine: boolean;
  /** Receiver of an own private message. */
  readonly to: string | null;
}

/** Lines kept in the page. */
const MAX_LINES = 500;
/** Joins and leaves are spoken together, at most once in this time. */
const ANNOUNCE_EVERY_MS = 3_000;

export class Meeting {
  readonly state = signal<ConferenceState>({ name: 'new' });
  readonly participants = signal<readonly Participant[]>([]);
  readonly speaker = signal<string | null>(null);
  readonly subject = signal('');
  readonly lines = signal<readonly ChatLine[]>([]);
  readonly unread = signal(0);
  readonly chatOpen = signal(false);
  readonly visitorsOpen = signal(false);
  /** We only watch. */
  readonly watching = signal(false);
  readonly visitors: Signal<VisitorsState>;
  /** Said politely by screen readers. */
  readonly polite = signal('');
  /** Said at once. */
  readonly urgent = signal('');
  /** Shown for a moment; `null` when there is none. */
  readonly toast = signal<string | null>(null);
  readonly bridgeAvailable = signal(true);
  /** The browser wants a click before it plays sound. */
  readonly soundBlocked = signal(false);
  /** Those who are seen and heard. */
  readonly shown = computed(() => this.participants.value.filter((participant) => !participant.local || !this.watching.value));
  readonly self = computed(() => this.participants.value.find((participant) => participant.local) ?? null);
  readonly conference: Conference;
  readonly #liveRooms: boolean;
  readonly #media: LocalMedia;
  #lineKey = 0;
  #known: ReadonlyMap<string, Participant> | null = null;
  #news: string[] = [];
  #newsTimer: ReturnType<typeof setTimeout> | null = null;
  #toastTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(config: ClientConfig, room: string, displayName: string, media: LocalMedia) {
    this.#media = media;
    this.#liveRooms = config.liveRooms;
    this.conference = new Conference({ config, room, displayName, machineUid: machineUid(), sessionId: load('sessionId'), media });
    this.conference.on('sessionId', (id) => save('sessionId', id));
    this.conference.on('state', (state) => this.#onState(state));
    this.conference.on('participants', (participants) => this.#onParticipants(participants));
    this.conference.on('speaker', (id) => (this.speaker.value = id));
    this.visitors = signal(this.conference.visitors);
    this.conference.on('visitors', (state) => this.#onVisitors(state));
    this.conference.on('watching', (watching) => this.#onWatching(watching));
    this.conference.on('promotionRefused', () => this.#tell(t('visitors.refused')));
    this.conference.on('demoted', () => this.#tell(t('visitors.demoted')));
    this.conference.on('bridgeAvailable', (available) => (this.bridgeAvailable.value = available));
    this.conference.on('subject', (subject) => (this.subject.value = subject));
    this.conference.on('chat', (message) => this.#onChat(message));
    this.conference.on('messageRefused', (text) => this.showToast(text || t('chat.refused')));
    this.conference.on('mutedBy', (kind, actor) => {
      this.#tell(t(kind === 'audio' ? 'announce.mutedBy' : 'announce.cameraOffBy', { name: actor || t('announce.moderator') }));
    });
  }

  async toggle(media: MediaKind): Promise<void> {
    const muted = !this.#media.isMuted(media);
    try {
      await this.#media.setMuted(media, muted);
    } catch {
      return; // Told by the device notice.
    }
    if (media === 'audio') this.polite.value = t(muted ? 'announce.micOff' : 'announce.micOn');
    else this.polite.value = t(muted ? 'announce.cameraOff' : 'announce.cameraOn');
  }

  toggleHand(): void {
    this.conference.setRaisedHand(this.self.value?.raisedHand === null);
  }

  setChatOpen(open: boolean): void {
    this.chatOpen.value = open;
    if (!open) return;
    this.unread.value = 0;
    this.visitorsOpen.value = false;
  }

  setVisitorsOpen(open: boolean): void {
    this.visitorsOpen.value = open;
    if (open) this.chatOpen.value = false;
  }

  /** Whether visitors wait for a moderator to say that the meeting is live. */
  get awaitsLive(): boolean {
    const { live } = this.visitors.value;
    return live === false || (live === null && this.#liveRooms);
  }

  /** `to` is an endpoint id, or empty for everybody. */
  send(text: string, to: string): void {
    if (to === '') {
      this.conference.sendChat(text); // The room echoes it.
      return;
    }
    this.conference.sendPrivateChat(to, text);
    const message: ChatMessage = { id: '', from: this.conference.id, senderName: '', text, privately: true, at: Date.now(), history: false };
    this.#addLine({ message, name: this.self.value?.name ?? '', mine: true, to: this.nameOf(to) });
  }

  nameOf(id: string): string {
    return this.participants.value.find((participant) => participant.id === id)?.name || t('meeting.guest');
  }

  showToast(text: string): void {
    this.toast.value = text;
    if (this.#toastTimer !== null) clearTimeout(this.#toastTimer);
    this.#toastTimer = setTimeout(() => (this.toast.value = null), 6_000);
  }

  #tell(text: string): void {
    this.urgent.value = text;
    this.showToast(text);
  }

  #onWatching(watching: boolean): void {
    this.watching.value = watching;
    this.visitorsOpen.value = false;
    this.urgent.value = t(watching ? 'visitors.watching' : 'visitors.promoted');
    if (!watching) this.showToast(t('visitors.promoted'));
  }

  #onVisitors(state: VisitorsState): void {
    const known = new Set(this.visitors.value.requests.map(({ id }) => id));
    this.visitors.value = state;
    for (const { id, name } of state.requests) if (!known.has(id)) this.#announce(t('visitors.asks', { name: name || t('meeting.guest') }));
  }

  #onState(state: ConferenceState): void {
    if (state.name === 'reconnecting') this.urgent.value = t(state.part === 'media' ? 'failure.reconnecting-media.title' : 'failure.reconnecting.title');
    if (state.name === 'joined' && this.state.value.name === 'reconnecting') this.urgent.value = t('announce.reconnected');
    // Who is there when we come in, or come back, is no news.
    if (state.name !== 'joined') this.#known = null;
    this.state.value = state;
  }

  #onParticipants(participants: readonly Participant[]): void {
    this.participants.value = participants;
    if (this.state.value.name !== 'joined') return;
    const now = new Map(participants.filter((participant) => !participant.local).map((participant) => [participant.id, participant]));
    const before = this.#known;
    this.#known = now;
    if (!before) return;
    for (const [id, participant] of now) {
      const name = participant.name || t('meeting.guest');
      if (!before.has(id)) this.#announce(t('announce.joined', { name }));
      else if (participant.raisedHand !== null && before.get(id)?.raisedHand === null) this.#announce(t('announce.handUp', { name }));
    }
    for (const [id, participant] of before) if (!now.has(id)) this.#announce(t('announce.left', { name: participant.name || t('meeting.guest') }));
  }

  #announce(text: string): void {
    this.#news.push(text);
    if (this.#newsTimer !== null) return;
    this.#newsTimer = setTimeout(() => {
      this.#newsTimer = null;
      this.polite.value = this.#news.splice(0).slice(-5).join(' ');
    }, ANNOUNCE_EVERY_MS);
  }

  #onChat(message: ChatMessage): void {
    const mine = message.from === this.conference.id;
    const name = message.senderName || (message.from === '' ? t('app.name') : this.nameOf(message.from));
    this.#addLine({ message, name: mine ? (this.self.value?.name ?? '') : name, mine, to: null });
    if (mine || message.history || this.chatOpen.value) return;
    this.unread.value += 1;
    this.#announce(t('chat.newFrom', { name }));
  }

  #addLine(line: Omit<ChatLine, 'key'>): void {
    this.#lineKey += 1;
    this.lines.value = [...this.lines.value, { ...line, key: this.#lineKey }].slice(-MAX_LINES);
  }
}
