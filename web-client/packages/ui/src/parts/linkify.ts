/** Finds web addresses in a message. The parts become text nodes and anchors; nothing is ever parsed as markup. */

export interface TextPart {
  readonly text: string;
  /** Absolute http(s) URL, or `null` for plain text. */
  readonly href: string | null;
}

const URL_PATTERN = /\bhttps?:\/\/[^\s<>"'`]+/giu;

export function linkify(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let at = 0;
  for (const match of text.matchAll(URL_PATTERN)) {
    const found = trimEnd(match[0]);
    const href = safeUrl(found);
    if (href === null) continue;
    if (match.index > at) parts.push({ text: text.slice(at, match.index), href: null });
    parts.push({ text: found, href });
    at = match.index + found.length;
  }
  if (at < text.length || parts.length === 0) parts.push({ text: text.slice(at), href: null });
  return parts;
}

/** Punctuation behind an address belongs to the sentence; so does a bracket that was not opened within it. */
function trimEnd(url: string): string {
  let out = url;
  for (;;) {
    const last = out.at(-1) ?? '';
    const unopened = (last === ')' && !out.includes('(')) || (last === ']' && !out.includes('['));
    if (!unopened && !'.,;:!?\u202f\u00a0»'.includes(last)) return out;
    out = out.slice(0, -1);
  }
}

function safeUrl(text: string): string | null {
  try {
    const url = new URL(text);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}
