// A small network of the test's own: the server behind a router, and clients on the router's other side.
//
//   server eth0 ── inside router outside4 ── eth0 client4     IPv4 only
//                                outside6 ── eth0 client6     IPv6 only
//                                    line ══ line0 narrow     IPv4 only, over a slow and lossy line if a test makes it
//
// Each box is a network namespace with addresses and routes of its own. The router drops what a line does not let pass, as a
// firewall on the way does: in silence. Here: making it, running programs in it, removing it, also when the test ends
// badly. Not here: what runs in it, what a slow line does with packets (`tests/src/bin/narrow-line.rs`). Needs root, `ip` and
// `nft`.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { once } from 'node:events';

/** Followed by the process id of the test and the name of the box: a test that was killed leaves what the next removes. */
export const PREFIX = 'teranga-test-';
const BOXES = ['server', 'router', 'client4', 'client6', 'narrow'];
/** The narrow box and the router's end of its line. */
const LINE = { own: '10.77.8.1', router: '10.77.8.2' };
/** Starts a program in the real-time class, in which a container may not. */
const REAL_TIME = ['chrt', '--rr', '1'];
const AHEAD = spawnSync(REAL_TIME[0], [...REAL_TIME.slice(1), 'true']).status === 0 ? REAL_TIME : [];
/** Where the tests' own programs are built. */
const PROGRAMS = process.env.TERANGA_TEST_PROGRAMS ?? resolve(import.meta.dirname, '../../../target/debug');

/**
 * Two addresses of a veth pair, and the router's interface. The router has the second of each. The server's over IPv4 is none
 * of a private network: from there libwebrtc takes no candidate with a port below 1024, 443 included.
 */
const LINKS = [
  { box: 'server', at: 'inside', addresses: [['203.0.113.1', '203.0.113.2', 24], ['fd77::1', 'fd77::2', 64]] },
  { box: 'client4', at: 'outside4', addresses: [['10.77.4.1', '10.77.4.2', 24]] },
  { box: 'client6', at: 'outside6', addresses: [['fd77:6::1', 'fd77:6::2', 64]] },
];

/** What the router may let pass, as rules of its forward chain; what no rule accepts is dropped. */
export const PASS = {
  all: ['accept'],
  tcp: ['meta l4proto tcp accept'],
  https: ['tcp dport 443 accept', 'tcp sport 443 accept'],
};

export class Network {
  #prefix = `${PREFIX}${process.pid}-`;
  #dir;
  #removeNow = () => this.#remove();

