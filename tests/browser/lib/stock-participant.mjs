// The stock library (lib-jitsi-meet) as one participant in a page of its own, built from its public repository and served
// from a folder outside the project.
//
// Here: opening the page, what it shows, waiting for it. Not here: what it does in the page (`pages/stock.js`), judging.

import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { installProbes } from './probes.mjs';
import { FRAME, installSyntheticMedia, mediaOf } from './synthetic-media.mjs';

/** How long a person would wait before calling it broken. */
export const WITHIN_MS = 20_000;
const TYPES = { html: 'text/html; charset=utf-8', js: 'text/javascript; charset=utf-8' };

/** Runs in the page before the library: counts data channels, so that the test can tell which bridge channel is in use. */
function countDataChannels() {
  window.dataChannels = [];
  const create = RTCPeerConnection.prototype.createDataChannel;
  RTCPeerConnection.prototype.createDataChannel = function createDataChannel(label, options) {
    window.dataChannels.push({ label, protocol: options?.protocol ?? '' });
    return create.call(this, label, options);
  };
}

/** The stock page, served under the server's own origin as a web app installed there would be. */
export class StockParticipant {
  complaints = [];
  sockets = [];

  /**
   * `lib` is the folder with `lib-jitsi-meet.min.js`, `url` that of the deployment, `log` prints what the page says, `more` goes
   * into the page's query.
   */
  static async open({ browser, url, lib, log = false, room, index, preferSctp = false, more = {} }) {
    const stock = new StockParticipant();
    stock.name = `Stock ${index}`;
    stock.media = mediaOf(index);
    // The page has no address of its own, as the test hands it in, so the browser takes it for one from elsewhere.
    stock.context = await browser.newContext({ ignoreHTTPSErrors: true, permissions: ['local-network-access'] });
    await stock.context.addInitScript(installSyntheticMedia, stock.media);
    await stock.context.addInitScript(installProbes, { frame: FRAME });
    await stock.context.addInitScript(countDataChannels);
    stock.page = await stock.context.newPage();
    stock.page.on('console', (message) => {
      if (log || message.type() === 'error') {
        stock.complaints.push(message.text());
      }
      if (log) {
        console.log(`   [${stock.name}] ${message.text()}`);
      }
    });
    stock.page.on('pageerror', (error) => stock.complaints.push(String(error)));
    stock.page.on('websocket', (socket) => stock.sockets.push(socket.url()));
    await stock.page.route(new URL('/stock/**', url).href, async (route) => {
      const path = new URL(route.request().url()).pathname.replace('/stock/', '');
      const file = path.startsWith('lib/') ? join(resolve(lib), path.slice(4)) : join(import.meta.dirname, '../pages', path);
      await route.fulfill({ contentType: TYPES[path.split('.').at(-1)], body: await readFile(file) });
    });
    const query = new URLSearchParams({ room, name: stock.name, preferSctp: String(preferSctp), ...more });
    await stock.page.goto(new URL(`/stock/stock.html?${query}`, url).href);
    return stock;
  }

  /** Waits until `window.stock` satisfies the predicate, given as a function of (stock, argument). */
  async until(what, predicate, argument) {
    const source = `(argument) => (${predicate})(window.stock, argument)`;
    try {
      // A function from text: the predicate runs in the page.
      await this.page.waitForFunction(`(${source})(${JSON.stringify(argument ?? null)})`, null, { timeout: WITHIN_MS });
    } catch (error) {
      const state = await this.page.evaluate(() => window.stock).catch(() => 'no page');
      throw new Error(`${this.name}: not ${what}: ${JSON.stringify(state)} ${this.complaints.slice(-20).join('\n')}`, { cause: error });
    }
  }

  /** Calls a function of (conference, argument) in the page: what a button of the stock web app does. */
  does(act, argument) {
    return this.page.evaluate(`(${act})(window.conference, ${JSON.stringify(argument ?? null)})`);
  }

  /** Waits for an event of the conference whose details satisfy the predicate, given as a function of (details, argument). */
  hears(name, predicate = () => true, argument = null) {
    const source = `(stock, wanted) => stock.events.some((event) => event.name === wanted.name && (${predicate})(event.details, wanted.argument))`;
    return this.until(`told ${name}`, source, { name, argument });
  }

  /** The details of all events of that name. */
  async told(name) {
    const { events } = await this.state();
    return events.filter((event) => event.name === name).map((event) => event.details);
  }

  state() {
    return this.page.evaluate(() => window.stock);
  }

  probe(name, owner, kind, expected) {
    return this.page.evaluate(
      ([probe, selector, wanted]) => window.probes[probe](selector, wanted),
      [name, `[id="remote-${owner}-${kind}"]`, expected],
    );
  }
}
