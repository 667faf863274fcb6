/** First page: the name of a meeting. */
import { foldRoomName } from '@teranga/jitsi-client';
import { useState } from 'preact/hooks';
import { chooseLocale, LOCALE_NAMES, LOCALES, t, type Locale } from '../i18n';
import type { App } from '../state/app';

export function Welcome({ app }: { app: App }) {
  const [empty, setEmpty] = useState(false);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    const room = foldRoomName(String(data.get('room') ?? ''));
    setEmpty(room === '');
    if (room !== '') app.goTo(room);
  };
  return (
    <main class="page">
      <form class="card" onSubmit={submit} noValidate>
        <p class="brand">
          {t('app.name')} <span>{t('app.tagline')}</span>
        </p>
        <h1>{t('welcome.title')}</h1>
        <label class="field">
          <span>{t('welcome.room')}</span>
          <input
            name="room"
            data-testid="room-input"
            autoComplete="off"
            autoCapitalize="none"
            spellcheck={false}
            maxLength={120}
            aria-describedby="room-hint"
            aria-invalid={empty}
            autoFocus
          />
        </label>
        <p id="room-hint" class={empty ? 'hint error' : 'hint'} role={empty ? 'alert' : undefined}>
          {t(empty ? 'welcome.roomEmpty' : 'welcome.roomHint')}
        </p>
        <button type="submit" class="button primary" data-testid="room-go">
          {t('welcome.go')}
        </button>
      </form>
      <label class="field inline language">
        <span>{t('welcome.language')}</span>
        <select value={document.documentElement.lang} onChange={(event) => chooseLocale(event.currentTarget.value as Locale)}>
          {LOCALES.map((locale) => (
            <option key={locale} value={locale} lang={locale}>
              {LOCALE_NAMES[locale]}
            </option>
          ))}
        </select>
      </label>
    </main>
  );
}
