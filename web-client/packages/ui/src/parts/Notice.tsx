/** A failure beside the work: what happened, and one next step. */
import { t } from '../i18n';
import type { NoticeCode } from '../state/notices';
import { Icon } from './Icon';

interface Props {
  readonly code: NoticeCode;
  readonly action?: { readonly label: string; readonly run: () => void };
  readonly onDismiss?: () => void;
}

export function Notice({ code, action, onDismiss }: Props) {
  return (
    <div class="notice" data-testid="failure" data-code={code} role="alert">
      <p>
        <strong>{t(`failure.${code}.title`)}</strong> {t(`failure.${code}.step`)}
      </p>
      {action && (
        <button type="button" class="button" onClick={action.run}>
          {action.label}
        </button>
      )}
      {onDismiss && (
        <button type="button" class="icon-button" aria-label={t('controls.dismiss')} title={t('controls.dismiss')} onClick={onDismiss}>
          <Icon name="close" />
        </button>
      )}
    </div>
  );
}
