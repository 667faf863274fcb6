// Fails when the first view is heavier than its budget: the scripts and styles which index.html names and whatever these import
// statically, plus the largest locale file, each as gzip -9.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const DIST = fileURLToPath(new URL('../dist', import.meta.url));
const KIB = 1024;
const BUDGET = { js: 150 * KIB, css: 15 * KIB, locale: 10 * KIB };

const gzipped = (path) => gzipSync(readFileSync(path), { level: 9 }).length;
const html = readFileSync(join(DIST, 'index.html'), 'utf8');
const named = [...html.matchAll(/(?:src|href)="\/?(assets\/[^"]+)"/g)].map((match) => match[1]);

const scripts = new Set();
function addScript(path) {
  if (scripts.has(path) || !existsSync(join(DIST, path))) return;
  scripts.add(path);
  const source = readFileSync(join(DIST, path), 'utf8');
  // Static imports only: `import"./x.js"`, `import{a}from"./x.js"`, `export*from"./x.js"`; a dynamic import has a parenthesis.
  for (const match of source.matchAll(/(?:^|[;}\s])(?:import|export)(?:[^;("']*?from)?\s*["'](\.{1,2}\/[^"']+)["']/g)) {
    addScript(normalize(join(dirname(path), match[1])));
  }
}
for (const path of named) if (path.endsWith('.js')) addScript(path);

const sum = (paths) => [...paths].reduce((total, path) => total + gzipped(join(DIST, path)), 0);
const locales = readdirSync(join(DIST, 'assets')).filter((name) => /^locale-.*\.js$/.test(name));
const size = {
  js: sum(scripts),
  css: sum(named.filter((path) => path.endsWith('.css'))),
  locale: Math.max(0, ...locales.map((name) => gzipped(join(DIST, 'assets', name)))),
};

if (size.js === 0) {
  process.stderr.write('budget: no script found in dist/index.html\n');
  process.exit(1);
}
let over = false;
for (const kind of Object.keys(BUDGET)) {
  const line = `budget: first view ${kind} ${(size[kind] / KIB).toFixed(1)} of ${BUDGET[kind] / KIB} KiB gzip`;
  over ||= size[kind] > BUDGET[kind];
  process.stdout.write(`${line}${size[kind] > BUDGET[kind] ? '  OVER BUDGET' : ''}\n`);
}
process.exit(over ? 1 : 0);
