/** Devices and keyboard shortcuts, in a native dialog: focus goes in, Escape closes, focus goes back. */
import { useEffect, useRef } from 'preact/hooks';
import { t, type TextKey } from '../i18n';
import { DeviceSelects } from '../parts/DeviceSelects';
import type { App } from '../state/app';

const SHORTCUTS: readonly (readonly [key: string, text: TextKey])[] = [
  ['M', 'shortcuts.mic'],
  ['V', 'shortcuts.camera'],
  ['C', 'shortcuts.chat'],
  ['R', 'shortcuts.hand'],
  ['?', 'shortcuts.help'],
];

export function SettingsDialog({ app, onClose }: { app: App; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (!dialog.current?.open) dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="settings-title" onClose={onClose}>
      <h2 id="settings-title">{t('devices.title')}</h2>
      <DeviceSelects app={app} />
      <h2>{t('shortcuts.title')}</h2>
      <dl class="shortcuts">
        {SHORTCUTS.map(([key, text]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{t(text)}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input type="checkbox" checked={app.shortcuts.value} onChange={(event) => app.setShortcuts(event.currentTarget.checked)} />
        {t('shortcuts.enabled')}
      </label>
      <form method="dialog">
        <button type="submit" class="button primary">
          {t('controls.close')}
        </button>
      </form>
    </dialog>
  );
}
