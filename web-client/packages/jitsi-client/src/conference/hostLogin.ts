/**
 * The login of a host who came in as a guest: a second stream shows who he is, and the focus gives a session id that the
 * first one can show (protocol/client.md §4.4).
 */
import { buildConferenceIq, parseConferenceIq, REQUEST_TIMEOUT_MS, type ConferenceRequest } from '../focus/conferenceRequest';
import type { XmppConnection } from '../xmpp/XmppConnection';

export type HostLogin =
  | { readonly kind: 'in'; readonly sessionId: string }
  /** Name or password are wrong. */
  | { readonly kind: 'refused' }
  /** Nobody said either. */
  | { readonly kind: 'failed' };

/** Logs in on this connection, which is not started yet, and ends it. */
export function logInAsHost(connection: XmppConnection, focus: string, request: ConferenceRequest): Promise<HostLogin> {
  return new Promise((resolve) => {
    const end = (login: HostLogin): void => {
      resolve(login);
      connection.stop();
    };
    connection.on('closed', ({ reason }) => resolve({ kind: reason === 'refused' || reason === 'login-needed' ? 'refused' : 'failed' }));
    connection.on('session', () => {
      connection.request(buildConferenceIq(focus, request), REQUEST_TIMEOUT_MS).then(
        (answer) => {
          const { sessionId } = parseConferenceIq(answer);
          end(sessionId === null ? { kind: 'failed' } : { kind: 'in', sessionId });
        },
        () => end({ kind: 'failed' }),
      );
    });
    connection.start();
  });
}
