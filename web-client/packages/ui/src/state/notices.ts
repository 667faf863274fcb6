/** Which failures of the devices to show, as one notice: the one sentence that helps most. */
import type { DeviceError, DeviceErrorKind, FailureCode, MediaKind } from '@teranga/jitsi-client';

export type DeviceNoticeCode =
  | 'devices-insecure'
  | 'devices-other'
  | `${'devices' | 'microphone' | 'camera'}-${'denied' | 'missing' | 'busy'}`;

/** All codes that a sentence exists for. */
export type NoticeCode = FailureCode | DeviceNoticeCode | 'browser-unsupported' | 'bad-config' | 'reconnecting' | 'reconnecting-media' | 'bridge-unavailable';

export type DeviceErrors = Readonly<Partial<Record<MediaKind, DeviceErrorKind>>>;

/** Notes an error of a device, or that it works. */
export function withDeviceError(errors: DeviceErrors, media: MediaKind, error: DeviceError | null): DeviceErrors {
  const { [media]: _old, ...rest } = errors;
  return error ? { ...rest, [media]: error.kind } : rest;
}

/** The notice for the present errors; `null` when all is well. */
export function deviceNotice(errors: DeviceErrors): DeviceNoticeCode | null {
  const { audio, video } = errors;
  if (audio === 'insecure' || video === 'insecure') return 'devices-insecure';
  if (audio === undefined && video === undefined) return null;
  if (audio !== undefined && audio === video) return audio === 'other' ? 'devices-other' : `devices-${audio}`;
  // With two different errors the microphone's comes first: audio matters more.
  const [device, kind] = audio === undefined ? (['camera', video] as const) : (['microphone', audio] as const);
  return kind === 'other' || kind === undefined ? 'devices-other' : `${device}-${kind}`;
}
