/** The level of the own microphone, as a bar that moves without rendering anything anew. */
import { useEffect, useRef } from 'preact/hooks';
import { t } from '../i18n';

/** Readings a second; enough to see, little to compute. */
const READINGS_PER_S = 15;

export function LevelBar({ track }: { track: MediaStreamTrack | null }) {
  const bar = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!track || typeof AudioContext !== 'function') return;
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 512;
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    // A page that was not clicked yet gets a suspended context.
    const wake = (): void => void context.resume();
    addEventListener('pointerdown', wake);
    addEventListener('keydown', wake);
    const samples = new Uint8Array(analyser.fftSize);
    const timer = setInterval(() => {
      analyser.getByteTimeDomainData(samples);
      const sum = samples.reduce((total, sample) => total + (sample - 128) ** 2, 0);
      const rms = Math.sqrt(sum / samples.length) / 128;
      const level = Math.min(1, Math.max(0, (20 * Math.log10(rms + 1e-5) + 60) / 55));
      bar.current?.style.setProperty('--level', level.toFixed(2));
      bar.current?.setAttribute('aria-valuenow', String(Math.round(level * 100)));
    }, 1000 / READINGS_PER_S);
    return () => {
      clearInterval(timer);
      removeEventListener('pointerdown', wake);
      removeEventListener('keydown', wake);
      void context.close();
    };
  }, [track]);
  return (
    <div ref={bar} class="level" role="meter" aria-label={t('prejoin.level')} aria-valuemin={0} aria-valuemax={100} aria-valuenow={0}>
      <span />
    </div>
  );
}
