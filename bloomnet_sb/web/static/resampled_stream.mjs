// A stream at the rate of a device: resampled_stream.py in JavaScript, without the band above.

import { joined, rounded } from "./arrays.mjs";
import { FrameStream } from "./frame_stream.mjs";
import { SampleQueue } from "./noisy_share.mjs";
import { PolyphaseResampler } from "./polyphase.mjs";

export class ResampledStream extends FrameStream {
  constructor(engine, networkRate, sampleRate, options = {}) {
    super(engine, networkRate, options);
    this.sampleRate = sampleRate;
    this.noisy.fadeSamples = Math.max(rounded((options.fadeSeconds ?? 0.02) * sampleRate), 1);
    this.down = new PolyphaseResampler(sampleRate, networkRate);
    this.up = new PolyphaseResampler(networkRate, sampleRate);
    this.reset();
  }

  // How many samples `process` holds back, always: both filters' reach and the window.
  get delaySamples() {
    const reach = this.down.reach + this.up.reach;
    return Math.floor((reach + this.down.down * super.delaySamples) / this.down.up);
  }

  reset() {
    super.reset();
    this.down?.reset(); // not there yet while the parent is being made
    this.up?.reset();
    this.ready = new SampleQueue();
    this.held = 0; // samples received, less those returned
    this.left = 0; // samples received, less those resampled back
  }

  async take(samples) {
    this.held += samples.length;
    this.left += samples.length;
    this.ready.put(this.trimmed(this.up.process(await super.take(this.down.process(samples)))));
    return this.release(Math.max(this.held - this.delaySamples, 0));
  }

  async end() {
    const last = await super.take(this.down.flush());
    const rest = joined(this.up.process(last), this.up.process(await super.end()), this.up.flush());
    this.ready.put(this.trimmed(rest));
    return this.release(this.held);
  }

  // Resampling there and back may give some samples more; never fewer.
  trimmed(signal) {
    const kept = signal.slice(0, this.left);
    this.left -= kept.length;
    return kept;
  }

  release(samples) {
    this.held -= samples;
    return this.ready.take(samples);
  }
}
