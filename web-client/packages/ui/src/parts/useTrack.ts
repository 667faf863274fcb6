/** Puts a track into a media element that lives as long as its component; a new track never makes a new element. */
import { useEffect, useRef } from 'preact/hooks';
import type { RefObject } from 'preact';

export function useTrack<T extends HTMLMediaElement>(track: MediaStreamTrack | null, onBlocked?: () => void): RefObject<T | null> {
  const ref = useRef<T>(null);
  const blocked = useRef(onBlocked);
  blocked.current = onBlocked;
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    element.srcObject = track ? new MediaStream([track]) : null;
    if (!track) return;
    element.play().catch((error: unknown) => {
      // Without a click on the page the browser may refuse sound. An AbortError means that a newer track came.
      if (error instanceof DOMException && error.name === 'NotAllowedError') blocked.current?.();
    });
  }, [track]);
  return ref;
}
