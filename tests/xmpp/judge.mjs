// XMPP libraries of others against the signaling service: `node judge.mjs SCENARIO ADDRESSES`, where ADDRESSES is JSON.
// Ends with 0 when the library saw what it should; prints what else it saw.
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { DOMParser } from '@xmldom/xmldom';
import { client, xml } from '@xmpp/client';
import WebSocket from 'ws';

const [, , scenario, addresses] = process.argv;
const { tcp, http, components } = JSON.parse(addresses);

/** Resolves at the event's next occurrence. */
const next = (emitter, event, accept = () => true) =>
    new Promise((resolve) => {
        const listener = (value) => {
            if (accept(value)) {
                emitter.removeListener(event, listener);
                resolve(value);
            }
        };
        emitter.on(event, listener);
    });

const ping = (to) => xml('iq', { type: 'get', to }, xml('ping', 'urn:xmpp:ping'));

const scenarios = {
    /** A service logs in over TCP with STARTTLS and SCRAM, loses its connection and takes the session up again. */
    async 'xmpp.js-tcp'() {
        const service = client({
            service: `xmpp://${tcp}`, domain: 'auth.meet.jitsi', resource: 'judge', username: 'jvb', password: 'pw',
        });
        service.on('error', (error) => console.log('error', error.message));
        const jid = await service.start();
        assert.equal(jid.toString(), 'jvb@auth.meet.jitsi/judge');
        assert.equal((await service.iqCaller.request(ping('auth.meet.jitsi'))).attrs.type, 'result');
        while (!service.streamManagement.enabled) {
            await setTimeout(20);
        }
        const resumed = next(service.streamManagement, 'resumed');
        service.socket.socket.destroy();
        await resumed;
        assert.equal((await service.iqCaller.request(ping('auth.meet.jitsi'))).attrs.type, 'result');
        await service.stop();
    },

    /** A guest over WebSocket. */
    async 'xmpp.js-websocket'() {
        // Node 20 has none of its own.
        globalThis.WebSocket ??= WebSocket;
        const guest = client({ service: `ws://${http}/xmpp-websocket`, domain: 'meet.jitsi' });
        const jid = await guest.start();
        assert.match(jid.toString(), /^[0-9a-f-]{36}@meet\.jitsi\/.+$/);
        assert.equal((await guest.iqCaller.request(ping('meet.jitsi'))).attrs.type, 'result');
        await guest.stop();
    },

    /** A guest over BOSH, who is told that he is gone only after he said so. */
    async 'strophe-bosh'() {
        globalThis.XMLHttpRequest = FetchRequest;
        const { Strophe, $iq } = await import('strophe.js');
        const connection = new Strophe.Connection(`http://${http}/http-bind`);
        await status(Strophe, connection, 'CONNECTED', (callback) => connection.connect('meet.jitsi', '', callback));
        assert.match(connection.jid, /^[0-9a-f-]{36}@meet\.jitsi\/.+$/);
        for (let round = 0; round < 5; round += 1) {
            const request = $iq({ type: 'get', to: 'meet.jitsi' }).c('ping', { xmlns: 'urn:xmpp:ping' });
            const answer = await new Promise((resolve, reject) => connection.sendIQ(request, resolve, reject, 10_000));
            assert.equal(answer.getAttribute('type'), 'result');
        }
        connection.disconnect('enough');
        await next(states, 'DISCONNECTED');
    },

    /** A component that is asked something by its own domain's address. */
    async 'strophe-component'() {
        const { Strophe, $iq } = await import('strophe.js');
        const connection = new Strophe.Connection(`tcp://${components}`, { protocol: 'component' });
        await status(Strophe, connection, 'CONNECTED', (callback) =>
            connection.connect('gate.meet.jitsi', 's3cret', callback));
        const request = $iq({ type: 'get', from: 'a@gate.meet.jitsi', to: 'meet.jitsi' }).c('ping', { xmlns: 'urn:xmpp:ping' });
        const answer = await new Promise((resolve, reject) => connection.sendIQ(request, resolve, reject, 10_000));
        assert.equal(answer.getAttribute('type'), 'result');
        assert.equal(answer.getAttribute('to'), 'a@gate.meet.jitsi');
        connection.disconnect('enough');
    },
};

const states = new EventEmitter();

/** Connects, and resolves once the connection has this status; fails at one that it cannot come back from. */
function status(Strophe, connection, wanted, connect) {
    const names = Object.fromEntries(Object.entries(Strophe.Status).map(([name, value]) => [value, name]));
    return new Promise((resolve, reject) => {
        connect((value, condition) => {
            states.emit(names[value]);
            if (names[value] === wanted) {
                resolve();
            } else if (['CONNFAIL', 'AUTHFAIL', 'ERROR'].includes(names[value])) {
                reject(new Error(`${names[value]}: ${condition}`));
            }
        });
    });
}

/** What Strophe uses of XMLHttpRequest, which Node does not have. */
class FetchRequest {
    readyState = 0;
    status = 0;
    responseText = '';
    responseXML = null;
    #method;
    #url;
    #headers = {};
    #abort = new AbortController();

    open(method, url) {
        this.#method = method;
        this.#url = url;
        this.readyState = 1;
    }

    setRequestHeader(name, value) {
        this.#headers[name] = value;
    }

    overrideMimeType() {}

    getAllResponseHeaders() {
        return '';
    }

    async send(body) {
        try {
            const response = await fetch(this.#url, {
                method: this.#method, headers: this.#headers, body, signal: this.#abort.signal,
            });
            this.status = response.status;
            this.responseText = await response.text();
            this.responseXML = new DOMParser().parseFromString(this.responseText, 'text/xml');
        } catch {
            this.status = 0;
        }
        this.readyState = 4;
        this.onreadystatechange?.();
    }

    abort() {
        this.#abort.abort();
    }
}

await scenarios[scenario]();
console.log('passed');
process.exit(0);
