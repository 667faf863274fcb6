/** Differences between browsers, found by what they have rather than by what they call themselves. */

export interface Quirks {
  /** Header extensions that must not be negotiated with this browser. */
  readonly refusedExtensions: ReadonlySet<string>;
}

const MID = 'urn:ietf:params:rtp-hdrext:sdes:mid';

export function detectQuirks(global: object = globalThis): Quirks {
  // COMPAT: Firefox (seen by the stock client, August 2026) sorts packets to the wrong m-line when the offer has the MID extension but
  // the bridge's packets do not carry it. Chromium wants the extension offered.
  return { refusedExtensions: new Set('mozInnerScreenX' in global ? [MID] : []) };
}

/** The offer as this browser should see it. */
export function withoutRefused<T extends { readonly uri: string }>(extensions: readonly T[], quirks: Quirks): T[] {
  return extensions.filter((extension) => !quirks.refusedExtensions.has(extension.uri));
}
