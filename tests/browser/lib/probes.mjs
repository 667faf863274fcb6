// What a receiver sees and hears, measured in its page.
//
// Here: `installProbes`, which puts `window.probes` into a page: `sees` and `hears` wait until an element shows the
// expected picture or sounds the expected tone, and their error says what was there instead.
// Not here: who should see whom (the tests); how the picture is drawn (`synthetic-media.mjs`).

/** Runs in the page, so it may use nothing from this module but its argument. */
export function installProbes({ frame }) {
  const COLOUR_TOLERANCE = 45;
  const TONE_TOLERANCE_HZ = 30;
  /** Below this a spectrum is silence: Opus and the analyser's window leave far less than this of a tone at 0.3. */
  const AUDIBLE_DB = -60;
  const POLL_MS = 100;

  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', { alpha: false, willReadFrequently: true });

  function mean(left, top, width, height) {
    const { data } = context.getImageData(Math.floor(left), Math.floor(top), Math.ceil(width), Math.ceil(height));
    const sum = [0, 0, 0];
    for (let at = 0; at < data.length; at += 4) {
      sum[0] += data[at];
      sum[1] += data[at + 1];
      sum[2] += data[at + 2];
    }
    return sum.map((channel) => Math.round((channel * 4) / data.length));
  }

  /** The picture now: colour above the bar, and the frame number or null when the bar is no valid word. */
  function picture(video) {
    if (!video || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || video.videoWidth === 0) {
      return null;
    }
    const width = video.videoWidth;
    const height = video.videoHeight;
    canvas.width = width;
    canvas.height = height;
    context.drawImage(video, 0, 0, width, height);
    const colour = mean(width * 0.25, height * 0.15, width * 0.5, height * 0.4);
    const bits = frame.counterBits + frame.checkBits;
    const block = width / bits;
    const barHeight = height * (1 - frame.barTop);
    let word = 0;
    for (let bit = 0; bit < bits; bit += 1) {
      const [r, g, b] = mean((bit + 0.35) * block, height * frame.barTop + barHeight * 0.35, block * 0.3, barHeight * 0.3);
      word = (word << 1) | (r + g + b > 3 * 128 ? 1 : 0);
    }
    const counter = word >> frame.checkBits;
    const check = ((counter >> 8) ^ (counter >> 4) ^ counter ^ 0b1010) & 0xf;
    return { colour, counter: check === (word & 0xf) ? counter : null, width, height };
  }

  const near = (a, b) => a.every((channel, at) => Math.abs(channel - b[at]) <= COLOUR_TOLERANCE);

  /** Waits until the element shows `colour` with at least `frames` later frame numbers; answers what was seen. */
  async function sees(selector, colour, { frames = 3, timeoutMs = 15_000 } = {}) {
    const began = performance.now();
    const counters = [];
    let last = null;
    while (performance.now() - began < timeoutMs) {
      last = picture(document.querySelector(selector));
      if (last && last.counter !== null && near(last.colour, colour)) {
        const previous = counters.at(-1);
        const ahead = previous === undefined ? 1 : (last.counter - previous) & ((1 << frame.counterBits) - 1);
        if (ahead >= 1 << (frame.counterBits - 1)) {
          // A camera that was opened anew counts from 0: what was there before is the last frame of the old one.
          counters.length = 0;
        }
        if (ahead > 0) {
          counters.push(last.counter);
        }
        if (counters.length > frames) {
          return { ...last, counters, ms: Math.round(performance.now() - began) };
        }
      }
      await pause(POLL_MS);
    }
    const video = document.querySelector(selector);
    const state = video
      ? { readyState: video.readyState, paused: video.paused, tracks: video.srcObject?.getTracks().map((t) => `${t.kind} ${t.readyState} muted=${t.muted}`) }
      : 'no such element';
    throw new Error(
      `${selector}: expected colour ${colour} and a counter that advances; ` +
        `saw ${JSON.stringify(last)}, counters ${JSON.stringify(counters)}, element ${JSON.stringify(state)}`,
    );
  }

  let audio;
  const analysers = new WeakMap();

  function analyserOf(stream) {
    let analyser = analysers.get(stream);
    if (!analyser) {
      audio ??= new AudioContext();
      void audio.resume();
      analyser = new AnalyserNode(audio, { fftSize: 8192, smoothingTimeConstant: 0 });
      audio.createMediaStreamSource(stream).connect(analyser);
      analysers.set(stream, analyser);
    }
    return analyser;
  }

  /** The loudest frequency of the element's stream now, or null while it has no audio track. */
  function peak(element) {
    const stream = element?.srcObject;
    if (!stream || stream.getAudioTracks().length === 0) {
      return null;
    }
    const analyser = analyserOf(stream);
    const spectrum = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(spectrum);
    let loudest = 1;
    for (let bin = 2; bin < spectrum.length; bin += 1) {
      if (spectrum[bin] > spectrum[loudest]) {
        loudest = bin;
      }
    }
    const hz = (loudest * analyser.context.sampleRate) / analyser.fftSize;
    return { hz: Math.round(hz), db: Number.isFinite(spectrum[loudest]) ? Math.round(spectrum[loudest]) : -200 };
  }

  async function untilPeak(selector, timeoutMs, wanted, isThere) {
    const began = performance.now();
    let last = null;
    while (performance.now() - began < timeoutMs) {
      last = peak(document.querySelector(selector));
      if (last && isThere(last)) {
        return { ...last, ms: Math.round(performance.now() - began) };
      }
      await pause(POLL_MS);
    }
    throw new Error(`${selector}: expected ${wanted}; heard ${JSON.stringify(last)}`);
  }

  /** Waits until the loudest frequency of the element's sound is `hz`; answers what was heard. */
  function hears(selector, hz, { timeoutMs = 15_000 } = {}) {
    return untilPeak(
      selector,
      timeoutMs,
      `a tone of ${hz} Hz`,
      (now) => now.db > AUDIBLE_DB && Math.abs(now.hz - hz) <= TONE_TOLERANCE_HZ,
    );
  }

  /** Waits until the element's sound is silence. */
  function silent(selector, { timeoutMs = 15_000 } = {}) {
    return untilPeak(selector, timeoutMs, 'silence', (now) => now.db <= AUDIBLE_DB);
  }

  window.probes = { sees, hears, silent, picture, peak };
}