  /** Makes the namespaces; the router lets everything pass. */
  static async create() {
    const network = new Network();
    removeLeftBehind();
    process.once('exit', network.#removeNow);
    try {
      network.#build();
      network.pass(PASS.all);
      network.#dir = await mkdtemp(join(tmpdir(), 'teranga-network-'));
    } catch (error) {
      await network.remove();
      throw error;
    }
    return network;
  }

  /** Where clients find the server, as URLs have it: by IP version `family`, 4 or 6. */
  serverAddress(family) {
    const [[ipv4], [ipv6]] = LINKS.find(({ box }) => box === 'server').addresses;
    return family === 4 ? ipv4 : `[${ipv6}]`;
  }

  /** Name of the namespace of that box. */
  namespace(box) {
    return this.#prefix + box;
  }

  /** A program and its arguments as they run in that box. */
  command(box, program, args = []) {
    return ['ip', ['netns', 'exec', this.namespace(box), program, ...args]];
  }

  /** Path of an executable that is `program` in that box, for those who start a program by its path. */
  async executable(box, program) {
    const path = join(this.#dir, box);
    await writeFile(path, `#!/bin/sh\nexec ip netns exec ${this.namespace(box)} ${program} "$@"\n`);
    await chmod(path, 0o755);
    return path;
  }

  /**
   * Connects the narrow box by a line: `down` and `up` in kbit/s, `delay` in milliseconds each way, `loss` in percent each
   * way.
   */
  async connectNarrow({ down, up, delay, loss }) {
    await makeLine(this.namespace('router'), { near: 'line', far: 'line0', down, up, delay, loss });
    this.#ip('router', 'link', 'set', 'line0', 'netns', this.namespace('narrow'));
    for (const [box, device, own, other] of [
      ['router', 'line', LINE.router, LINE.own],
      ['narrow', 'line0', LINE.own, LINE.router],
    ]) {
      this.#ip(box, 'address', 'add', own, 'peer', other, 'dev', device);
      this.#ip(box, 'link', 'set', device, 'up');
    }
    this.#ip('narrow', 'route', 'add', 'default', 'via', LINE.router);
  }

  /** Lets the router pass what `rules` accept, and nothing else. What passed before is dropped from now on, too. */
  pass(rules) {
    // ICMP stays: without it IPv6 finds no neighbour, and no firewall of sense drops all of it.
    const chain = ['type filter hook forward priority filter', 'policy drop', 'meta l4proto { icmp, ipv6-icmp } accept'];
    filter(this.namespace('router'), [...chain, ...rules]);
  }

  /** Ends what still runs in the namespaces, and removes them. */
  async remove() {
    process.removeListener('exit', this.#removeNow);
    this.#remove();
    if (this.#dir) {
      await rm(this.#dir, { recursive: true, force: true });
    }
  }

  #remove() {
    removeNamespaces((name) => name.startsWith(this.#prefix));
  }

  #build() {
    for (const box of BOXES) {
      ip('netns', 'add', this.namespace(box));
      this.#ip(box, 'link', 'set', 'lo', 'up');
      // Nobody else can have the addresses. Looking for duplicates takes IPv6 up to two seconds, link-local addresses
      // too, and to a browser that started meanwhile the network has changed then.
      this.#sysctl(box, 'net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0');
    }
    for (const { box, at, addresses } of LINKS) {
      ip('link', 'add', 'eth0', 'netns', this.namespace(box), 'type', 'veth', 'peer', 'name', at, 'netns', this.namespace('router'));
      this.#ip(box, 'link', 'set', 'eth0', 'up');
      this.#ip('router', 'link', 'set', at, 'up');
      for (const [own, router, bits] of addresses) {
        this.#ip(box, 'address', 'add', `${own}/${bits}`, 'dev', 'eth0');
        this.#ip('router', 'address', 'add', `${router}/${bits}`, 'dev', at);
        this.#ip(box, 'route', 'add', 'default', 'via', router);
      }
    }
    this.#sysctl('router', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  }

  #sysctl(box, ...settings) {
    const [command, args] = this.command(box, 'sysctl', ['-qw', ...settings]);
    execFileSync(command, args);
  }

  #ip(box, ...args) {
    ip('-n', this.namespace(box), ...args);
  }
}

/** Path of a program that is built with the tests. */
export function testProgram(name) {
  return join(PROGRAMS, name);
}

/**
 * Makes both devices of a line in a namespace, by the options of `narrow-line`. It ends with what runs there. Ahead of all other
 * programs where that is allowed: a line does not wait for a processor, and what waited in it would be taken for the server's doing.
 */
export async function makeLine(namespace, options) {
  const args = Object.entries(options).flatMap(([key, value]) => [`--${key}`, String(value)]);
  const command = ['netns', 'exec', namespace, ...AHEAD, testProgram('narrow-line'), ...args];
  const line = spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'] });
  await Promise.race([
    once(line.stdout, 'data'),
    once(line, 'exit').then(([code]) => Promise.reject(new Error(`narrow-line ended with ${code}`))),
  ]);
}

/** Has a namespace let packets pass by the rules of this chain, and no others. */
export function filter(namespace, chain) {
  const ruleset = `flush ruleset\ntable inet line {\n chain pass {\n${chain.map((line) => `  ${line}\n`).join('')} }\n}\n`;
  const command = ['netns', 'exec', namespace, 'nft', '-f', '-'];
  execFileSync('ip', command, { input: ruleset, stdio: ['pipe', 'ignore', 'inherit'] });
}

/** As `spawn` of node:child_process, in a box of `network` if there is one. */
export function spawnIn(network, box, program, args, options) {
  return network ? spawn(...network.command(box, program, args), options) : spawn(program, args, options);
}

export function ip(...args) {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

/** Removes what tests left that could not remove it themselves. */
export function removeLeftBehind() {
  const isAlive = (pid) => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  removeNamespaces((name) => !isAlive(Number.parseInt(name.slice(PREFIX.length), 10)));
}

export function removeNamespaces(isMeant) {
  const names = ip('netns', 'list')
    .split('\n')
    .map((line) => line.split(' ')[0])
    .filter((name) => name.startsWith(PREFIX) && isMeant(name));
  for (const name of names) {
    for (const pid of ip('netns', 'pids', name).split('\n').filter(Boolean)) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It ended by itself in between.
      }
    }
    ip('netns', 'delete', name);
  }
}
