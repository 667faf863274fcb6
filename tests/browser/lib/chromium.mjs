// Starting Debian's Chromium for a test, and stopping it.
//
// Here: the flags that make a headless browser behave as one that a person looks at. Not here: what a page does.

import { chromium } from 'playwright-core';

export const EXECUTABLE = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';

const FLAGS = [
  // The server under test makes its own certificate.
  '--ignore-certificate-errors',
  // No one clicks before a page may make a sound.
  '--autoplay-policy=no-user-gesture-required',
  // A page that is not in front must go on drawing and sending as if it were.
  '--disable-background-timer-throttling',
  '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows',
  '--disable-gpu',
  // Nothing but the server under test is to be talked to.
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // A host whose only interface is loopback still has a path to the server under test.
  '--allow-loopback-in-peer-connection',
];

const OPTIONS = { executablePath: EXECUTABLE, headless: true, chromiumSandbox: false };

/** A browser that several participants share, each in a context of its own. `executablePath` is for one in a namespace. */
export function launch(extraFlags = [], executablePath = EXECUTABLE) {
  return chromium.launch({ ...OPTIONS, executablePath, args: [...FLAGS, ...extraFlags] });
}

/**
 * A browser whose process the test holds, to be stopped or killed as a whole: `signal('SIGKILL')` ends it without a
 * goodbye, `signal('SIGSTOP')` leaves its sockets open and answers nothing.
 */
export async function launchAlone() {
  const server = await chromium.launchServer({ ...OPTIONS, args: FLAGS });
  const browser = await chromium.connect(server.wsEndpoint());
  // Playwright starts the browser as leader of a process group of its own, so the group is the browser and its children.
  const signal = (name) => process.kill(-server.process().pid, name);
  return { browser, signal, kill: () => server.kill() };
}
