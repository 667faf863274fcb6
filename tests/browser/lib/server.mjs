// The server under test: the release binary, started with an empty state directory on free ports and stopped by Ctrl-C.
//
// Here: start, readiness, stop, and what it printed. Not here: browsers.

import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { spawnIn } from './namespaces.mjs';

export const BINARY = process.env.TERANGA_BIN ?? resolve(import.meta.dirname, '../../../target/release/teranga');
const READY_WITHIN_MS = 20_000;
const STOPPED_WITHIN_MS = 10_000;
/** Port of https in a network of the test's own, where all ports are free. */
const HTTPS_PORT = 443;

/** Below the ports of outgoing connections, one of which could take a free port before it is used. */
const FIRST_PORT = 20_000;
const PORT_COUNT = 12_000;
const PORT_TRIES = 1_000;
const takenPorts = new Set();

/** A port that nothing has, and that was not answered before; `open` listens there on all addresses. */
async function freePort(open) {
  for (let tried = 0; tried < PORT_TRIES; tried += 1) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORT_COUNT);
    if (takenPorts.has(port)) {
      continue;
    }
    const probe = open(port);
    const isFree = await once(probe, 'listening').then(
      () => true,
      () => false,
    );
    if (isFree) {
      takenPorts.add(port);
      probe.close();
      await once(probe, 'close');
      return port;
    }
  }
  throw new Error(`no free port among ${PORT_TRIES}`);
}

export const freeTcpPort = () => freePort((port) => createServer().listen(port));

export const freeUdpPort = () => freePort((port) => createSocket('udp4').bind(port));

/** Status of a GET, whatever the certificate; rejects while nothing listens. */
function statusOf(url) {
  return new Promise((answer, reject) => {
    const call = request(url, { rejectUnauthorized: false, agent: false }, (response) => {
      response.resume();
      answer(response.statusCode);
    });
    call.on('error', reject);
    call.end();
  });
}

/** Waits until a GET of `url` is answered with 200. */
export async function untilServed(url, withinMs, isGone = () => false) {
  const deadline = performance.now() + withinMs;
  while (performance.now() < deadline) {
    if (isGone()) {
      return false;
    }
    if ((await statusOf(url).catch(() => null)) === 200) {
      return true;
    }
    await delay(50);
  }
  throw new Error(`no page at ${url} within ${withinMs} ms`);
}

export class Server {
  #child;
  #exited;
  #stateDir;
  #output = '';
  #network;

  /**
   * Starts `teranga serve` and waits until its pages are served. With `isPublic` it is told the URL under which clients
   * reach it, without which it offers no bridge channel over WebSocket. `extraFlags` go to it as they are. With a `network` it
   * runs in that one's server box, https on 443 and all else on the ports of the default.
   */
  static async start({ isPublic = false, extraFlags = [], network = null } = {}) {
    const server = new Server();
    server.#stateDir = await mkdtemp(join(tmpdir(), 'teranga-test-'));
    server.#network = network;
    const ports = await (network ? server.#takeUsualPorts() : server.#takeFreePorts());
    const publicUrl = isPublic ? ['--public-url', server.url] : [];
    const flags = ['serve', '--state-dir', server.#stateDir, ...ports, ...publicUrl, ...extraFlags].map(String);
    server.#child = spawnIn(network, 'server', BINARY, flags, { stdio: ['ignore', 'pipe', 'pipe'] });
    server.#exited = new Promise((resolveExit) => {
      server.#child.on('error', (error) => resolveExit({ error }));
      server.#child.on('exit', (code, signal) => resolveExit({ code, signal }));
    });
    for (const stream of [server.#child.stdout, server.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        server.#output += text;
        if (process.env.TERANGA_TEST_LOG) {
          process.stderr.write(text);
        }
      });
    }
    try {
      await server.#untilReady();
    } catch (error) {
      server.#child.kill('SIGKILL');
      throw error;
    }
    return server;
  }

  async #takeFreePorts() {
    const [httpsPort, httpPort, mediaPort] = [await freeTcpPort(), await freeTcpPort(), await freeUdpPort()];
    this.turnPort = await freeTcpPort();
    this.url = `https://127.0.0.1:${httpsPort}/`;
    return ['--https-port', httpsPort, '--http-port', httpPort, '--media-port', mediaPort, '--turn-port', this.turnPort];
  }

  #takeUsualPorts() {
    this.url = `https://${this.#network.serverAddress(4)}/`;
    return ['--https-port', HTTPS_PORT];
  }

  async #untilReady() {
    let gone = null;
    void this.#exited.then((how) => (gone = how));
    try {
      await this.#untilServed(() => gone !== null);
    } catch (error) {
      throw new Error(`${error.message}\n${this.#output}`, { cause: error });
    }
    if (gone) {
      throw new Error(`${BINARY} ended before it was ready: ${JSON.stringify(gone)} ${gone.error ?? ''}\n${this.#output}`);
    }
  }

  async #untilServed(isGone) {
    if (!this.#network) {
      return untilServed(this.url, READY_WITHIN_MS, isGone);
    }
    const script = resolve(import.meta.dirname, 'until-served.mjs');
    const asked = this.#network.command('server', process.execPath, [script, this.url, READY_WITHIN_MS].map(String));
    await promisify(execFile)(...asked);
  }

  /** Adds an account as an operator does while the server runs. */
  addAccount(name, password) {
    return new Promise((added, failed) => {
      const place = ['--state-dir', this.#stateDir];
      const command = execFile(BINARY, ['user', 'add', name, ...place], (error) => (error ? failed(error) : added()));
      command.stdin.end(`${password}\n${password}\n`);
    });
  }

  /** Everything printed so far, both streams. */
  get output() {
    return this.#output;
  }

  get pid() {
    return this.#child.pid;
  }

  /** Stops it as Ctrl-C would; answers the exit code, the signal that ended it, and how long it took. */
  async stop() {
    const began = performance.now();
    this.#child.kill('SIGINT');
    const giveUp = new AbortController();
    const how = await Promise.race([
      this.#exited,
      delay(STOPPED_WITHIN_MS, null, { signal: giveUp.signal }).then(() => {
        this.#child.kill('SIGKILL');
        return this.#exited;
      }),
    ]);
    giveUp.abort();
    await rm(this.#stateDir, { recursive: true, force: true });
    return { ...how, ms: Math.round(performance.now() - began) };
  }
}
