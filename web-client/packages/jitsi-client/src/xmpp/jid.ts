/** Jabber identifiers (RFC 7622) as far as a client needs them: splitting, never normalising. */

/** `room@muc.example` of `room@muc.example/nick`. */
export function bareJid(jid: string): string {
  const slash = jid.indexOf('/');
  return slash < 0 ? jid : jid.slice(0, slash);
}

/** What stands behind the first slash; empty when there is none. */
export function resourceOf(jid: string): string {
  const slash = jid.indexOf('/');
  return slash < 0 ? '' : jid.slice(slash + 1);
}

/** What stands before the `@`; empty for a bare domain. */
export function nodeOf(jid: string): string {
  const bare = bareJid(jid);
  const at = bare.indexOf('@');
  return at < 0 ? '' : bare.slice(0, at);
}

/**
 * Nick, endpoint id and prefix of source names in one: the first 8 hex digits of an anonymous node, else random ones
 * (protocol/client.md §5.1).
 */
export function endpointIdFor(jid: string, random: () => string = randomHex8): string {
  const head = nodeOf(jid).slice(0, 8);
  return /^[0-9a-f]{8}$/.test(head) ? head : random();
}

function randomHex8(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(4));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
