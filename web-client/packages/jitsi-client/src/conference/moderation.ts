/** What others may do to the own microphone and camera: mute requests through the focus, and the policy at the join. */
import type { MediaKind } from '../jingle/model';
import { NS } from '../xmpp/ns';
import { resourceOf } from '../xmpp/jid';
import { attr, child, isRecord } from '../xmpp/xml';
import type { ComponentMessage } from './components';

export interface MuteRequest {
  readonly media: MediaKind;
  readonly muted: boolean;
  /** Endpoint id of the moderator; empty when the request names none. */
  readonly actor: string;
}

/** Reads a mute request of the focus (protocol/client.md §7.10); `null` for another IQ. */
export function readMuteRequest(iq: Element): MuteRequest | null {
  if (attr(iq, 'type') !== 'set') return null;
  for (const [media, ns] of [['audio', NS.MUTE_AUDIO], ['video', NS.MUTE_VIDEO]] as const) {
    const mute = child(iq, 'mute', ns);
    if (mute) return { media, muted: mute.textContent?.trim() === 'true', actor: resourceOf(attr(mute, 'actor') ?? '') };
  }
  return null;
}

/** Reads the start-muted policy of a room's metadata (§6.7); `null` for another message. */
export function readStartMuted({ json }: ComponentMessage): Readonly<Record<MediaKind, boolean>> | null {
  const metadata = json['type'] === 'room_metadata' ? json['metadata'] : null;
  const policy = isRecord(metadata) ? metadata['startMuted'] : null;
  return isRecord(policy) ? { audio: policy['audio'] === true, video: policy['video'] === true } : null;
}
