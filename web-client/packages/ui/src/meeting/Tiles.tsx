/** The grid of tiles, and what it asks of the bridge: each video as large as its tile, none that is out of sight. */
import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { t } from '../i18n';
import type { Meeting } from '../state/meeting';
import { bestColumns, startOf, usefulHeight } from './grid';
import { ScreenTile, Tile } from './Tile';

/** Layout changes are told to the bridge together. */
const TELL_AFTER_MS = 150;

export function Tiles({ meeting }: { meeting: Meeting }) {
  const participants = meeting.shown.value;
  const speaker = meeting.speaker.value;
  const screens = participants.filter((participant) => participant.screenTrack !== null);
  const count = participants.length + screens.length;
  const area = useRef<HTMLUListElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const sight = useSight();

  useEffect(() => {
    const element = area.current;
    if (!element || typeof ResizeObserver !== 'function') return;
    const observer = new ResizeObserver(() => setSize({ width: element.clientWidth, height: element.clientHeight }));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const { columns, tileHeight } = useMemo(() => bestColumns(count, size.width, size.height), [count, size]);
  const useful = usefulHeight(tileHeight * (globalThis.devicePixelRatio || 1));
  const inSight = sight.visible;
  const names = participants.flatMap((participant) => (participant.local ? [] : [participant.videoSource, participant.screenSource]));
  const wanted = names.filter(Boolean).map((name) => `${name} ${inSight.get(name) === false ? 0 : useful}`);
  const wantedKey = wanted.join('\n');
  const stageKey = screens.map((participant) => participant.screenSource).join('\n');
  useEffect(() => {
    const timer = setTimeout(() => {
      const heights = new Map(wantedKey.split('\n').filter(Boolean).map((line) => [line.split(' ')[0] ?? '', Number(line.split(' ')[1])]));
      meeting.conference.setLayout(heights, stageKey.split('\n').filter(Boolean), 180);
    }, TELL_AFTER_MS);
    return () => clearTimeout(timer);
  }, [meeting, wantedKey, stageKey]);

  const onSoundBlocked = useCallback(() => (meeting.soundBlocked.value = true), [meeting]);
  return (
    <ul ref={area} class="tiles" aria-label={t('meeting.videos')} style={{ '--tracks': String(columns * 2) }}>
      {screens.map((participant, at) => (
        <ScreenTile key={`${participant.id} screen`} participant={participant} start={startOf(at, count, columns)} watch={sight.watch} />
      ))}
      {participants.map((participant, at) => (
        <Tile
          key={participant.local ? 'local' : participant.id}
          participant={participant}
          start={startOf(screens.length + at, count, columns)}
          speaking={speaker !== null && participant.id === speaker && !participant.audioMuted}
          onSoundBlocked={onSoundBlocked}
          watch={sight.watch}
        />
      ))}
    </ul>
  );
}

/** Follows which tiles are in sight, by the name of their video source. */
function useSight(): { visible: ReadonlyMap<string, boolean>; watch: (element: Element, key: string) => () => void } {
  const [visible, setVisible] = useState<ReadonlyMap<string, boolean>>(new Map());
  const keys = useRef(new Map<Element, string>());
  const observer = useRef<IntersectionObserver | null>(null);
  if (observer.current === null && typeof IntersectionObserver === 'function') {
    observer.current = new IntersectionObserver((entries) => {
      setVisible((before) => {
        const after = new Map(before);
        for (const entry of entries) {
          const key = keys.current.get(entry.target);
          if (key !== undefined) after.set(key, entry.isIntersecting);
        }
        return after;
      });
    });
  }
  useEffect(() => () => observer.current?.disconnect(), []);
  const watch = useCallback((element: Element, key: string) => {
    keys.current.set(element, key);
    observer.current?.observe(element);
    return () => {
      keys.current.delete(element);
      observer.current?.unobserve(element);
      setVisible((before) => {
        const after = new Map(before);
        after.delete(key);
        return after;
      });
    };
  }, []);
  return { visible, watch };
}
