/**
 * The login of a host who came in as a guest: a second stream shows who he is, and the focus gives a session id that the
 * first one can show (protocol/client.md §4.4).
 */
import { buildConferenceIq, parseConferenceIq, REQUEST_TIMEOUT_MS, type ConferenceRequest } from '../focus/conferenceRequest';
import { loginProblem, type LoginProblem } from './gates';
import type { XmppConnection } from '../xmpp/XmppConnection';

export type HostLogin =
  | { readonly kind: 'in'; readonly sessionId: string }
  | { readonly kind: 'out'; readonly problem: LoginProblem };

/** Logs in on this connection, which is not started yet, and ends it. */
export function logInAsHost(connection: XmppConnection, focus: string, request: ConferenceRequest): Promise<HostLogin> {
  return new Promise((resolve) => {
    const end = (login: HostLogin): void => {
      resolve(login);
      connection.stop();
    };
    const out = (problem: LoginProblem): HostLogin => ({ kind: 'out', problem });
    connection.on('closed', (closed) => resolve(out(closed.reason === 'refused' ? loginProblem(closed.condition) : 'failed')));
    connection.on('session', () => {
      connection.request(buildConferenceIq(focus, request), REQUEST_TIMEOUT_MS).then(
        (answer) => {
          const { sessionId } = parseConferenceIq(answer);
          end(sessionId === null ? out('failed') : { kind: 'in', sessionId });
        },
        () => end(out('failed')),
      );
    });
    connection.start();
  });
}
