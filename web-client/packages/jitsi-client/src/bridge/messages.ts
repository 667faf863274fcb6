/** Messages of the bridge channel: JSON with a `colibriClass` (protocol/client.md §8). */
import { isRecord, parseJsonObject } from '../xmpp/xml';

export type BridgeMessage =
  | { readonly kind: 'hello'; readonly version: string }
  | { readonly kind: 'forwarded-sources'; readonly sources: readonly string[] }
  | { readonly kind: 'dominant-speaker'; readonly endpoint: string; readonly previous: readonly string[]; readonly silence: boolean }
  | { readonly kind: 'endpoint-message'; readonly from: string; readonly payload: Readonly<Record<string, unknown>> }
  | { readonly kind: 'sender-constraints'; readonly source: string; readonly maxHeight: number }
  | { readonly kind: 'connection-stats'; readonly downlinkBps: number }
  /** A class this client has no use for. */
  | { readonly kind: 'other'; readonly colibriClass: string };

/** Characters of one message; the data channel allows no more either. */
export const MAX_MESSAGE_LENGTH = 262_144;

/** Reads one message; `null` when it is not JSON, has no class, or lacks what its class needs. */
export function parseBridgeMessage(text: string): BridgeMessage | null {
  if (text.length > MAX_MESSAGE_LENGTH) return null;
  const json = parseJsonObject(text);
  const colibriClass = json?.['colibriClass'];
  if (json === null || typeof colibriClass !== 'string') return null;
  switch (colibriClass) {
    case 'ServerHello':
      return { kind: 'hello', version: string(json['version']) ?? '' };
    case 'ForwardedSources': {
      const sources = json['forwardedSources'];
      return Array.isArray(sources) ? { kind: 'forwarded-sources', sources: strings(sources) } : null;
    }
    case 'DominantSpeakerEndpointChangeEvent': {
      const endpoint = string(json['dominantSpeakerEndpoint']);
      if (endpoint === null) return null;
      const previous = json['previousSpeakers'];
      return { kind: 'dominant-speaker', endpoint, previous: Array.isArray(previous) ? strings(previous) : [], silence: json['silence'] === true };
    }
    case 'EndpointMessage': {
      const from = string(json['from']);
      const payload = json['msgPayload'];
      return from !== null && isRecord(payload) ? { kind: 'endpoint-message', from, payload } : null;
    }
    case 'SenderSourceConstraints': {
      const source = string(json['sourceName']);
      const maxHeight = json['maxHeight'];
      if (source === null || typeof maxHeight !== 'number' || !Number.isFinite(maxHeight)) return null;
      return { kind: 'sender-constraints', source, maxHeight: Math.max(0, maxHeight) };
    }
    case 'ConnectionStats': {
      const bps = json['estimatedDownlinkBandwidth'];
      return typeof bps === 'number' && Number.isFinite(bps) ? { kind: 'connection-stats', downlinkBps: bps } : null;
    }
    default:
      return { kind: 'other', colibriClass };
  }
}

/** What this client wants to receive; replaces what it said before. */
export interface ReceiverConstraints {
  /** -1 = all. */
  readonly lastN: number;
  /** Source names whose quality matters most. */
  readonly onStage: readonly string[];
  /** Source names to be preferred over the speaker order. */
  readonly selected: readonly string[];
  readonly defaultMaxHeight: number;
  readonly maxHeights: ReadonlyMap<string, number>;
}

export function receiverConstraintsMessage(wanted: ReceiverConstraints): string {
  return JSON.stringify({
    colibriClass: 'ReceiverVideoConstraints',
    lastN: wanted.lastN,
    selectedSources: wanted.selected,
    onStageSources: wanted.onStage,
    defaultConstraints: { maxHeight: wanted.defaultMaxHeight },
    constraints: Object.fromEntries(Array.from(wanted.maxHeights, ([name, maxHeight]) => [name, { maxHeight }])),
    assumedBandwidthBps: -1,
  });
}

export function videoTypeMessage(sourceName: string, videoType: 'camera' | 'desktop' | 'none'): string {
  return JSON.stringify({ colibriClass: 'SourceVideoTypeMessage', sourceName, videoType });
}

/** `to` empty: everybody else. */
export function endpointMessage(to: string, msgPayload: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ colibriClass: 'EndpointMessage', to, msgPayload });
}

function string(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function strings(list: readonly unknown[]): string[] {
  return list.filter((item): item is string => typeof item === 'string');
}
