/** Choice of microphone and camera. */
import { listInputs, type DeviceChoice, type MediaKind } from '@teranga/jitsi-client';
import { useEffect, useState } from 'preact/hooks';
import { t } from '../i18n';
import type { App } from '../state/app';

export function DeviceSelects({ app }: { app: App }) {
  return (
    <div class="device-selects">
      <DeviceSelect app={app} media="audio" />
      <DeviceSelect app={app} media="video" />
    </div>
  );
}

function DeviceSelect({ app, media }: { app: App; media: MediaKind }) {
  const [choices, setChoices] = useState<readonly DeviceChoice[]>([]);
  const version = app.mediaVersion.value; // Labels come with the permission.
  useEffect(() => {
    let alive = true;
    const refresh = (): void => {
      void listInputs(media).then((list) => alive && setChoices(list));
    };
    refresh();
    navigator.mediaDevices?.addEventListener?.('devicechange', refresh);
    return () => {
      alive = false;
      navigator.mediaDevices?.removeEventListener?.('devicechange', refresh);
    };
  }, [media, version]);

  const current = app.media.device(media) ?? '';
  const known = choices.some((choice) => choice.id === current);
  const unnamed = media === 'audio' ? 'devices.unnamedMicrophone' : 'devices.unnamedCamera';
  return (
    <label class="field">
      <span>{t(media === 'audio' ? 'devices.microphone' : 'devices.camera')}</span>
      <select value={known ? current : ''} onChange={(event) => void app.selectDevice(media, event.currentTarget.value || null)}>
        <option value="">{t('devices.default')}</option>
        {choices.map((choice, at) => (
          <option key={choice.id} value={choice.id}>
            {choice.label || t(unnamed, { number: at + 1 })}
          </option>
        ))}
      </select>
    </label>
  );
}
