/** A client of Jitsi-compatible conferences without user interface: connection, room, media. */
export { ConfigError, foldRoomName, readConfig, readHash, roomNameFromPath, withOverrides, type ClientConfig, type HashOverrides } from './config';
export { Conference } from './conference/Conference';
export type { Gate, LoginProblem, LoginWay } from './conference/gates';
export type { ConferenceEvents, ConferenceOptions, ConferenceState } from './conference/types';
export { failure, type Failure, type FailureCode } from './conference/failures';
export type { Participant } from './conference/participants';
export type { PromotionRequest, VisitorsState } from './conference/visitors';
export { Emitter } from './events';
export { isRecord } from './xmpp/xml';
export type { MediaKind } from './jingle/model';
export { DeviceError, listInputs, type DeviceChoice, type DeviceErrorKind } from './media/devices';
export { LocalMedia } from './media/LocalMedia';
export { MAX_MESSAGE_LENGTH, type ChatMessage } from './muc/chat';
export { cleanName, MAX_NAME_LENGTH } from './muc/presence';
