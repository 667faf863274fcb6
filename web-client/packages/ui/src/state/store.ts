/** What the browser remembers: name, device choice, language, an id of this browser profile and that of its login. Works with storage blocked. */
import { isRecord } from '@teranga/jitsi-client';

const KEY = 'teranga';

export type StoredKey = 'name' | 'microphone' | 'camera' | 'lang' | 'machineUid' | 'sessionId' | 'shortcuts';

let memory: Partial<Record<StoredKey, string>> | null = null;

function all(): Partial<Record<StoredKey, string>> {
  if (memory) return memory;
  memory = {};
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    if (isRecord(stored)) {
      for (const [key, value] of Object.entries(stored)) if (typeof value === 'string') memory[key as StoredKey] = value;
    }
  } catch {
    // Blocked or damaged: this visit starts without memory.
  }
  return memory;
}

export function load(key: StoredKey): string | null {
  return all()[key] ?? null;
}

export function save(key: StoredKey, value: string | null): void {
  const values = all();
  if (value === null) delete values[key];
  else values[key] = value;
  try {
    localStorage.setItem(KEY, JSON.stringify(values));
  } catch {
    // Blocked or full: remembered until the page goes.
  }
}

/** Names this browser profile to the focus; made at the first visit. */
export function machineUid(): string {
  const known = load('machineUid');
  if (known !== null && /^[0-9a-f]{32}$/.test(known)) return known;
  const fresh = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  save('machineUid', fresh);
  return fresh;
}
