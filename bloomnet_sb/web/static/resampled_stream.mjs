// A stream at the rate of a device: resampled_stream.py in JavaScript.

import { rounded } from "./arrays.mjs";
import { FrameStream } from "./frame_stream.mjs";
import { FullBand } from "./full_band.mjs";
import { SampleQueue } from "./noisy_share.mjs";

export class ResampledStream extends FrameStream {
  constructor(engine, networkRate, sampleRate, options = {}) {
    super(engine, networkRate, options);
    this.sampleRate = sampleRate;
    this.noisy.fadeSamples = Math.max(rounded((options.fadeSeconds ?? 0.02) * sampleRate), 1);
    this.band = new FullBand(networkRate, sampleRate);
    this.reset();
  }

  // How many samples `process` holds back, always: both filters' reach and the window.
  get delaySamples() {
    return this.band.delaySamples(super.delaySamples);
  }

  reset() {
    super.reset();
    this.band?.reset(); // not there yet while the parent is being made
    this.ready = new SampleQueue();
    this.held = 0; // samples received, less those returned
  }

  async take(samples) {
    this.held += samples.length;
    this.ready.put(this.band.join(await super.take(this.band.split(samples))));
    return this.release(Math.max(this.held - this.delaySamples, 0));
  }

  async end() {
    this.ready.put(this.band.join(await super.take(this.band.splitEnd())));
    this.ready.put(this.band.join(await super.end()));
    this.ready.put(this.band.joinEnd());
    return this.release(this.held);
  }

  release(samples) {
    this.held -= samples;
    return this.ready.take(samples);
  }
}
