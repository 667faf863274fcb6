/** Held up on the way in: a login, a host who is not there yet, a password, a lobby. */
import { MAX_NAME_LENGTH, type Gate, type LoginProblem } from '@teranga/jitsi-client';
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { t } from '../i18n';
import { ScreenTitle } from '../parts/ScreenTitle';
import type { App } from '../state/app';
import type { Meeting } from '../state/meeting';

export function GateScreen({ app, meeting }: { app: App; meeting: Meeting }) {
  const state = meeting.state.value;
  // What was said last stays while it is being looked at.
  const [shown, setShown] = useState<Gate | null>(null);
  const gate = state.name === 'held' ? state.gate : shown;
  if (state.name === 'held' && shown !== state.gate) setShown(state.gate);
  const busy = state.name !== 'held';
  return (
    <main class="page">
      <section class="card" data-testid="gate" data-gate={gate?.kind} aria-busy={busy}>
        {gate && <GateForm app={app} meeting={meeting} gate={gate} busy={busy} />}
        <div class="actions">
          <button type="button" class="button" data-testid="cancel-button" onClick={() => app.leave()}>
            {t('gate.cancel')}
          </button>
        </div>
      </section>
    </main>
  );
}

interface GateProps {
  readonly app: App;
  readonly meeting: Meeting;
  readonly gate: Gate;
  readonly busy: boolean;
}

function GateForm({ app, meeting, gate, busy }: GateProps) {
  const { room } = app;
  switch (gate.kind) {
    case 'login':
      return (
        <>
          <ScreenTitle>{t('gate.login.title', { room })}</ScreenTitle>
          <p>{t('gate.login.text')}</p>
          <LoginForm meeting={meeting} problem={gate.problem} busy={busy} />
        </>
      );
    case 'host':
      return (
        <>
          <ScreenTitle>{t('gate.host.title')}</ScreenTitle>
          <p role="status">{t('gate.host.text', { room })}</p>
          {gate.login === 'page' && app.tokenUrl !== null && (
            <a class="button primary" href={app.tokenUrl}>
              {t('gate.host.iAmHost')}
            </a>
          )}
          {gate.login === 'password' && (
            <details open={gate.problem !== null}>
              <summary data-testid="host-login">{t('gate.host.iAmHost')}</summary>
              <LoginForm meeting={meeting} problem={gate.problem} busy={busy} />
            </details>
          )}
        </>
      );
    case 'live':
      return (
        <>
          <ScreenTitle>{t('gate.live.title')}</ScreenTitle>
          <p role="status">{t('gate.live.text', { room })}</p>
        </>
      );
    case 'password':
      return (
        <>
          <ScreenTitle>{t('gate.room-password.title', { room })}</ScreenTitle>
          <PasswordForm meeting={meeting} refused={gate.refused} busy={busy} />
        </>
      );
    case 'lobby':
      return (
        <>
          <ScreenTitle>{t('gate.lobby.title', { room })}</ScreenTitle>
          {gate.knocked ? (
            <p role="status" data-testid="knocked">
              {t(gate.waitsForHost ? 'gate.lobby.waitsForHost' : 'gate.lobby.knocked')}
            </p>
          ) : (
            <KnockForm app={app} meeting={meeting} nameMissing={gate.nameMissing} busy={busy} />
          )}
          <details open={gate.passwordRefused}>
            <summary>{t('gate.lobby.havePassword')}</summary>
            <PasswordForm meeting={meeting} refused={gate.passwordRefused} busy={busy} />
          </details>
        </>
      );
  }
}

interface FormProps {
  readonly meeting: Meeting;
  readonly refused: boolean;
  readonly busy: boolean;
}

interface LoginProps {
  readonly meeting: Meeting;
  readonly problem: LoginProblem | null;
  readonly busy: boolean;
}

function LoginForm({ meeting, problem, busy }: LoginProps) {
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const ready = name.trim() !== '' && password !== '';
  return (
    <Form label={t('gate.signIn')} busy={busy} ready={ready} testid="login-button" submit={() => meeting.conference.logIn(name.trim(), password)}>
      {problem !== null && <Refused>{t(problem === 'wrong' ? 'gate.refused' : 'gate.failed')}</Refused>}
      <label class="field">
        <span>{t('gate.user')}</span>
        <input data-testid="login-name" value={name} autoComplete="username" autoCapitalize="none" onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <label class="field">
        <span>{t('gate.password')}</span>
        <input
          data-testid="login-password"
          type="password"
          value={password}
          autoComplete="current-password"
          onInput={(event) => setPassword(event.currentTarget.value)}
        />
      </label>
    </Form>
  );
}

function PasswordForm({ meeting, refused, busy }: FormProps) {
  const [password, setPassword] = useState('');
  return (
    <Form label={t('gate.room-password.go')} busy={busy} ready={password !== ''} testid="password-button" submit={() => meeting.conference.enterPassword(password)}>
      {refused && <Refused>{t('gate.room-password.refused')}</Refused>}
      <label class="field">
        <span>{t('gate.room-password.label')}</span>
        <input data-testid="password-input" type="password" value={password} autoComplete="off" onInput={(event) => setPassword(event.currentTarget.value)} />
      </label>
    </Form>
  );
}

function KnockForm({ app, meeting, nameMissing, busy }: { app: App; meeting: Meeting; nameMissing: boolean; busy: boolean }) {
  return (
    <Form label={t('gate.lobby.ask')} busy={busy} ready testid="knock-button" submit={() => meeting.conference.knock(app.displayName.value.trim())}>
      <p>{t('gate.lobby.text')}</p>
      {nameMissing && <Refused>{t('gate.lobby.nameMissing')}</Refused>}
      <label class="field">
        <span>{t('gate.lobby.name')}</span>
        <input
          data-testid="name-input"
          value={app.displayName.value}
          autoComplete="name"
          maxLength={MAX_NAME_LENGTH}
          onInput={(event) => app.setName(event.currentTarget.value)}
        />
      </label>
    </Form>
  );
}

interface FrameProps {
  readonly label: string;
  readonly busy: boolean;
  /** Whether there is something to submit. */
  readonly ready: boolean;
  readonly testid: string;
  readonly submit: () => void;
  readonly children: ComponentChildren;
}

function Form({ label, busy, ready, testid, submit, children }: FrameProps) {
  return (
    <form
      class="gate-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready && !busy) submit();
      }}
    >
      {children}
      <button type="submit" class="button primary" data-testid={testid} aria-disabled={busy || !ready} aria-busy={busy}>
        {busy ? t('gate.working') : label}
      </button>
    </form>
  );
}

function Refused({ children }: { children: ComponentChildren }) {
  return (
    <p role="alert" data-testid="refused">
      {children}
    </p>
  );
}
