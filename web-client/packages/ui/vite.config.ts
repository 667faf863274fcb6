import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Where `npm run dev` finds a running server; `npm run build` does not read it. */
const server = process.env['TERANGA_URL'] ?? 'https://localhost:8443';
const proxied = { target: server, secure: false, changeOrigin: false };

export default defineConfig({
  root: here('.'),
  base: '/',
  resolve: {
    alias: { 'strophe.js': here('../../node_modules/strophe.js/dist/strophe.esm.js') },
  },
  build: {
    outDir: here('../../dist'),
    emptyOutDir: true,
    target: 'es2022',
    assetsDir: 'assets',
    // Everything is a file of its own: the content security policy allows no `data:` script or style.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    reportCompressedSize: false,
  },
  server: {
    proxy: {
      '/config.js': proxied,
      '/conference-request': proxied,
      '/xmpp-websocket': { ...proxied, ws: true },
      '/colibri-ws': { ...proxied, ws: true },
    },
  },
});
