/** Who is in the meeting, as the user interface shows it: room, media and bridge put together. A pure function of the three. */
import type { LocalMedia } from '../media/LocalMedia';
import type { RemoteTrack } from '../media/MediaSession';
import type { Occupant } from '../muc/presence';
import { isMuted, sourceName } from '../muc/sourceInfo';

export interface Participant {
  /** Endpoint id. */
  readonly id: string;
  readonly local: boolean;
  /** Empty when the person gave none. */
  readonly name: string;
  readonly moderator: boolean;
  readonly audioMuted: boolean;
  readonly videoMuted: boolean;
  readonly raisedHand: number | null;
  readonly audioTrack: MediaStreamTrack | null;
  /** Camera. */
  readonly videoTrack: MediaStreamTrack | null;
  readonly screenTrack: MediaStreamTrack | null;
  /** Source names of the above; what the receiver constraints speak of. */
  readonly videoSource: string;
  readonly screenSource: string;
  /** The bridge does not send the camera at present. */
  readonly videoSuspended: boolean;
}

/** Ourselves. */
export function localParticipant(id: string, name: string, moderator: boolean, raisedHand: number | null, media: LocalMedia): Participant {
  return {
    id,
    local: true,
    name,
    moderator,
    audioMuted: media.isMuted('audio'),
    videoMuted: media.isMuted('video'),
    raisedHand,
    audioTrack: null,
    videoTrack: media.sendable('video'),
    screenTrack: null,
    videoSource: id === '' ? '' : sourceName(id, 'video'),
    screenSource: '',
    videoSuspended: false,
  };
}

/** A remote participant. `forwarded`: names the bridge sends, `null` until it said so. */
export function remoteParticipant(occupant: Occupant, tracks: ReadonlyMap<string, RemoteTrack>, forwarded: ReadonlySet<string> | null): Participant {
  let audioTrack: MediaStreamTrack | null = null;
  let videoTrack: MediaStreamTrack | null = null;
  let screenTrack: MediaStreamTrack | null = null;
  let videoSource = sourceName(occupant.id, 'video');
  let screenSource = '';
  for (const { source, track } of tracks.values()) {
    if (source.owner !== occupant.id) continue;
    if (source.media === 'audio') {
      audioTrack ??= track;
    } else if (source.desktop || occupant.sources.get(source.name)?.desktop) {
      if (occupant.sources.get(source.name)?.muted !== false) continue;
      screenTrack = track;
      screenSource = source.name;
    } else {
      videoTrack = track;
      videoSource = source.name;
    }
  }
  return {
    id: occupant.id,
    local: false,
    name: occupant.displayName,
    moderator: occupant.moderator,
    audioMuted: isMuted(occupant.sources, occupant.id, 'audio'),
    videoMuted: occupant.sources.get(videoSource)?.muted !== false,
    raisedHand: occupant.raisedHand,
    audioTrack,
    videoTrack,
    screenTrack,
    videoSource,
    screenSource,
    videoSuspended: forwarded !== null && !forwarded.has(videoSource),
  };
}
