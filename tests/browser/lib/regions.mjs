// Hosts in regions far apart: a network namespace each, and a long and lossy line between each two.
//
// Here: making them, running programs in them, cutting lines, removing all. Not here: what runs there. Needs root, `ip` and
// `nft`.

import { spawn } from 'node:child_process';
import { PREFIX, filter, ip, makeLine, removeLeftBehind, removeNamespaces } from './namespaces.mjs';

/** Rate of a line, both ways, in kbit/s. */
const RATE = 100_000;

export class Regions {
  #names;
  #prefix = `${PREFIX}${process.pid}-`;
  #removeNow = () => this.#remove();

  /** Each two of the regions are joined by a line of `delay` milliseconds each way that loses `loss` percent each way. */
  static async create(names, { delay, loss }) {
    const regions = new Regions();
    regions.#names = names;
    removeLeftBehind();
    process.once('exit', regions.#removeNow);
    try {
      for (const name of names) {
        ip('netns', 'add', regions.#namespace(name));
        regions.#ip(name, 'link', 'set', 'lo', 'up');
        regions.#ip(name, 'address', 'add', `${regions.address(name)}/32`, 'dev', 'lo');
      }
      for (const [index, near] of names.entries()) {
        for (const far of names.slice(index + 1)) {
          await regions.#join(near, far, { delay, loss });
        }
      }
    } catch (error) {
      regions.remove();
      throw error;
    }
    return regions;
  }

  /** The only address of that region's host. */
  address(name) {
    return `10.78.${this.#names.indexOf(name) + 1}.1`;
  }

  /** As `spawn` of node:child_process, in a region. */
  spawn(name, program, args, options) {
    return spawn('ip', ['netns', 'exec', this.#namespace(name), program, ...args], options);
  }

  /** Whatever is on the line between two regions is lost, in silence, until it is mended. */
  cut(near, far) {
    for (const [own, other] of [[near, far], [far, near]]) {
      filter(this.#namespace(own), ['type filter hook input priority filter', `iifname ${this.#device(own, other)} drop`]);
    }
  }

  /** All lines of two regions let everything pass again. */
  mend(near, far) {
    [near, far].forEach((name) => filter(this.#namespace(name), ['type filter hook input priority filter']));
  }

  /** Ends what still runs there, and removes all. */
  remove() {
    process.removeListener('exit', this.#removeNow);
    this.#remove();
  }

  async #join(near, far, { delay, loss }) {
    const devices = [this.#device(near, far), this.#device(far, near)];
    await makeLine(this.#namespace(near), { near: devices[0], far: devices[1], down: RATE, up: RATE, delay, loss });
    this.#ip(near, 'link', 'set', devices[1], 'netns', this.#namespace(far));
    for (const [own, other] of [[near, far], [far, near]]) {
      this.#ip(own, 'link', 'set', this.#device(own, other), 'up');
      this.#route(own, other);
    }
  }

  #route(own, other) {
    this.#ip(own, 'route', 'replace', `${this.address(other)}/32`, 'dev', this.#device(own, other), 'src', this.address(own));
  }

  #device(own, other) {
    return `${own}-${other}`;
  }

  #namespace(name) {
    return this.#prefix + name;
  }

  #ip(name, ...args) {
    ip('-n', this.#namespace(name), ...args);
  }

  #remove() {
    removeNamespaces((name) => name.startsWith(this.#prefix));
  }
}
