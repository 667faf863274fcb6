// What `teranga-load --json` says of a run, by the wall clock: a span is two times in milliseconds since 1970.

export class LoadReport {
  #json;
  #started;

  constructor(text) {
    this.#json = JSON.parse(text);
    this.#started = Date.parse(this.#json.started);
  }

  get json() {
    return this.#json;
  }

  /** When all that were to come from there were there. */
  get steady() {
    const steady = this.#json.timeline.filter(({ phase }) => phase === 'steady');
    return { from: this.#wall(steady[0].at - steady[0].length), to: this.#wall(steady.at(-1).at) };
  }

  /** Packets of sound and frames that those from there got in a usual second of a span. */
  rates({ from, to }) {
    const within = this.#json.timeline.filter(({ at, length }) => this.#wall(at - length) >= from && this.#wall(at) <= to);
    // The mean would be that of a second, too, in which the machine did something else.
    const median = (name) => within.map((interval) => interval[name]).toSorted((one, other) => one - other)[within.length >> 1];
    return { sound: median('audio_packets'), frames: median('camera_frames') };
  }

  /** Who could not play what of whom for a while that ended within a span: `audio` or `camera`, and for how many milliseconds. */
  interruptions({ from, to }) {
    const all = this.#json.interruptions.map(({ at, lasted, kind, source, receiver }) => {
      return { kind, receiver, owner: source.split('-')[0], ms: lasted * 1000, ended: this.#wall(at) };
    });
    return all.filter(({ ended }) => ended > from && ended <= to);
  }

  #wall(seconds) {
    return this.#started + seconds * 1000;
  }
}

/** The part of all sound that load generators had the time to send. */
export function sentPart(reports) {
  const sum = (name) => reports.reduce((total, { json }) => total + json.whole.audio[name], 0);
  return sum('sent_packets') / (sum('sent_packets') + sum('skipped_captures'));
}

/** What several spans have in common. */
export function overlap(spans) {
  return { from: Math.max(...spans.map(({ from }) => from)), to: Math.min(...spans.map(({ to }) => to)) };
}

/** The longest of some interruptions, by what was missing, in milliseconds. */
export function longest(interruptions) {
  const of = (kind) => interruptions.filter((one) => one.kind === kind).map(({ ms }) => ms);
  return Object.fromEntries(['audio', 'camera'].map((kind) => [kind, Math.round(Math.max(0, ...of(kind)))]));
}
