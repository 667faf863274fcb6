/**
 * Which m-line carries which remote source.
 *
 * The m-lines of the offer's contents come first and belong to nobody but this client: they carry its own tracks. Every remote source
 * gets a slot behind them. A slot of a source that left stays in the SDP as `inactive` and is given to the next source of its kind, so
 * that a long meeting with many comings and goings does not grow its SDP without end.
 */
import type { MediaKind, RemoteSource } from '../jingle/model';

/** Slots a session may have. Chrome negotiates a few hundred m-lines in acceptable time, more it does not. */
export const MAX_SLOTS = 300;

export interface Slot {
  readonly mid: string;
  readonly media: MediaKind;
  /** `null` while the slot is free. */
  readonly source: RemoteSource | null;
}

export class SlotTable {
  readonly #firstMid: number;
  #slots: Slot[] = [];

  /** `firstMid`: how many m-lines the contents of the offer take. */
  constructor(firstMid: number) {
    this.#firstMid = firstMid;
  }

  get slots(): readonly Slot[] {
    return this.#slots;
  }

  /** Gives each source a slot; one whose name is known replaces what was known of it. Answers what found no place. */
  add(sources: readonly RemoteSource[]): RemoteSource[] {
    const refused: RemoteSource[] = [];
    for (const source of sources) {
      const same = this.#slots.findIndex((slot) => slot.source?.name === source.name && slot.media === source.media);
      const at = same >= 0 ? same : this.#slots.findIndex((slot) => slot.source === null && slot.media === source.media);
      if (at >= 0) this.#put(at, source);
      else if (this.#slots.length < MAX_SLOTS) this.#slots.push({ mid: String(this.#firstMid + this.#slots.length), media: source.media, source });
      else refused.push(source);
    }
    return refused;
  }

  /** Frees the slots of these sources, by name; answers the sources that were there. */
  remove(names: readonly string[]): RemoteSource[] {
    const gone: RemoteSource[] = [];
    this.#slots.forEach((slot, at) => {
      if (slot.source === null || !names.includes(slot.source.name)) return;
      gone.push(slot.source);
      this.#put(at, null);
    });
    return gone;
  }

  /** Frees all slots of one endpoint. */
  removeOwner(owner: string): RemoteSource[] {
    return this.remove(this.#slots.flatMap((slot) => (slot.source?.owner === owner ? slot.source.name : [])));
  }

  #put(at: number, source: RemoteSource | null): void {
    const slot = this.#slots[at];
    if (slot) this.#slots[at] = { ...slot, source };
  }
}
