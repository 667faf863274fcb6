/** What a Jingle session says, in plain data: the types between XML on one side and SDP on the other. */

export type MediaKind = 'audio' | 'video';

export interface PayloadType {
  readonly id: number;
  readonly name: string;
  readonly clockrate: number;
  readonly channels: number;
  /** Parameters in order; an empty name gives a bare value (`111/111` of RED). */
  readonly parameters: readonly { readonly name: string; readonly value: string }[];
  readonly feedback: readonly Feedback[];
}

export interface Feedback {
  readonly type: string;
  readonly subtype: string;
}

export interface HeaderExtension {
  readonly id: number;
  readonly uri: string;
}

export interface IceCandidate {
  readonly foundation: string;
  readonly component: number;
  readonly protocol: 'udp' | 'tcp';
  readonly priority: number;
  readonly ip: string;
  readonly port: number;
  readonly type: string;
  readonly tcpType: string | null;
  readonly relatedAddress: string | null;
  readonly relatedPort: number | null;
}

export interface IceTransport {
  readonly ufrag: string;
  readonly pwd: string;
  readonly fingerprint: { readonly hash: string; readonly value: string; readonly setup: string } | null;
  readonly candidates: readonly IceCandidate[];
  /** Colibri WebSocket URLs, in the order of the offer. */
  readonly webSockets: readonly string[];
}

export interface RtpContent {
  readonly kind: MediaKind;
  readonly name: string;
  readonly payloadTypes: readonly PayloadType[];
  readonly extensions: readonly HeaderExtension[];
  readonly extmapAllowMixed: boolean;
}

export interface DataContent {
  readonly kind: 'data';
  readonly name: string;
  readonly sctpPort: number;
}

export type Content = RtpContent | DataContent;

/** A source of somebody else: what a receiver needs to know of it. */
export interface RemoteSource {
  readonly name: string;
  /** Endpoint id of the sender. */
  readonly owner: string;
  readonly media: MediaKind;
  readonly ssrc: number;
  readonly rtx: number | null;
  /** `stream track`. */
  readonly msid: string;
  readonly desktop: boolean;
}

/** A source of ours as signalled: layers from low to high quality. */
export interface LocalSource {
  readonly name: string;
  readonly media: MediaKind;
  readonly msid: string;
  readonly layers: readonly { readonly ssrc: number; readonly rtx: number | null }[];
}

/** A session-initiate, read. */
export interface SessionOffer {
  readonly sid: string;
  readonly initiator: string;
  /** Stands for the bridge's side in session-terminate and session-info; empty when the offer has none. */
  readonly bridgeSessionId: string;
  readonly contents: readonly Content[];
  readonly transport: IceTransport;
  readonly sources: readonly RemoteSource[];
}
