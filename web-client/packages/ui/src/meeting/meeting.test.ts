import { describe, expect, it } from 'vitest';
import { DeviceError } from '@teranga/jitsi-client';
import { deviceNotice, withDeviceError } from '../state/notices';
import { bestColumns, startOf, usefulHeight } from './grid';
import { shortcutOf } from './shortcuts';
import { initials } from './Tile';

describe('grid', () => {
  it('makes tiles as large as the area allows', () => {
    expect([1, 2, 3, 4, 9].map((count) => bestColumns(count, 1600, 900).columns)).toEqual([1, 2, 2, 2, 3]);
    expect(bestColumns(2, 400, 800).columns).toBe(1);
    expect(bestColumns(4, 1600, 900).tileHeight).toBe(450);
  });

  it('scrolls rather than shrink tiles beyond recognition', () => {
    expect(bestColumns(100, 360, 640).columns).toBe(2);
  });

  it('survives an area without size', () => {
    expect(bestColumns(0, 0, 0)).toEqual({ columns: 1, tileHeight: 0 });
  });

  it('puts an unfilled last row in the middle', () => {
    expect([0, 1, 2].map((at) => startOf(at, 3, 2))).toEqual([null, null, 2]);
    expect([3, 4, 5].map((at) => startOf(at, 6, 3))).toEqual([null, null, null]);
    expect(startOf(3, 5, 3)).toBe(2);
  });

  it('asks for the smallest useful height', () => {
    expect([0, 180, 201, 400, 401, 2000].map(usefulHeight)).toEqual([180, 180, 360, 360, 720, 720]);
  });
});

describe('shortcuts', () => {
  const press = (key: string, more: object = {}): ReturnType<typeof shortcutOf> =>
    shortcutOf({ key, ctrlKey: false, altKey: false, metaKey: false, repeat: false, target: document.body, ...more });

  it('are those of the stock client', () => {
    expect(['m', 'V', 'c', 'r', '?', 'x'].map((key) => press(key))).toEqual(['mic', 'camera', 'chat', 'hand', 'help', null]);
  });

  it('stay out of typing and of the browser’s own', () => {
    const input = document.createElement('input');
    expect(press('m', { target: input })).toBeNull();
    expect(press('c', { ctrlKey: true })).toBeNull();
    expect(press('m', { repeat: true })).toBeNull();
  });
});

describe('device notice', () => {
  const errors = (audio: string | null, video: string | null): ReturnType<typeof deviceNotice> => {
    let all = {};
    if (audio !== null) all = withDeviceError(all, 'audio', new DeviceError('audio', audio as 'denied'));
    if (video !== null) all = withDeviceError(all, 'video', new DeviceError('video', video as 'denied'));
    return deviceNotice(all);
  };

  it('is one sentence for both devices, or names the one', () => {
    expect(errors(null, null)).toBeNull();
    expect(errors('denied', 'denied')).toBe('devices-denied');
    expect(errors('missing', null)).toBe('microphone-missing');
    expect(errors(null, 'busy')).toBe('camera-busy');
    expect(errors('busy', 'missing')).toBe('microphone-busy');
    expect(errors('other', null)).toBe('devices-other');
    expect(errors('insecure', 'insecure')).toBe('devices-insecure');
  });

  it('goes away when the device works', () => {
    const all = withDeviceError({}, 'video', new DeviceError('video', 'denied'));
    expect(deviceNotice(withDeviceError(all, 'video', null))).toBeNull();
  });
});

describe('avatar', () => {
  it('shows the first letters of the first and the last word', () => {
    expect(['Awa Ndiaye', 'awa', '', 'Marie de la Tour', '😀 x'].map(initials)).toEqual(['AN', 'A', '', 'MT', '😀X']);
  });
});
