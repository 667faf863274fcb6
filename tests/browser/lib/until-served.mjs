// `node until-served.mjs URL MS`: ends well once a GET of the URL is answered with 200. For servers in a network namespace
// of their own, which only a process in there can ask.

import { untilServed } from './server.mjs';

const [url, withinMs] = process.argv.slice(2);
await untilServed(url, Number(withinMs));
