/** What components of the server say, which have JSON in messages (protocol/client.md §6). */
import { NS } from '../xmpp/ns';
import { attr, childText, parseJsonObject } from '../xmpp/xml';

export interface ComponentMessage {
  /** Address of the component. */
  readonly from: string;
  readonly json: Readonly<Record<string, unknown>>;
}

/** Reads a message of a component, which comes from a domain: nobody but the server can send from one (§2.4). */
export function readComponentMessage(message: Element): ComponentMessage | null {
  const from = attr(message, 'from') ?? '';
  if (from === '' || from.includes('@') || from.includes('/')) return null;
  const json = parseJsonObject(childText(message, 'json-message', NS.JITMEET));
  return json ? { from, json } : null;
}
