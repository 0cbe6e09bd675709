// To a network's rate and back, with the band above it: full_band.py in JavaScript, for one signal.

import { joined } from "./arrays.mjs";
import { SampleQueue } from "./noisy_share.mjs";
import { PolyphaseResampler } from "./polyphase.mjs";

const GAIN_SECONDS = 0.004;
const LEAST_POWER = 1e-20;

// A high pass of Butterworth's kind and order 4 at a quarter of the rate: two sections [b, a], of
// the pairs of poles. At that frequency the bilinear transform has tan(pi / 4) = 1.
const HIGH_PASS = [Math.PI / 8, (3 * Math.PI) / 8].map((angle) => {
  const damping = 2 * Math.cos(angle);
  const scale = 2 + damping;
  return { b: [1 / scale, -2 / scale, 1 / scale], a: [0, (2 - damping) / scale] };
});

// A filter of two poles, sample after sample.
class Section {
  constructor({ b, a }) {
    Object.assign(this, { b, a, first: 0, second: 0 });
  }

  next(x) {
    const { b, a } = this;
    const y = b[0] * x + this.first;
    this.first = b[1] * x - a[0] * y + this.second;
    this.second = b[2] * x - a[1] * y;
    return y;
  }
}

// The mean power of the top octave over the last 10 ms or so.
class TopOctavePower {
  constructor(rate) {
    const decay = Math.exp(-1 / (GAIN_SECONDS * rate));
    this.sections = HIGH_PASS.map((section) => new Section(section));
    this.mean = new Section({ b: [(1 - decay) ** 2, 0, 0], a: [-2 * decay, decay ** 2] });
  }

  next(sample) {
    const high = this.sections.reduce((x, section) => section.next(x), sample);
    return Math.max(this.mean.next(high ** 2), 0) + LEAST_POWER;
  }
}

// What a network did to the top octave of its band, as a gain from 0 to 1.
export class TopOctaveGain {
  constructor(networkRate, sampleRate) {
    this.step = networkRate / sampleRate;
    this.before = new TopOctavePower(networkRate);
    this.after = new TopOctavePower(networkRate);
    this.gains = new Float32Array(0); // at the network's rate, without those of the past
    this.past = this.taken = 0;
  }

  put(noisy, estimate) {
    const gains = estimate.map((sample, n) => {
      const before = this.before.next(noisy[n]);
      return Math.sqrt(Math.min(this.after.next(sample) / before, 1));
    });
    this.gains = joined(this.gains, gains);
  }

  // The gains of the next samples at the other rate, on straight lines.
  take(count) {
    const last = this.gains.length - 1;
    const taken = new Float32Array(count);
    let place = 0;
    for (let n = 0; n < count; n += 1) {
      place = (this.taken + n) * this.step - this.past;
      const first = Math.floor(place);
      const [before, after] = [first, first + 1].map((at) => this.gains[Math.min(at, last)]);
      taken[n] = before + (place - first) * (after - before);
    }
    this.taken += count;
    const past = Math.max(Math.min(Math.floor(place), last), 0);
    this.gains = this.gains.slice(past);
    this.past += past;
    return taken;
  }
}

export class FullBand {
  constructor(networkRate, sampleRate) {
    this.rates = [networkRate, sampleRate];
    this.follows = sampleRate > networkRate; // there is a band above
    this.down = new PolyphaseResampler(sampleRate, networkRate);
    this.up = new PolyphaseResampler(networkRate, sampleRate);
    this.upAgain = new PolyphaseResampler(networkRate, sampleRate);
    this.reset();
  }

  reset() {
    for (const resampler of [this.down, this.up, this.upAgain]) resampler.reset();
    this.left = 0; // samples that were taken, less those that came back
    this.gain = new TopOctaveGain(...this.rates);
    // What the estimates are compared with, the signal, and the band above in it
    [this.low, this.signal, this.above] = [new SampleQueue(), new SampleQueue(), new SampleQueue()];
  }

  // The most that is held back, where so many samples are at the network's rate.
  delaySamples(networkDelay) {
    const reach = this.down.reach + this.up.reach;
    return Math.floor((reach + this.down.down * networkDelay) / this.down.up);
  }

  // Take the next samples; gives those for the network.
  split(samples) {
    this.left += samples.length;
    if (this.follows) this.signal.put(samples);
    return this.forNetwork(this.down.process(samples));
  }

  splitEnd() {
    const low = this.forNetwork(this.down.flush());
    if (this.follows) this.putAbove(this.upAgain.flush());
    return low;
  }

  // Take the network's next estimate; gives what is ready at the signal's rate.
  join(estimate) {
    const back = this.up.process(estimate);
    if (this.follows) this.gain.put(this.low.take(estimate.length), estimate);
    return this.withAbove(back);
  }

  joinEnd() {
    return this.withAbove(this.up.flush());
  }

  forNetwork(low) {
    if (this.follows) {
      this.low.put(low);
      this.putAbove(this.upAgain.process(low));
    }
    return low;
  }

  // Take the next samples of what the network was given, at the signal's rate.
  putAbove(below) {
    this.above.put(this.signal.take(below.length).map((sample, n) => sample - below[n]));
  }

  withAbove(back) {
    // Resampling there and back may give some samples more; never fewer.
    const kept = back.slice(0, this.left);
    this.left -= kept.length;
    if (!this.follows) return kept;
    const above = this.above.take(kept.length);
    const gains = this.gain.take(kept.length);
    return kept.map((sample, n) => sample + gains[n] * above[n]);
  }
}
