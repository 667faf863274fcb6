/** How many columns show `count` tiles of 16:9 as large as the area allows. */
export function bestColumns(count: number, width: number, height: number): { columns: number; tileHeight: number } {
  let best = { columns: 1, tileHeight: 0 };
  for (let columns = 1; columns <= Math.max(1, count); columns += 1) {
    const rows = Math.ceil(count / columns);
    const tileHeight = Math.min(height / rows, ((width / columns) * 9) / 16);
    // Of two ways that fit equally well, the one with the wider rows.
    if (tileHeight >= best.tileHeight) best = { columns, tileHeight };
  }
  // Tiles too small to recognise anybody: fewer columns, and the area scrolls.
  const largest = Math.max(1, Math.floor(width / MIN_TILE_WIDTH));
  if (best.columns > largest) best = { columns: largest, tileHeight: ((width / largest) * 9) / 16 };
  return best;
}

/**
 * First track of tile `at`, where a column is two tracks wide: only the first tile of an unfilled last row has one of its own, so that
 * the row stands in the middle.
 */
export function startOf(at: number, count: number, columns: number): number | null {
  const rest = count % columns;
  return rest > 0 && at === count - rest ? 1 + columns - rest : null;
}

const MIN_TILE_WIDTH = 150;

/** The smallest of the usual heights that fills a tile of this many device pixels. */
export function usefulHeight(devicePixels: number): 180 | 360 | 720 {
  if (devicePixels <= 200) return 180;
  return devicePixels <= 400 ? 360 : 720;
}
