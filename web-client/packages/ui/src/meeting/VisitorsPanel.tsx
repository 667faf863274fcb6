/** What a moderator sees of those who only watch: how many, who asks to take part, and whether they may come in. */
import { t } from '../i18n';
import { PanelHeader } from '../parts/PanelHeader';
import type { Meeting } from '../state/meeting';

export function VisitorsPanel({ meeting }: { meeting: Meeting }) {
  const { count, requests } = meeting.visitors.value;
  const answer = (ids: readonly string[], approved: boolean): void => meeting.conference.answerVisitors(ids, approved);
  const all = requests.map(({ id }) => id);
  return (
    <aside class="visitors" aria-label={t('visitors.title')} data-testid="visitors-panel">
      <PanelHeader title={t('visitors.title')} closeLabel={t('visitors.close')} onClose={() => meeting.setVisitorsOpen(false)} />
      <div class="visitors-body">
        <p data-testid="visitors-watching">{t('visitors.count', { count })}</p>
        {meeting.awaitsLive && (
          <>
            <p class="hint">{t('visitors.notLive')}</p>
            <button type="button" class="button primary" data-testid="go-live" onClick={() => meeting.conference.goLive()}>
              {t('visitors.goLive')}
            </button>
          </>
        )}
        {requests.length === 0 && <p class="hint">{t('visitors.nobodyAsks')}</p>}
        <ol>
          {requests.map(({ id, name }) => (
            <li key={id} data-testid="visitor-request" data-name={name}>
              <span>{name || t('meeting.guest')}</span>
              <span class="actions">
                <button type="button" class="button primary" data-testid="visitor-accept" onClick={() => answer([id], true)}>
                  {t('visitors.accept')}
                </button>
                <button type="button" class="button" data-testid="visitor-deny" onClick={() => answer([id], false)}>
                  {t('visitors.deny')}
                </button>
              </span>
            </li>
          ))}
        </ol>
        {requests.length > 1 && (
          <div class="actions">
            <button type="button" class="button" data-testid="visitor-accept-all" onClick={() => answer(all, true)}>
              {t('visitors.acceptAll')}
            </button>
            <button type="button" class="button" data-testid="visitor-deny-all" onClick={() => answer(all, false)}>
              {t('visitors.denyAll')}
            </button>
          </div>
        )}
      </div>
    </aside>
  );
}
