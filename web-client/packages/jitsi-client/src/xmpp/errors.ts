/** What can go wrong with a stanza sent to someone (RFC 6120 §8.3). */
import { attr, child, children, childText, type XmlNode } from './xml';

/** An IQ was answered by an error, or not at all. */
export class StanzaError extends Error {
  constructor(
    /** Defined condition (`not-allowed`), `timeout` when no answer came, `connection-lost` when the session ended first. */
    readonly condition: string,
    /** `auth`, `cancel`, `modify`, `wait`, or empty. */
    readonly type: string = '',
    /** Text for people, in the server's language; empty when there is none. */
    readonly text: string = '',
    /** The `<error/>` element, for application-specific conditions. */
    readonly element: Element | null = null,
    /** Application-specific condition to send beside the defined one. */
    readonly extra: XmlNode | null = null,
  ) {
    super(text === '' ? condition : `${condition}: ${text}`);
    this.name = 'StanzaError';
  }
}

/** Reads the `<error/>` of a stanza of type error. */
export function parseStanzaError(stanza: Element): StanzaError {
  const error = child(stanza, 'error');
  const conditions = children(error).map((element) => element.localName).filter((name) => name !== 'text');
  const defined = conditions.find((name) => DEFINED.has(name)) ?? conditions[0] ?? 'undefined-condition';
  return new StanzaError(defined, attr(error, 'type') ?? '', childText(error, 'text') ?? '', error);
}

/** RFC 6120 §8.3.3. */
const DEFINED = new Set([
  'bad-request', 'conflict', 'feature-not-implemented', 'forbidden', 'gone', 'internal-server-error', 'item-not-found',
  'jid-malformed', 'not-acceptable', 'not-allowed', 'not-authorized', 'policy-violation', 'recipient-unavailable', 'redirect',
  'registration-required', 'remote-server-not-found', 'remote-server-timeout', 'resource-constraint', 'service-unavailable',
  'subscription-required', 'undefined-condition', 'unexpected-request',
]);
