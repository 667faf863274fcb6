// A camera and a microphone that a test can recognise at the far end.
//
// Here: `installSyntheticMedia`, which runs inside the page before any of its scripts and takes the place of
// `getUserMedia`. The picture is a canvas filled with the participant's own colour above a bar of black and white blocks
// that spell the frame number; the sound is an oscillator at the participant's own frequency.
// Not here: reading both back (`probes.mjs`).

/** How a frame number is drawn: a bar at the bottom of the picture, one block a bit, most significant first. */
export const FRAME = {
  /** Bits of the number; it wraps after 4096 frames, 4.5 minutes at 15 frames a second. */
  counterBits: 12,
  /** Bits after the number, from the number alone; an all-black or all-white bar is no valid word. */
  checkBits: 4,
  /** The bar takes the picture from this fraction of its height down to the bottom. */
  barTop: 0.72,
};

/** Colours far enough apart to survive chroma subsampling and a low bitrate; participant k has the k-th. */
export const COLOURS = [
  [200, 40, 40],
  [40, 170, 60],
  [50, 70, 210],
  [215, 175, 40],
];

/** The tone of participant k in Hz: far enough apart for one FFT bin never to be mistaken for the next. */
export const toneOf = (index) => 400 + 300 * index;

/** What participant `index` sends. Plain data: it crosses into the page. */
export function mediaOf(index, overrides = {}) {
  return { frame: FRAME, colour: COLOURS[index], toneHz: toneOf(index), width: 640, height: 360, fps: 15, ...overrides };
}

/** Runs in the page, so it may use nothing from this module but its argument. */
export function installSyntheticMedia(media) {
  const { frame, colour, toneHz, width, height, fps } = media;

  function checkOf(counter) {
    return ((counter >> 8) ^ (counter >> 4) ^ counter ^ 0b1010) & 0xf;
  }

  function paint(context, counter) {
    context.fillStyle = `rgb(${colour.join(',')})`;
    context.fillRect(0, 0, width, height);
    const bits = frame.counterBits + frame.checkBits;
    const word = (counter << frame.checkBits) | checkOf(counter);
    const top = Math.round(height * frame.barTop);
    for (let block = 0; block < bits; block += 1) {
      const left = Math.round((block * width) / bits);
      const right = Math.round(((block + 1) * width) / bits);
      context.fillStyle = (word >> (bits - 1 - block)) & 1 ? '#fff' : '#000';
      context.fillRect(left, top, right - left, height - top);
    }
  }

  function camera() {
    const canvas = document.createElement('canvas');
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext('2d', { alpha: false, willReadFrequently: true });
    let counter = 0;
    paint(context, counter);
    const [track] = canvas.captureStream(fps).getVideoTracks();
    const timer = setInterval(() => {
      if (track.readyState === 'ended') {
        clearInterval(timer);
        return;
      }
      counter = (counter + 1) % (1 << frame.counterBits);
      paint(context, counter);
    }, 1000 / fps);
    return track;
  }

  let audio;
  function microphone() {
    audio ??= new AudioContext();
    void audio.resume();
    const oscillator = new OscillatorNode(audio, { frequency: toneHz });
    const gain = new GainNode(audio, { gain: 0.3 });
    const out = new MediaStreamAudioDestinationNode(audio, { channelCount: 1 });
    oscillator.connect(gain).connect(out);
    oscillator.start();
    return out.stream.getAudioTracks()[0];
  }

  function device(kind, deviceId, label) {
    const info = { kind, deviceId, label, groupId: 'synthetic' };
    return { ...info, toJSON: () => info };
  }

  const devices = [
    device('audioinput', 'synthetic-microphone', 'Synthetic microphone'),
    device('videoinput', 'synthetic-camera', 'Synthetic camera'),
    device('audiooutput', 'default', 'Default'),
  ];

  navigator.mediaDevices.enumerateDevices = async () => [...devices];
  navigator.mediaDevices.getUserMedia = async (constraints = {}) => {
    const tracks = [];
    if (constraints.audio) {
      tracks.push(microphone());
    }
    if (constraints.video) {
      tracks.push(camera());
    }
    if (tracks.length === 0) {
      throw new TypeError('At least one of audio and video must be requested');
    }
    return new MediaStream(tracks);
  };
}
