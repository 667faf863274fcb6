import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: {
    alias: {
      // The Node build of strophe wants an XML library of its own; the tests run on jsdom, as the browser build does.
      'strophe.js': fileURLToPath(new URL('./node_modules/strophe.js/dist/strophe.esm.js', import.meta.url)),
    },
  },
  test: {
    environment: 'jsdom',
    // One document for all files of a worker: making one costs more than all tests together.
    isolate: false,
    include: ['packages/*/src/**/*.test.{ts,tsx}'],
  },
});
