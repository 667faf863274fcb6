/** Which video codec to send: what everybody can receive, in our order (protocol/client.md §9.2). */

/** Best first. VP8 leads: it is the codec whose simulcast every bridge forwards. */
export const PREFERRED_CODECS: readonly string[] = ['vp8', 'h264', 'vp9', 'av1'];

/** Codecs this browser can receive, in order of preference; VP8 alone where the browser cannot be asked. */
export function receivableCodecs(): string[] {
  const capabilities = globalThis.RTCRtpReceiver?.getCapabilities?.('video')?.codecs ?? [];
  const known = new Set(capabilities.map((codec) => codec.mimeType.toLowerCase().replace('video/', '')));
  const usable = PREFERRED_CODECS.filter((codec) => known.has(codec));
  return usable.length > 0 ? usable : ['vp8'];
}

/**
 * The codec to send: first of ours that the offer has and that every other occupant lists. An empty list counts as "all"; with no
 * common codec the choice falls on the first that is offered.
 */
export function chooseCodec(offered: readonly string[], own: readonly string[], others: readonly (readonly string[])[]): string | null {
  const lower = new Set(offered.map((codec) => codec.toLowerCase()));
  const usable = own.filter((codec) => lower.has(codec));
  return usable.find((codec) => others.every((list) => list.length === 0 || list.includes(codec))) ?? usable[0] ?? null;
}
