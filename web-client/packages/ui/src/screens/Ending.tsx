/** After the meeting: left by choice, or why not. */
import { t } from '../i18n';
import { ScreenTitle } from '../parts/ScreenTitle';
import type { App } from '../state/app';
import type { NoticeCode } from '../state/notices';

export function Left({ app }: { app: App }) {
  return (
    <main class="page">
      <section class="card" data-testid="left-screen">
        <ScreenTitle>{t('left.title')}</ScreenTitle>
        <p>{t('left.text')}</p>
        <div class="actions">
          <button type="button" class="button primary" data-testid="rejoin-button" onClick={() => void app.rejoin()}>
            {t('left.rejoin')}
          </button>
          <button type="button" class="button" onClick={() => app.goHome()}>
            {t('left.home')}
          </button>
        </div>
      </section>
    </main>
  );
}

interface FailureProps {
  readonly app: App;
  readonly code: NoticeCode;
  readonly text: string;
  readonly actor: string;
  readonly at: number | null;
}

export function FailureScreen({ app, code, text, actor, at }: FailureProps) {
  return (
    <main class="page">
      <section class="card" data-testid="failure" data-code={code} role="alert">
        <ScreenTitle>{t(`failure.${code}.title`)}</ScreenTitle>
        {actor !== '' && <p>{t('failure.by', { name: actor })}</p>}
        {at !== null && <p data-testid="failure-time">{timeOf(at)}</p>}
        {text !== '' && <p class="said">{t('failure.said', { text })}</p>}
        <p>{t(`failure.${code}.step`)}</p>
        <NextStep app={app} code={code} />
      </section>
    </main>
  );
}

/** A time as people write it here. */
function timeOf(at: number): string {
  return new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: 'full', timeStyle: 'short' }).format(at);
}

function NextStep({ app, code }: { app: App; code: NoticeCode }) {
  switch (code) {
    case 'browser-unsupported':
      return null;
    case 'bad-config':
    case 'media-failed':
      return <Step label={t('action.reload')} run={() => location.reload()} />;
    case 'kicked':
    case 'lobby-denied':
    case 'not-authorized':
    case 'too-late':
    case 'password-required':
      return <Step label={t('action.home')} run={() => app.goHome()} />;
    case 'connection-lost':
    case 'destroyed':
      return <Step label={t('action.rejoin')} run={() => void app.rejoin()} rejoin />;
    case 'name-required':
      return <Step label={t('action.retry')} run={() => void app.toPrejoin()} />;
    default:
      return <Step label={t('action.retry')} run={() => void app.rejoin()} rejoin />;
  }
}

function Step({ label, run, rejoin }: { label: string; run: () => void; rejoin?: boolean }) {
  return (
    <div class="actions">
      <button type="button" class="button primary" data-testid={rejoin ? 'rejoin-button' : undefined} onClick={run}>
        {label}
      </button>
    </div>
  );
}
