/**
 * One participant. The video element lives as long as the participant: muting, speaking and moving change attributes and CSS, never
 * the element.
 */
import type { Participant } from '@teranga/jitsi-client';
import { useEffect, useRef } from 'preact/hooks';
import { t } from '../i18n';
import { Icon } from '../parts/Icon';
import { useTrack } from '../parts/useTrack';

interface Props {
  readonly participant: Participant;
  /** First track of the grid, `null` to follow the tile before. */
  readonly start: number | null;
  readonly speaking: boolean;
  readonly onSoundBlocked: () => void;
  /** Tells whether the tile is in sight. */
  readonly watch: (element: Element, key: string) => () => void;
}

export function Tile({ participant, start, speaking, onSoundBlocked, watch }: Props) {
  const { id, local, audioMuted, videoMuted } = participant;
  const tile = useRef<HTMLLIElement>(null);
  const video = useTrack<HTMLVideoElement>(participant.videoTrack);
  const name = participant.name || t('meeting.guest');
  const shown = participant.videoTrack !== null && !videoMuted && !participant.videoSuspended;
  useEffect(() => (tile.current ? watch(tile.current, participant.videoSource) : undefined), [participant.videoSource, watch]);

  const spoken = [
    local ? `${name} (${t('meeting.you')})` : name,
    participant.moderator ? t('tile.moderator') : '',
    t(audioMuted ? 'tile.micOff' : 'tile.micOn'),
    t(videoMuted ? 'tile.cameraOff' : 'tile.cameraOn'),
    speaking ? t('tile.speaking') : '',
    participant.raisedHand === null ? '' : t('tile.handUp'),
  ].filter(Boolean);

  return (
    <li
      ref={tile}
      class="tile"
      style={{ '--start': start === null ? 'auto' : String(start) }}
      data-testid="tile"
      data-endpoint-id={id}
      data-local={local}
      data-audio-muted={audioMuted}
      data-video-muted={videoMuted}
      data-name={participant.name}
      data-speaking={speaking}
      aria-label={spoken.join(', ')}
    >
      <video ref={video} muted playsInline autoPlay class={local ? 'mirrored' : ''} data-shown={shown} aria-hidden="true" />
      {!shown && (
        <span class="avatar" style={{ '--hue': hueOf(id) }} aria-hidden="true">
          {initials(name)}
        </span>
      )}
      {!local && <TileAudio track={participant.audioTrack} onBlocked={onSoundBlocked} />}
      <span class="tile-label" aria-hidden="true">
        {audioMuted && <Icon name="mic-off" />}
        {videoMuted && <Icon name="camera-off" />}
        <span class="tile-name">{local ? `${name} (${t('meeting.you')})` : name}</span>
      </span>
      {participant.raisedHand !== null && (
        <span class="tile-hand" aria-hidden="true">
          <Icon name="hand" />
        </span>
      )}
    </li>
  );
}

function TileAudio({ track, onBlocked }: { track: MediaStreamTrack | null; onBlocked: () => void }) {
  const audio = useTrack<HTMLAudioElement>(track, onBlocked);
  return <audio ref={audio} data-testid="tile-audio" autoPlay />;
}

/** The screen of a participant who shares it. */
export function ScreenTile({ participant, start, watch }: Pick<Props, 'participant' | 'start' | 'watch'>) {
  const tile = useRef<HTMLLIElement>(null);
  const video = useTrack<HTMLVideoElement>(participant.screenTrack);
  const label = t('meeting.screenOf', { name: participant.name || t('meeting.guest') });
  useEffect(() => (tile.current ? watch(tile.current, participant.screenSource) : undefined), [participant.screenSource, watch]);
  return (
    <li ref={tile} class="tile screen" style={{ '--start': start === null ? 'auto' : String(start) }} data-testid="screen-tile" data-endpoint-id={participant.id} aria-label={label}>
      <video ref={video} muted playsInline autoPlay data-shown aria-hidden="true" />
      <span class="tile-label" aria-hidden="true">
        <span class="tile-name">{label}</span>
      </span>
    </li>
  );
}

/** First letters of the first and the last word. */
export function initials(name: string): string {
  const words = name.split(/\s+/).filter(Boolean);
  const letters = [words[0], words.length > 1 ? words.at(-1) : undefined].map((word) => (word ? Array.from(word)[0] : ''));
  return letters.join('').toLocaleUpperCase();
}

/** A colour that stays with the participant. */
function hueOf(id: string): string {
  const sum = Array.from(id).reduce((total, letter) => (total * 31 + (letter.codePointAt(0) ?? 0)) % 360, 7);
  return String(sum);
}
