// Signaling, focus and bridge as processes of their own behind nginx, as deploy/nginx/teranga.conf has it: two people see
// and hear each other, and the bridge channel is a WebSocket through the proxy.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launch } from './lib/chromium.mjs';
import { Participant } from './lib/participant.mjs';
import { freeTcpPort, freeUdpPort, untilServed } from './lib/server.mjs';

const ROOT = resolve(import.meta.dirname, '../..');
const BINARIES = process.env.TERANGA_SPLIT_BIN_DIR ?? join(ROOT, 'target/debug');
const READY_WITHIN_MS = 20_000;

describe('services in processes of their own behind nginx', () => {
  const processes = [];
  let dir;
  let browser;
  let output = '';
  let url;

  function start(command, flags, environment = {}) {
    const child = spawn(command, flags, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (output += text));
    }
    child.on('error', (error) => (output += `${command}: ${error}\n`));
    processes.push(child);
  }

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'teranga-split-'));
    const [https, signaling, focus, bridge] = [
      await freeTcpPort(),
      await freeTcpPort(),
      await freeTcpPort(),
      await freeTcpPort(),
    ];
    const media = await freeUdpPort();
    url = `https://localhost:${https}/`;
    const [certificate, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
    const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost';
    const files = ['-keyout', key, '-out', certificate];
    execFileSync('openssl', request.split(' ').concat(files), { stdio: 'ignore' });
    const site = (await readFile(join(ROOT, 'deploy/nginx/teranga.conf'), 'utf8'))
      .replace('listen 443 ssl;', `listen 127.0.0.1:${https} ssl;`)
      .replace('listen [::]:443 ssl;', `listen [::1]:${https} ssl;`)
      .replace('server_name meet.example;', 'server_name localhost;')
      .replace('/etc/ssl/meet.example.pem', certificate)
      .replace('/etc/ssl/meet.example.key', key)
      .replace('127.0.0.1:5280', `127.0.0.1:${signaling}`)
      .replace('127.0.0.1:8888', `127.0.0.1:${focus}`)
      .replace('127.0.0.1:9090', `127.0.0.1:${bridge}`);
    assert.doesNotMatch(site, /5280|8888|9090|meet\.example\./, 'every address of the configuration is replaced');
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    await writeFile(
      join(dir, 'nginx.conf'),
      `daemon off; pid ${dir}/nginx.pid; error_log stderr warn; events {}\nhttp { access_log off;\n` +
        temporary.map((kind) => `${kind}_temp_path ${dir}/${kind};\n`).join('') +
        `${site}}\n`,
    );
    const environment = { TERANGA_SERVICE_SECRET: 'a secret of this test' };
    const xmpp = `ws://127.0.0.1:${signaling}/xmpp-websocket`;
    start(join(BINARIES, 'teranga-signaling'), ['--http', `127.0.0.1:${signaling}`], environment);
    start(join(BINARIES, 'teranga-focus'), ['--xmpp', xmpp, '--http', `127.0.0.1:${focus}`], environment);
    const reached = ['--media-port', String(media), '--media-address', '127.0.0.1'];
    const offered = ['--http', `127.0.0.1:${bridge}`, '--public-ws-url', `wss://localhost:${https}`];
    start(join(BINARIES, 'teranga-bridge'), ['--xmpp', xmpp].concat(reached, offered), environment);
    start('/usr/sbin/nginx', ['-c', join(dir, 'nginx.conf'), '-p', dir]);
    await untilServed(url, READY_WITHIN_MS).catch((error) => {
      throw new Error(`${error.message}\n${output}`);
    });
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    for (const child of processes.filter((started) => started.exitCode === null && started.pid)) {
      const ended = once(child, 'exit');
      child.kill('SIGINT');
      await ended;
    }
    await rm(dir, { recursive: true, force: true });
  });

  test('two people see and hear each other', async () => {
    const server = { url };
    const people = [];
    for (const index of [0, 1]) {
      people.push(await Participant.open({ browser, server, room: 'split', index }));
    }
    const [first, second] = people;
    try {
      await Promise.all([first.joined([second]), second.joined([first])]);
      await Promise.all([first.sees(second), first.hears(second), second.sees(first), second.hears(first)]);
    } catch (error) {
      throw new Error(`${error.message}\n${output}`, { cause: error });
    }
    await Promise.all(people.map((person) => person.close()));
  });

  test('the proxy leads the path of bridge channels to the bridge', async () => {
    const page = await browser.newPage({ ignoreHTTPSErrors: true });
    await page.goto(url);
    const status = await page.evaluate(async () => (await fetch('/colibri-ws/teranga/none/none?pwd=wrong')).status);
    // Not an upgrade: the bridge's route answers, not signaling's page.
    assert.ok([400, 426].includes(status), `status ${status}`);
    await page.close();
  });
});
