/** Cameras and microphones: capture and its failures as types. */
import type { MediaKind } from '../jingle/model';

export type DeviceErrorKind =
  /** The person or the browser said no. */
  | 'denied'
  /** There is no such device. */
  | 'missing'
  /** Another program holds it, or the driver failed. */
  | 'busy'
  /** The page is not served over https, so the browser hides its devices. */
  | 'insecure'
  | 'other';

export class DeviceError extends Error {
  constructor(readonly media: MediaKind, readonly kind: DeviceErrorKind, detail = '') {
    super(`${media}: ${kind}${detail === '' ? '' : ` (${detail})`}`);
    this.name = 'DeviceError';
  }
}

/** Names of `getUserMedia`'s failures across browsers, as kinds. */
export function deviceErrorKind(name: string): DeviceErrorKind {
  switch (name) {
    case 'NotAllowedError':
    case 'PermissionDeniedError':
    case 'SecurityError':
      return 'denied';
    case 'NotFoundError':
    case 'DevicesNotFoundError':
    case 'OverconstrainedError':
      return 'missing';
    case 'NotReadableError':
    case 'TrackStartError':
    case 'AbortError':
      return 'busy';
    default:
      return 'other';
  }
}

export function captureConstraints(media: MediaKind, deviceId: string | null): MediaTrackConstraints {
  const device = deviceId === null ? {} : { deviceId: { ideal: deviceId } };
  return media === 'audio'
    ? { ...device, echoCancellation: true, noiseSuppression: true, autoGainControl: true }
    : { ...device, width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };
}

/** Opens one device; rejects with `DeviceError`. */
export async function capture(media: MediaKind, deviceId: string | null): Promise<MediaStreamTrack> {
  const tracks = await captureAll([media], { audio: deviceId, video: deviceId });
  const result = tracks[media];
  if (result === null || result === undefined) throw new DeviceError(media, 'missing');
  if (result instanceof DeviceError) throw result;
  return result;
}

export type CaptureResult = Partial<Record<MediaKind, MediaStreamTrack | DeviceError>>;

/** Opens several devices with one question to the person; what fails does not keep the others from coming. */
export async function captureAll(wanted: readonly MediaKind[], devices: Readonly<Record<MediaKind, string | null>>): Promise<CaptureResult> {
  const out: CaptureResult = {};
  if (wanted.length === 0) return out;
  const { mediaDevices } = globalThis.navigator;
  if (!mediaDevices?.getUserMedia) {
    for (const media of wanted) out[media] = new DeviceError(media, globalThis.isSecureContext ? 'other' : 'insecure');
    return out;
  }
  const constraints: MediaStreamConstraints = {};
  for (const media of wanted) constraints[media] = captureConstraints(media, devices[media]);
  try {
    const stream = await mediaDevices.getUserMedia(constraints);
    for (const media of wanted) {
      const track = (media === 'audio' ? stream.getAudioTracks() : stream.getVideoTracks())[0];
      out[media] = track ?? new DeviceError(media, 'missing');
    }
    return out;
  } catch (error) {
    if (wanted.length > 1) {
      // Which of the two failed is not told: ask for each.
      for (const media of wanted) Object.assign(out, await captureAll([media], devices));
      return out;
    }
    const name = error instanceof Error || error instanceof DOMException ? error.name : '';
    for (const media of wanted) out[media] = new DeviceError(media, deviceErrorKind(name), name);
    return out;
  }
}

export interface DeviceChoice {
  readonly id: string;
  readonly label: string;
}

/** Inputs of one kind. Without permission the browser gives no ids, and the list is empty. */
export async function listInputs(media: MediaKind): Promise<DeviceChoice[]> {
  const all = (await globalThis.navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
  const kind = media === 'audio' ? 'audioinput' : 'videoinput';
  return all.filter((device) => device.kind === kind && device.deviceId !== '').map((device) => ({ id: device.deviceId, label: device.label }));
}
