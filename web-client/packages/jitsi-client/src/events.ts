/** A typed event emitter: one map of names to argument tuples a class. A listener that throws does not stop the others. */
export class Emitter<Events extends { [K in keyof Events]: unknown[] }> {
  readonly #listeners: { [K in keyof Events]?: Set<(...args: Events[K]) => void> } = {};

  /** Registers a listener; the answer removes it. */
  on<K extends keyof Events>(name: K, listener: (...args: Events[K]) => void): () => void {
    const set = (this.#listeners[name] ??= new Set());
    set.add(listener);
    return () => set.delete(listener);
  }

  /** Calls the listeners of `name` in the order of registration. */
  emit<K extends keyof Events>(name: K, ...args: Events[K]): void {
    for (const listener of Array.from(this.#listeners[name] ?? [])) {
      try {
        listener(...args);
      } catch (error) {
        // Told to the page's error reporting, out of the protocol code's way.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
