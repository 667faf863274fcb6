/** Before the meeting: how one looks and sounds, and under which name. */
import { MAX_NAME_LENGTH, type MediaKind } from '@teranga/jitsi-client';
import { t } from '../i18n';
import { DeviceSelects } from '../parts/DeviceSelects';
import { Icon } from '../parts/Icon';
import { LevelBar } from '../parts/LevelBar';
import { Notice } from '../parts/Notice';
import { useTrack } from '../parts/useTrack';
import type { App } from '../state/app';

export function Prejoin({ app }: { app: App }) {
  // Reading the version makes this component follow the own media.
  void app.mediaVersion.value;
  const { media } = app;
  const video = useTrack<HTMLVideoElement>(media.sendable('video'));
  const notice = app.notice.value;
  const joining = app.joining.value;
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    app.join();
  };
  return (
    <main class="page">
      <form class="card prejoin" onSubmit={submit}>
        <div class="preview">
          <video ref={video} muted playsInline autoPlay class="mirrored" aria-label={t('prejoin.preview')} hidden={media.isMuted('video')} />
          {media.isMuted('video') && <p>{t('prejoin.cameraOff')}</p>}
          <div class="preview-controls">
            <MuteButton app={app} kind="audio" />
            <MuteButton app={app} kind="video" />
          </div>
        </div>
        <div class="prejoin-form">
          <h1>{t('prejoin.title', { room: app.room })}</h1>
          {notice && <Notice code={notice} action={{ label: t('action.retry'), run: () => void app.retryDevices() }} />}
          <label class="field">
            <span>{t('prejoin.name')}</span>
            <input
              data-testid="name-input"
              value={app.displayName.value}
              onInput={(event) => app.setName(event.currentTarget.value)}
              placeholder={t('prejoin.namePlaceholder')}
              autoComplete="name"
              maxLength={MAX_NAME_LENGTH}
            />
          </label>
          <LevelBar track={media.sendable('audio')} />
          <details class="devices">
            <summary>{t('prejoin.devices')}</summary>
            <DeviceSelects app={app} />
          </details>
          <button type="submit" class="button primary" data-testid="join-button" aria-disabled={joining} aria-busy={joining}>
            {t(joining ? 'prejoin.joining' : 'prejoin.join')}
          </button>
        </div>
      </form>
    </main>
  );
}

function MuteButton({ app, kind }: { app: App; kind: MediaKind }) {
  void app.mediaVersion.value;
  const muted = app.media.isMuted(kind);
  const audio = kind === 'audio';
  const label = audio ? t(muted ? 'controls.unmute' : 'controls.mute') : t(muted ? 'controls.cameraOn' : 'controls.cameraOff');
  const icon = audio ? (muted ? 'mic-off' : 'mic') : muted ? 'camera-off' : 'camera';
  return (
    <button
      type="button"
      class="round-button"
      data-off={muted}
      data-testid={audio ? 'mic-button' : 'camera-button'}
      aria-label={label}
      title={label}
      onClick={() => void app.media.setMuted(kind, !muted).catch(() => undefined)}
    >
      <Icon name={icon} />
    </button>
  );
}
