// One person in our own client: a browser context of its own with a synthetic camera and microphone.
//
// Here: opening the page, finding tiles and controls by their test ids, and waiting for what they show.
// Not here: what a test expects of whom.

import { installProbes } from './probes.mjs';
import { FRAME, installSyntheticMedia, mediaOf } from './synthetic-media.mjs';

/** Long enough for a cold start of page, connection and media on two busy cores; no figure of the product. */
const JOINED_WITHIN_MS = 20_000;

export class Participant {
  /** What the page complained about, for the report of a failed test. */
  complaints = [];
  /** URLs of the WebSockets the page opened. */
  sockets = [];

  /**
   * Opens the client. `index` chooses colour and tone. `skipPrejoin` joins at once; without it the name and device page
   * is left open. `media: null` leaves the real `getUserMedia` in place. `config` goes into the URL, and `init` runs in
   * the page before anything else does.
   */
  static async open({
    browser,
    server,
    room,
    index = 0,
    skipPrejoin = true,
    media = mediaOf(index),
    context: options = {},
    config = {},
    init = null,
  }) {
    const person = new Participant();
    person.index = index;
    person.name = `Person ${index}`;
    person.room = room;
    person.server = server;
    person.media = media;
    person.config = config;
    person.context = await browser.newContext({ ignoreHTTPSErrors: true, locale: 'en-US', ...options });
    if (media) {
      await person.context.addInitScript(installSyntheticMedia, media);
    }
    if (init) {
      await person.context.addInitScript(init.script, init.argument);
    }
    await person.context.addInitScript(installProbes, { frame: FRAME });
    await person.#openPage(skipPrejoin);
    return person;
  }

  async #openPage(skipPrejoin) {
    this.page = await this.context.newPage();
    this.page.on('console', (message) => message.type() === 'error' && this.complaints.push(message.text()));
    this.page.on('pageerror', (error) => this.complaints.push(error.stack ?? String(error)));
    this.page.on('websocket', (socket) => this.sockets.push(socket.url()));
    await this.page.goto(this.urlOf(skipPrejoin));
  }

  urlOf(skipPrejoin) {
    const settings = [`userInfo.displayName=${encodeURIComponent(JSON.stringify(this.name))}`];
    if (skipPrejoin) {
      settings.push('config.prejoinConfig.enabled=false');
    }
    for (const [key, value] of Object.entries(this.config)) {
      settings.push(`config.${key}=${JSON.stringify(value)}`);
    }
    return `${this.server.url}${this.room}#${settings.join('&')}`;
  }

  /** The element with that test id. */
  control(id) {
    return this.page.getByTestId(id);
  }

  click(id) {
    return this.control(id).click();
  }

  /** CSS of the tile in which this participant's page shows `other`. */
  static tileOf(other) {
    return `[data-testid="tile"][data-local="false"][data-name="${other.name}"]`;
  }

  static get ownTile() {
    return '[data-testid="tile"][data-local="true"]';
  }

  /** Waits until the page has joined: its own tile is there, as is one for each of `others`. */
  async joined(others = []) {
    await this.#attached(Participant.ownTile);
    await Promise.all(others.map((other) => this.#attached(Participant.tileOf(other))));
  }

  async #attached(selector) {
    try {
      await this.page.locator(selector).waitFor({ state: 'attached', timeout: JOINED_WITHIN_MS });
    } catch (error) {
      throw new Error(`${this.name} has no ${selector}; ${await this.state()}`, { cause: error });
    }
  }

  /** What the page shows now, in one line for an error. */
  async state() {
    const tiles = await this.page
      .locator('[data-testid="tile"]')
      .evaluateAll((all) => all.map((tile) => ({ ...tile.dataset })))
      .catch(() => 'no page');
    const failure = await this.page
      .locator('[data-testid="failure"]')
      .evaluateAll((all) => all.map((shown) => shown.dataset.code))
      .catch(() => []);
    return `tiles ${JSON.stringify(tiles)}, failures ${JSON.stringify(failure)}, complaints ${JSON.stringify(this.complaints)}`;
  }

  /** Waits until `other`'s colour and advancing frame counter are in `other`'s tile. */
  sees(other, options) {
    return this.#probe('sees', `${Participant.tileOf(other)} video`, other.media.colour, options);
  }

  /** Waits until `other`'s tone is the loudest of `other`'s tile. */
  hears(other, options) {
    return this.#probe('hears', `${Participant.tileOf(other)} [data-testid="tile-audio"]`, other.media.toneHz, options);
  }

  /** Waits until `other`'s tile is silent. */
  hearsNothingOf(other, options) {
    return this.#probe('silent', `${Participant.tileOf(other)} [data-testid="tile-audio"]`, options);
  }

  async #probe(name, ...rest) {
    try {
      return await this.page.evaluate(([probe, args]) => window.probes[probe](...args), [name, rest]);
    } catch (error) {
      throw new Error(`${this.name}: ${error.message}; ${await this.state()}`, { cause: error });
    }
  }

  /**
   * Does `act` and waits until `selector` is `state` ('attached' or 'detached') on this page; answers the milliseconds
   * from the start of the act, and rejects when it took longer than `withinMs`.
   */
  async observes(selector, state, withinMs, act) {
    const began = performance.now();
    const seen = this.page
      .locator(selector)
      .waitFor({ state, timeout: withinMs })
      .then(() => Math.round(performance.now() - began));
    try {
      const [ms] = await Promise.all([seen, act()]);
      return ms;
    } catch (error) {
      throw new Error(`${this.name}: ${selector} not ${state} within ${withinMs} ms; ${await this.state()}`, { cause: error });
    }
  }

  close() {
    return this.context.close();
  }
}
