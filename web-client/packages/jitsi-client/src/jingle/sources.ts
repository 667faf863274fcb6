/**
 * Sources in Jingle: XML (XEP-0339 with Jitsi's additions) and the compact JSON (protocol/client.md §7.3), folded into what a receiver
 * needs: one primary SSRC and its RTX for each source name.
 */
import { resourceOf } from '../xmpp/jid';
import { attr, child, children, intAttr, isRecord, parseJsonObject } from '../xmpp/xml';
import type { MediaKind, RemoteSource } from './model';

/** Sources read from one stanza. A bridge session of this size would not fit a browser anyway. */
export const MAX_SOURCES = 1_000;
const MAX_SSRC = 0xffff_ffff;
/** Owner of the bridge's placeholders, which keep the first m-lines alive and carry no media. */
const BRIDGE_OWNER = 'jvb';

interface Entry {
  readonly ssrc: number;
  readonly name: string;
  readonly msid: string;
  readonly owner: string;
  readonly media: MediaKind;
  readonly desktop: boolean;
}

interface Group {
  readonly semantics: string;
  readonly ssrcs: readonly number[];
}

/** All sources of a `<jingle/>`, of either form, without the bridge's placeholders. */
export function parseSources(jingle: Element): RemoteSource[] {
  const entries: Entry[] = [];
  const groups: Group[] = [];
  for (const content of children(jingle, 'content')) readContent(content, entries, groups);
  for (const message of children(jingle, 'json-message')) readJson(message.textContent, entries, groups);
  return fold(entries, groups);
}

function readContent(content: Element, entries: Entry[], groups: Group[]): void {
  const description = child(content, 'description');
  const media = attr(description, 'media') ?? attr(content, 'name');
  if (!description || (media !== 'audio' && media !== 'video')) return;
  for (const source of children(description, 'source')) {
    const ssrc = intAttr(source, 'ssrc', 0, MAX_SSRC);
    const name = attr(source, 'name');
    const owner = ownerId(attr(child(source, 'ssrc-info'), 'owner') ?? '');
    if (ssrc === null || name === null) continue;
    const msid = children(source, 'parameter').find((parameter) => attr(parameter, 'name') === 'msid');
    const videoType = attr(source, 'videoType') ?? '';
    push(entries, { ssrc, name, owner, media, msid: attr(msid, 'value') ?? '', desktop: videoType.startsWith('desktop') });
  }
  for (const group of children(description, 'ssrc-group')) {
    const ssrcs = children(group, 'source').map((source) => intAttr(source, 'ssrc', 0, MAX_SSRC));
    if (ssrcs.every((ssrc) => ssrc !== null)) pushGroup(groups, { semantics: attr(group, 'semantics') ?? '', ssrcs });
  }
}

/** `{"sources":{owner:[video sources, video groups, audio sources, audio groups]}}`. */
function readJson(text: string | null, entries: Entry[], groups: Group[]): void {
  const sources = parseJsonObject(text)?.['sources'];
  if (!isRecord(sources)) return;
  for (const [owner, lists] of Object.entries(sources)) {
    if (!Array.isArray(lists)) continue;
    readJsonSources(lists[0], ownerId(owner), 'video', entries);
    readJsonGroups(lists[1], groups);
    readJsonSources(lists[2], ownerId(owner), 'audio', entries);
    readJsonGroups(lists[3], groups);
  }
}

function readJsonSources(list: unknown, owner: string, media: MediaKind, entries: Entry[]): void {
  for (const item of Array.isArray(list) ? list : []) {
    if (!isRecord(item)) continue;
    const ssrc = toSsrc(item['s']);
    const name = item['n'];
    if (ssrc === null || typeof name !== 'string' || name === '') continue;
    push(entries, { ssrc, name, owner, media, msid: typeof item['m'] === 'string' ? item['m'] : '', desktop: item['v'] === 'd' });
  }
}

function readJsonGroups(list: unknown, groups: Group[]): void {
  for (const item of Array.isArray(list) ? list : []) {
    if (!Array.isArray(item)) continue;
    const ssrcs = item.slice(1).map(toSsrc);
    if (ssrcs.every((ssrc) => ssrc !== null)) pushGroup(groups, { semantics: item[0] === 'f' ? 'FID' : item[0] === 's' ? 'SIM' : '', ssrcs });
  }
}

function toSsrc(value: unknown): number | null {
  const number = typeof value === 'string' && /^\d{1,10}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isInteger(number) && number >= 0 && number <= MAX_SSRC ? number : null;
}

/** The owner is an occupant JID or the bare endpoint id. */
function ownerId(owner: string): string {
  return owner.includes('/') ? resourceOf(owner) : owner;
}

function push(entries: Entry[], entry: Entry): void {
  if (entries.length < MAX_SOURCES && entry.owner !== BRIDGE_OWNER && entry.owner !== '') entries.push(entry);
}

function pushGroup(groups: Group[], group: Group): void {
  if (groups.length < MAX_SOURCES) groups.push(group);
}

function fold(entries: readonly Entry[], groups: readonly Group[]): RemoteSource[] {
  const byName = new Map<string, Entry[]>();
  for (const entry of entries) byName.set(entry.name, [...(byName.get(entry.name) ?? []), entry]);
  const out: RemoteSource[] = [];
  for (const list of byName.values()) {
    const known = new Set(list.map((entry) => entry.ssrc));
    const fid = groups.find((group) => group.semantics === 'FID' && group.ssrcs.length === 2 && group.ssrcs.every((ssrc) => known.has(ssrc)));
    const sim = groups.find((group) => group.semantics === 'SIM' && group.ssrcs.every((ssrc) => known.has(ssrc)));
    const first = list[0];
    if (!first) continue;
    const ssrc = fid?.ssrcs[0] ?? sim?.ssrcs[0] ?? first.ssrc;
    out.push({ name: first.name, owner: first.owner, media: first.media, ssrc, rtx: fid?.ssrcs[1] ?? null, msid: first.msid, desktop: first.desktop });
  }
  return out;
}
