/** The controls of the meeting. Each label says what the button does next. */
import type { ComponentChildren } from 'preact';
import { t } from '../i18n';
import { Icon, type IconName } from '../parts/Icon';
import type { App } from '../state/app';
import type { Meeting } from '../state/meeting';

interface Props {
  readonly app: App;
  readonly meeting: Meeting;
  readonly onSettings: () => void;
}

export function Toolbar({ app, meeting, onSettings }: Props) {
  void app.mediaVersion.value;
  const micOff = app.media.isMuted('audio');
  const cameraOff = app.media.isMuted('video');
  const handUp = meeting.self.value?.raisedHand !== null && meeting.self.value !== null;
  const unread = meeting.unread.value;
  const chatOpen = meeting.chatOpen.value;
  const watching = meeting.watching.value;
  const handLabel = watching ? t(handUp ? 'visitors.askNoMore' : 'visitors.ask') : t(handUp ? 'controls.lowerHand' : 'controls.raiseHand');
  const visitorsOpen = meeting.visitorsOpen.value;
  const asking = meeting.visitors.value.requests.length;
  const managesVisitors = meeting.visitors.value.enabled && meeting.self.value?.moderator === true;
  const chatLabel = t(chatOpen ? 'controls.closeChat' : 'controls.openChat');
  return (
    <nav class="toolbar" aria-label={t('meeting.toolbar')}>
      {!watching && (
        <>
          <Control testid="mic-button" icon={micOff ? 'mic-off' : 'mic'} off={micOff} label={t(micOff ? 'controls.unmute' : 'controls.mute')} run={() => void meeting.toggle('audio')} />
          <Control testid="camera-button" icon={cameraOff ? 'camera-off' : 'camera'} off={cameraOff} label={t(cameraOff ? 'controls.cameraOn' : 'controls.cameraOff')} run={() => void meeting.toggle('video')} />
        </>
      )}
      <Control testid="hand-button" icon="hand" on={handUp} label={handLabel} run={() => meeting.toggleHand()} />
      <Control
        testid="chat-button"
        icon="chat"
        on={chatOpen}
        label={unread > 0 ? `${chatLabel}, ${t('controls.unread', { count: unread })}` : chatLabel}
        run={() => meeting.setChatOpen(!chatOpen)}
      >
        {unread > 0 && <Badge testid="chat-unread" count={unread} />}
      </Control>
      {managesVisitors && (
        <Control
          testid="visitors-button"
          icon="eye"
          on={visitorsOpen}
          label={asking > 0 ? `${t('visitors.title')}, ${t('visitors.asking', { count: asking })}` : t('visitors.title')}
          run={() => meeting.setVisitorsOpen(!visitorsOpen)}
        >
          {asking > 0 && <Badge testid="visitors-asking" count={asking} />}
        </Control>
      )}
      <Control testid="settings-button" icon="settings" label={t('controls.settings')} run={onSettings} />
      <Control testid="hangup-button" icon="hangup" danger label={t('controls.hangup')} run={() => app.leave()} />
    </nav>
  );
}

function Badge({ testid, count }: { testid: string; count: number }) {
  return (
    <span class="badge" data-testid={testid} aria-hidden="true">
      {count > 99 ? '99+' : count}
    </span>
  );
}

interface ControlProps {
  readonly testid: string;
  readonly icon: IconName;
  readonly label: string;
  readonly run: () => void;
  readonly off?: boolean;
  readonly on?: boolean;
  readonly danger?: boolean;
  readonly children?: ComponentChildren;
}

function Control({ testid, icon, label, run, off, on, danger, children }: ControlProps) {
  return (
    <button type="button" class="round-button" data-testid={testid} data-off={off} data-on={on} data-danger={danger} aria-label={label} title={label} onClick={run}>
      <Icon name={icon} />
      {children}
    </button>
  );
}
