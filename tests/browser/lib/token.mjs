// Tokens as an application signs them with the secret that it shares with the server (HS256).

import { createHmac } from 'node:crypto';

export const APP_ID = 'app';
export const APP_SECRET = 'planted-app-secret-of-some-length';

/** A token for a room; `claims` come on top of what every token says. */
export function tokenFor(room, { secret = APP_SECRET, ...claims } = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const payload = { iss: APP_ID, aud: APP_ID, sub: '*', room, exp: Math.floor(Date.now() / 1000) + 600, ...claims };
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(payload)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}
