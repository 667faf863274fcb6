/**
 * Visitors of a large meeting, who watch in rooms of their own (protocol/client.md §6.11): what participants hear of them, how
 * moderators answer, and what a visitor is told.
 *
 * Here: reading and writing, and what is known. Not here: going from one room to another (`Conference`).
 */
import { Emitter } from '../events';
import { cleanName } from '../muc/presence';
import { NS } from '../xmpp/ns';
import { attr, child, isRecord, x, type XmlNode } from '../xmpp/xml';
import type { ComponentMessage } from './components';

/** A visitor who asks to take part. */
export interface PromotionRequest {
  /** Full JID. */
  readonly id: string;
  /** Empty when the person gave none. */
  readonly name: string;
}

export interface VisitorsState {
  /** Whether there can be any. */
  readonly enabled: boolean;
  /** How many watch, as told now and then. */
  readonly count: number;
  /** Whether they may; `null` until somebody said so or not. */
  readonly live: boolean | null;
  /** Told to moderators, in the order of asking. */
  readonly requests: readonly PromotionRequest[];
}

export type VisitorsEvents = {
  changed: [state: VisitorsState];
  /** A moderator sends us among the visitors. */
  demoted: [];
};

/** Requests that are kept: more than anybody looks through, and as many as our server keeps. */
const MAX_REQUESTS = 1_000;

const NOBODY: VisitorsState = { enabled: false, count: 0, live: null, requests: [] };

/** What is known of the visitors of a meeting. */
export class Visitors extends Emitter<VisitorsEvents> {
  #state = NOBODY;
  /** What all in the room agree on of visitors, and the component that is asked to change it. */
  #metadata: Readonly<Record<string, unknown>> = {};
  #metadataComponent: string | null = null;

  get state(): VisitorsState {
    return this.#state;
  }

  /** Takes what a component says; `id` is the own endpoint id. */
  handleMessage({ from, json }: ComponentMessage, id: string): void {
    if (json['type'] === 'visitors' && json['action'] === 'promotion-request') this.#onRequest(json);
    if (json['type'] === 'visitors' && json['action'] === 'demote-request' && json['id'] === id) this.emit('demoted');
    if (json['type'] !== 'room_metadata' || !isRecord(json['metadata'])) return;
    const visitors = json['metadata']['visitors'];
    this.#metadata = isRecord(visitors) ? visitors : {};
    this.#metadataComponent = from;
    const { live } = this.#metadata;
    this.#set({ live: typeof live === 'boolean' ? live : null });
  }

  /** Takes the properties of the conference, which the focus tells in its presence. */
  handleProperties(properties: ReadonlyMap<string, string>): void {
    const count = Number(properties.get('visitor-count') ?? 0);
    this.#set({ enabled: properties.get('visitors-enabled') === 'true', count: Number.isSafeInteger(count) && count > 0 ? count : 0 });
  }

  /** The request that has visitors come in from now on; `null` before the room told what it agrees on. */
  goLive(room: string): XmlNode | null {
    if (this.#metadataComponent === null) return null;
    const change = JSON.stringify({ key: 'visitors', data: { ...this.#metadata, live: true } });
    return x('message', { xmlns: NS.CLIENT, to: this.#metadataComponent }, x('room_metadata', { xmlns: NS.JITMEET, room }, change));
  }

  /** A moderator's answer to some who ask, who are asked after no more. */
  answer(room: string, ids: readonly string[], approved: boolean): XmlNode {
    this.#set({ requests: this.#state.requests.filter(({ id }) => !ids.includes(id)) });
    const answer = JSON.stringify({ type: 'visitors', action: 'promotion-response', approved, ids });
    return x('message', { xmlns: NS.CLIENT, to: room, type: 'groupchat' }, x('json-message', { xmlns: NS.JITMEET }, answer));
  }

  /** Another room, or the same one anew. */
  reset(): void {
    this.#metadata = {};
    this.#metadataComponent = null;
    this.#set(NOBODY);
  }

  #onRequest(json: Readonly<Record<string, unknown>>): void {
    const { from: id, nick, on } = json;
    if (typeof id !== 'string') return;
    const others = this.#state.requests.filter((request) => request.id !== id);
    const request = { id, name: typeof nick === 'string' ? cleanName(nick) : '' };
    this.#set({ requests: on === true ? [...others, request].slice(-MAX_REQUESTS) : others });
  }

  #set(change: Partial<VisitorsState>): void {
    const next = { ...this.#state, ...change };
    const isSame = next.requests.length === this.#state.requests.length && next.requests.every((request, at) => request === this.#state.requests[at]);
    if (isSame && next.enabled === this.#state.enabled && next.count === this.#state.count && next.live === this.#state.live) return;
    this.#state = next;
    this.emit('changed', next);
  }
}

/** What a moderator answered to our own request: the user name to come back with, `null` for no. */
export interface Promotion {
  readonly username: string | null;
  /** Bare JID of the focus where we go. */
  readonly focusJid: string | null;
}

/** Reads the answer, an IQ of the visitors' room; `null` for another IQ. */
export function readPromotion(iq: Element, room: string): Promotion | null {
  if (attr(iq, 'type') !== 'set' || attr(iq, 'from') !== room) return null;
  const visitors = child(iq, 'visitors', NS.VISITORS);
  const response = child(visitors, 'promotion-response');
  if (!response) return null;
  return { username: attr(response, 'allow') === 'true' ? attr(response, 'username') : null, focusJid: attr(visitors, 'focusjid') };
}
