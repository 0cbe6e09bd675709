// How much of the noisy signal stays beside the enhanced one: noisy_share.py in JavaScript.

import { joined } from "./arrays.mjs";

// What fades in, as a share: half a cosine from 0 to 1 over so many samples.
export function rise(since, samples) {
  return 0.5 - 0.5 * Math.cos(Math.PI * Math.min(Math.max(since / samples, 0), 1));
}

// The noisy signal's share, from 0 to 1, of a strength and of the most, in dB, that is taken away;
// null: no limit.
export function noisyShare(strength, limitDb) {
  if (!(strength >= 0 && strength <= 1)) {
    throw new RangeError(`strength is ${strength}, but must be within 0 and 1`);
  }
  if (limitDb === null) return 1 - strength;
  if (!(limitDb >= 0)) throw new RangeError(`the limit is ${limitDb}, but must be 0 dB or more`);
  return Math.max(1 - strength, 10 ** (-limitDb / 20));
}

export class SampleQueue {
  constructor() {
    this.samples = new Float32Array(0);
  }

  put(samples) {
    this.samples = joined(this.samples, samples);
  }

  // The first `count` of them, or all where they are fewer.
  take(count) {
    const taken = this.samples.slice(0, count);
    this.samples = this.samples.slice(count);
    return taken;
  }
}

export class NoisyShare {
  constructor(fadeSamples, share = 0) {
    this.fadeSamples = fadeSamples;
    this.shareNow = share;
    this.restart();
  }

  get share() {
    return this.shareNow;
  }

  set share(share) {
    if (share === this.shareNow) return;
    // Before the first sample there is nothing to fade from.
    this.before = this.mixed ? this.shareAt(0) : share;
    this.shareNow = share;
    this.since = 0;
  }

  // Forget the signal; the next is another.
  restart() {
    this.noisy = new SampleQueue();
    this.before = this.shareNow;
    this.since = this.mixed = 0; // samples since a fade began, and of this signal
  }

  keep(noisy) {
    this.noisy.put(noisy);
  }

  // The next samples of the enhanced signal, with the noisy one's.
  mix(enhanced) {
    const noisy = this.noisy.take(enhanced.length);
    const mixed = enhanced.map((sample, n) => sample + this.shareAt(n) * (noisy[n] - sample));
    this.since += enhanced.length;
    this.mixed += enhanced.length;
    return mixed;
  }

  shareAt(n) {
    const risen = rise(this.since + n + 0.5, this.fadeSamples);
    return this.before + risen * (this.shareNow - this.before);
  }
}
