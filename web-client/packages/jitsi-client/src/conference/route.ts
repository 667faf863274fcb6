/** Where in a deployment a meeting is met: in its own room, or in the room of a visitor node (protocol/client.md §6.11). */
import { withQuery, type ClientConfig } from '../config';
import type { Account } from '../xmpp/stream';

export type Route =
  /** As the focus answers. */
  | { readonly kind: 'main' }
  /** To watch, at the node of that name. */
  | { readonly kind: 'visitor'; readonly vnode: string; readonly focusJid: string | null }
  /** Let in by a moderator, under this user name, which serves for one login. */
  | { readonly kind: 'promoted'; readonly username: string; readonly focusJid: string | null };

export interface Place {
  /** XMPP domain of the stream. */
  readonly domain: string;
  /** URL of the stream's WebSocket. */
  readonly url: string;
  /** MUC service. */
  readonly muc: string;
}

/** The place that a route leads to. Nodes take nobody's password: `account` is for the main domain. */
export function placeOf(route: Route, config: ClientConfig, room: string, account: Account | null): Place {
  const query: Record<string, string> = { room, ...(config.token === null ? {} : { token: config.token }) };
  if (route.kind === 'visitor') {
    const domain = `${route.vnode}.${config.visitorsDomain}`;
    return { domain, url: withQuery(config.websocket, { ...query, vnode: route.vnode }), muc: config.muc.replace(config.accountDomain, domain) };
  }
  const more: Record<string, string> = route.kind === 'promoted' ? { customusername: route.username } : {};
  return { domain: account === null ? config.domain : config.accountDomain, url: withQuery(config.websocket, { ...query, ...more }), muc: config.muc };
}
