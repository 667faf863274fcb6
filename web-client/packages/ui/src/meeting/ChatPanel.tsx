/** Chat beside the videos. Messages are text nodes and links, never markup. */
import { MAX_MESSAGE_LENGTH } from '@teranga/jitsi-client';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { t, timeOfDay } from '../i18n';
import { Icon } from '../parts/Icon';
import { linkify } from '../parts/linkify';
import { PanelHeader } from '../parts/PanelHeader';
import type { ChatLine, Meeting } from '../state/meeting';

export function ChatPanel({ meeting }: { meeting: Meeting }) {
  const [to, setTo] = useState('');
  const input = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const lines = meeting.lines.value;
  const others = meeting.participants.value.filter((participant) => !participant.local);
  const receiver = others.some((participant) => participant.id === to) ? to : '';

  useEffect(() => input.current?.focus(), []);
  useLayoutEffect(() => {
    list.current?.scrollTo({ top: list.current.scrollHeight });
  }, [lines]);

  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const text = input.current?.value.trim() ?? '';
    if (text === '' || !input.current) return;
    meeting.send(text, receiver);
    input.current.value = '';
  };
  return (
    <aside class="chat" aria-label={t('chat.title')}>
      <PanelHeader title={t('chat.title')} closeLabel={t('controls.closeChat')} onClose={() => meeting.setChatOpen(false)} />
      <div ref={list} class="chat-lines" role="log" aria-label={t('chat.title')} tabIndex={0}>
        {lines.length === 0 && <p class="hint">{t('chat.empty')}</p>}
        <ol>
          {lines.map((line) => (
            <Line key={line.key} line={line} />
          ))}
        </ol>
      </div>
      <form onSubmit={submit}>
        {others.length > 0 && (
          <label class="field inline">
            <span>{t('chat.to')}</span>
            <select value={receiver} onChange={(event) => setTo(event.currentTarget.value)} data-testid="chat-to">
              <option value="">{t('chat.everyone')}</option>
              {others.map((participant) => (
                <option key={participant.id} value={participant.id}>
                  {participant.name || t('meeting.guest')}
                </option>
              ))}
            </select>
          </label>
        )}
        <div class="chat-compose">
          <input ref={input} data-testid="chat-input" aria-label={t('chat.input')} placeholder={t('chat.input')} maxLength={MAX_MESSAGE_LENGTH} autoComplete="off" />
          <button type="submit" class="icon-button" data-testid="chat-send" aria-label={t('chat.send')} title={t('chat.send')}>
            <Icon name="send" />
          </button>
        </div>
      </form>
    </aside>
  );
}

function Line({ line }: { line: ChatLine }) {
  const { message } = line;
  const name = line.name || t('meeting.guest');
  return (
    <li class="chat-line" data-testid="chat-message" data-from={message.from} data-private={message.privately} data-mine={line.mine}>
      <p class="chat-meta">
        <strong>{line.mine ? `${name} (${t('meeting.you')})` : name}</strong>
        {message.privately && <em>{line.to === null ? t('chat.private') : t('chat.privateTo', { name: line.to })}</em>}
        <time dateTime={new Date(message.at).toISOString()}>{timeOfDay(message.at)}</time>
      </p>
      <p class="chat-text">
        {linkify(message.text).map((part, at) =>
          part.href === null ? (
            part.text
          ) : (
            <a key={at} href={part.href} target="_blank" rel="noopener noreferrer nofollow">
              {part.text}
            </a>
          ),
        )}
      </p>
    </li>
  );
}
