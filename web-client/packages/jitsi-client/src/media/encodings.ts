/** What the camera is encoded to: layers, bitrates, and the bridge's wishes (protocol/client.md §9.3). */

export interface Layer {
  /** Factor by which the captured height shrinks. */
  readonly scale: number;
  readonly maxBitrateBps: number;
}

/** Low to high, as the SIM group lists them; the stock client's VP8 figures. */
export const LAYERS: readonly Layer[] = [
  { scale: 4, maxBitrateBps: 200_000 },
  { scale: 2, maxBitrateBps: 500_000 },
  { scale: 1, maxBitrateBps: 1_500_000 },
];

/** No limit was told. */
export const NO_LIMIT = 100_000;

/**
 * Fills in the encodings of a camera sender for a capture height and the largest height the bridge wants (0 = nothing).
 *
 * Of three encodings those above the limit are off, the lowest stays on for any limit above 0. A single encoding is scaled down
 * instead.
 */
export function applyLayers(encodings: readonly RTCRtpEncodingParameters[], captureHeight: number, maxHeight: number): RTCRtpEncodingParameters[] {
  if (encodings.length === LAYERS.length) {
    return encodings.map((encoding, at) => {
      const layer = LAYERS[at] ?? { scale: 1, maxBitrateBps: 1_500_000 };
      const fits = captureHeight / layer.scale <= maxHeight || at === 0;
      return { ...encoding, active: maxHeight > 0 && fits, scaleResolutionDownBy: layer.scale, maxBitrate: layer.maxBitrateBps };
    });
  }
  return encodings.map((encoding, at) => ({
    ...encoding,
    active: maxHeight > 0 && at === 0,
    scaleResolutionDownBy: Math.max(1, captureHeight / Math.max(1, maxHeight)),
    maxBitrate: bitrateFor(Math.min(captureHeight, maxHeight)),
  }));
}

function bitrateFor(height: number): number {
  if (height <= 180) return 200_000;
  return height <= 360 ? 500_000 : 1_500_000;
}
