/** What a conference is made with, and what it tells. */
import type { ClientConfig } from '../config';
import type { MediaKind } from '../jingle/model';
import type { LocalMedia } from '../media/LocalMedia';
import type { ChatMessage } from '../muc/chat';
import type { StreamFactory } from '../xmpp/stream';
import type { Failure } from './failures';
import type { Gate } from './gates';
import type { Participant } from './participants';
import type { VisitorsState } from './visitors';

export type ConferenceState =
  | { readonly name: 'new' }
  /** On the way in: reaching the server, then asking for the conference, then entering the room. */
  | { readonly name: 'joining' }
  /** Held up on the way in, until the person does something or somebody else does. */
  | { readonly name: 'held'; readonly gate: Gate }
  | { readonly name: 'joined' }
  /** Was in, has lost the server or the bridge, and is trying. */
  | { readonly name: 'reconnecting'; readonly part: 'signaling' | 'media' }
  /** Over; `failure` is null after `leave`. */
  | { readonly name: 'ended'; readonly failure: Failure | null };

export type ConferenceEvents = {
  state: [state: ConferenceState];
  participants: [participants: readonly Participant[]];
  /** Endpoint id of who speaks, or `null` in silence. */
  speaker: [id: string | null];
  chat: [message: ChatMessage];
  subject: [subject: string];
  messageRefused: [text: string];
  /** Whether the server has a bridge for sound and video; told at each change, true until told. */
  bridgeAvailable: [available: boolean];
  /** Whether we only watch: when we are in, if it is otherwise than before. */
  watching: [watching: boolean];
  /** What is known of those who watch. */
  visitors: [state: VisitorsState];
  /** A moderator did not let us in who watch. */
  promotionRefused: [];
  /** A moderator sends us among those who watch. */
  demoted: [];
  /** A moderator muted us. */
  mutedBy: [media: MediaKind, actorName: string];
  /** The focus knows this login by this id; `null`: no longer. To be given to the next conference of this browser. */
  sessionId: [id: string | null];
  endpointMessage: [from: string, payload: Readonly<Record<string, unknown>>];
};

export interface ConferenceOptions {
  readonly config: ClientConfig;
  /** Folded name, as in the URL. */
  readonly room: string;
  readonly displayName: string;
  readonly machineUid: string;
  readonly sessionId?: string | null;
  readonly password?: string | null;
  readonly media: LocalMedia;
  /** Tests bring their own. */
  readonly streams?: StreamFactory;
}
