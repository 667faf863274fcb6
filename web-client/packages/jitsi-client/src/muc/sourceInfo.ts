/** Mute state and kind of each source, as JSON in presence (protocol/client.md §5.3): the only mute signal among participants. */
import { isRecord, parseJsonObject } from '../xmpp/xml';

export interface SourceState {
  readonly muted: boolean;
  /** Screen share rather than camera. */
  readonly desktop: boolean;
}

/** Sources of one participant; more is not a client of ours nor of anybody's. */
const MAX_SOURCES = 20;

/** Name of a source: `abcd1234-v0`. */
export function sourceName(endpoint: string, media: 'audio' | 'video', index = 0): string {
  return `${endpoint}-${media === 'audio' ? 'a' : 'v'}${index}`;
}

/** Parses the text of `<SourceInfo/>`; entries that do not belong to `endpoint` are ignored. */
export function parseSourceInfo(text: string | null, endpoint: string): ReadonlyMap<string, SourceState> {
  const out = new Map<string, SourceState>();
  for (const [name, value] of Object.entries(parseJsonObject(text) ?? {})) {
    if (!name.startsWith(`${endpoint}-`) || !isRecord(value)) continue;
    out.set(name, { muted: value['muted'] === true, desktop: value['videoType'] === 'desktop' });
    if (out.size === MAX_SOURCES) break;
  }
  return out;
}

export function formatSourceInfo(sources: ReadonlyMap<string, SourceState>): string {
  return JSON.stringify(
    Object.fromEntries(Array.from(sources, ([name, state]) => [name, { muted: state.muted, ...(state.desktop ? { videoType: 'desktop' } : {}) }])),
  );
}

/** Whether everything of this kind is muted; a source without entry counts as muted. */
export function isMuted(sources: ReadonlyMap<string, SourceState>, endpoint: string, media: 'audio' | 'video'): boolean {
  const prefix = `${endpoint}-${media === 'audio' ? 'a' : 'v'}`;
  return ![...sources].some(([name, state]) => name.startsWith(prefix) && !state.muted);
}
