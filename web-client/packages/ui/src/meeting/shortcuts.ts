/** Single-letter shortcuts, those of the stock client. Which key means what; never while somebody types. */

export type ShortcutAction = 'mic' | 'camera' | 'chat' | 'hand' | 'help';

const KEYS: Readonly<Record<string, ShortcutAction>> = { m: 'mic', v: 'camera', c: 'chat', r: 'hand', '?': 'help' };

/** What a key press asks for, `null` for nothing. */
export function shortcutOf(event: Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'altKey' | 'metaKey' | 'repeat' | 'target'>): ShortcutAction | null {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return null;
  const target = event.target instanceof Element ? event.target : null;
  if (target?.closest('input, textarea, select, dialog, [contenteditable]')) return null;
  return KEYS[event.key.toLowerCase()] ?? null;
}
