/** The meeting: videos, controls, chat, and what is said when something goes wrong. */
import { useEffect, useState } from 'preact/hooks';
import { t } from '../i18n';
import { Icon, type IconName } from '../parts/Icon';
import { Notice } from '../parts/Notice';
import type { App } from '../state/app';
import type { Meeting } from '../state/meeting';
import { ChatPanel } from './ChatPanel';
import { SettingsDialog } from './SettingsDialog';
import { shortcutOf } from './shortcuts';
import { Tiles } from './Tiles';
import { Toolbar } from './Toolbar';
import { VisitorsPanel } from './VisitorsPanel';

export function MeetingScreen({ app, meeting }: { app: App; meeting: Meeting }) {
  const [settings, setSettings] = useState(false);
  useShortcuts(app, meeting, () => setSettings(true));
  const state = meeting.state.value;
  const title = meeting.subject.value || app.room;
  const joined = state.name === 'joined' || state.name === 'reconnecting';
  const watching = meeting.watching.value;
  const visitors = meeting.visitors.value.count;
  const alone = state.name === 'joined' && !watching && meeting.participants.value.length === 1;
  return (
    <div class="meeting" data-panel={meeting.chatOpen.value || meeting.visitorsOpen.value} data-watching={watching}>
      <header class="meeting-header">
        <h1>{title}</h1>
        {joined && <Count icon="people" testid="participant-count" count={meeting.shown.value.length} label={t('meeting.count', { count: meeting.shown.value.length })} />}
        {joined && visitors > 0 && <Count icon="eye" testid="visitor-count" count={visitors} label={t('visitors.count', { count: visitors })} />}
        {!joined && (
          <p class="hint" role="status">
            {t('prejoin.joining')}
          </p>
        )}
      </header>
      <Notices app={app} meeting={meeting} />
      <main class="stage">
        {joined && <Tiles meeting={meeting} />}
        {alone && <Alone meeting={meeting} />}
      </main>
      {meeting.chatOpen.value && <ChatPanel meeting={meeting} />}
      {meeting.visitorsOpen.value && <VisitorsPanel meeting={meeting} />}
      <Toolbar app={app} meeting={meeting} onSettings={() => setSettings(true)} />
      {settings && <SettingsDialog app={app} onClose={() => setSettings(false)} />}
      <p class="visually-hidden" role="status" aria-live="polite">
        {meeting.polite.value}
      </p>
      <p class="visually-hidden" role="alert" aria-live="assertive">
        {meeting.urgent.value}
      </p>
    </div>
  );
}

function Count({ icon, testid, count, label }: { icon: IconName; testid: string; count: number; label: string }) {
  return (
    <p class="count" data-testid={testid} title={label}>
      <Icon name={icon} />
      <span aria-hidden="true">{count}</span>
      <span class="visually-hidden">{label}</span>
    </p>
  );
}

function Notices({ app, meeting }: { app: App; meeting: Meeting }) {
  const state = meeting.state.value;
  const device = app.notice.value;
  const toast = meeting.toast.value;
  return (
    <div class="notices">
      {state.name === 'reconnecting' && <Notice code={state.part === 'media' ? 'reconnecting-media' : 'reconnecting'} />}
      {state.name === 'joined' && !meeting.bridgeAvailable.value && <Notice code="bridge-unavailable" />}
      {state.name === 'joined' && meeting.watching.value && (
        <div class="notice info" data-testid="watching">
          <p>{t((meeting.self.value?.raisedHand ?? null) === null ? 'visitors.watching' : 'visitors.asked')}</p>
        </div>
      )}
      {device && !meeting.watching.value && device !== app.noticeHidden.value && (
        <Notice code={device} action={{ label: t('action.retry'), run: () => void app.retryDevices() }} onDismiss={() => (app.noticeHidden.value = device)} />
      )}
      {meeting.soundBlocked.value && (
        <div class="notice" role="alert">
          <p>{t('meeting.soundBlocked')}</p>
          <button type="button" class="button" onClick={() => startSound(meeting)}>
            {t('meeting.soundOn')}
          </button>
        </div>
      )}
      {toast !== null && (
        <div class="notice info">
          <p>{toast}</p>
        </div>
      )}
    </div>
  );
}

/** Within a click the browser lets all sound start. */
function startSound(meeting: Meeting): void {
  meeting.soundBlocked.value = false;
  for (const audio of document.querySelectorAll('audio')) void audio.play().catch(() => undefined); // One whose sender just left.
}

function Alone({ meeting }: { meeting: Meeting }) {
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(location.origin + location.pathname);
    meeting.showToast(t('meeting.linkCopied'));
  };
  return (
    <div class="alone">
      <p>{t('meeting.alone')}</p>
      {'clipboard' in navigator && (
        <button type="button" class="button" onClick={() => void copy().catch(() => undefined)}>
          <Icon name="link" /> {t('meeting.copyLink')}
        </button>
      )}
    </div>
  );
}

function useShortcuts(app: App, meeting: Meeting, onHelp: () => void): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const action = app.shortcuts.peek() ? shortcutOf(event) : null;
      if (action === null || document.querySelector('dialog[open]')) return;
      event.preventDefault();
      switch (action) {
        case 'mic':
          if (!meeting.watching.peek()) void meeting.toggle('audio');
          break;
        case 'camera':
          if (!meeting.watching.peek()) void meeting.toggle('video');
          break;
        case 'chat':
          meeting.setChatOpen(!meeting.chatOpen.peek());
          break;
        case 'hand':
          meeting.toggleHand();
          break;
        case 'help':
          onHelp();
          break;
      }
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [app, meeting]);
}
