// A signal enhanced as it comes: frame_stream.py in JavaScript, for one signal of one source.

import { joined, rounded } from "./arrays.mjs";
import { DepthSwitch } from "./depth_switch.mjs";
import { NoisyShare, noisyShare, rise } from "./noisy_share.mjs";

export class FrameStream {
  // The engine has `facts`, start(part), and enter, block and decode, which are awaited.
  constructor(engine, sampleRate, options = {}) {
    const { blocks, strength = 1, limitDb = null, fadeSeconds = 0.02, waitSeconds = 1 } = options;
    const { warm_ups, num_blocks, window, hop } = engine.facts;
    this.engine = engine;
    this.facts = engine.facts;
    this.sampleRate = sampleRate;
    this.hopSeconds = hop / sampleRate;
    const fadeSamples = Math.max(rounded(fadeSeconds * sampleRate), 1);
    const waitFrames = rounded((waitSeconds * sampleRate) / hop);
    this.switch = new DepthSwitch(warm_ups, blocks ?? num_blocks, window, hop, fadeSamples, waitFrames);
    this.noisy = new NoisyShare(fadeSamples);
    this.setAmount(strength, limitDb);
    this.reset();
  }

  // How many blocks were asked for.
  get blocks() {
    return this.switch.target;
  }

  set blocks(blocks) {
    if (!(Number.isInteger(blocks) && blocks >= 1 && blocks <= this.facts.num_blocks)) {
      throw new RangeError(`blocks is ${blocks}, but this network has 1 to ${this.facts.num_blocks} blocks`);
    }
    this.switch.target = blocks;
  }

  get heardBlocks() {
    return this.switch.heard;
  }

  // How many frames of this signal are computed, each of `hopSeconds`.
  get frames() {
    return this.switch.frame;
  }

  get strength() {
    return this.amount.strength;
  }

  set strength(strength) {
    this.setAmount(strength, this.amount.limitDb);
  }

  // The most, in dB, that anything is lowered, or null.
  get limitDb() {
    return this.amount.limitDb;
  }

  set limitDb(limitDb) {
    this.setAmount(this.amount.strength, limitDb);
  }

  setAmount(strength, limitDb) {
    this.noisy.share = noisyShare(strength, limitDb);
    this.amount = { strength, limitDb };
  }

  // The most samples that `process` holds back.
  get delaySamples() {
    return this.facts.window - 1;
  }

  // Forget the signal; the next chunk is the start of another.
  reset() {
    const { num_blocks, left, window, hop } = this.facts;
    this.states = { enter: this.engine.start("enter") };
    for (let depth = 1; depth <= num_blocks; depth += 1) {
      this.states[`block${depth}`] = this.engine.start(`block${depth}`);
    }
    this.waiting = new Float32Array(left);
    this.tail = new Float32Array(window - hop);
    this.received = this.returned = 0;
    this.before = left; // samples to come that are before the signal
    this.switch.restart();
    this.noisy.restart();
  }

  // The samples that are ready with these, which is awaited before the next call.
  async process(chunk) {
    this.noisy.keep(chunk);
    return this.noisy.mix(await this.take(chunk));
  }

  // End the signal, and reset; gives the samples that `process` held back.
  async flush() {
    const signal = this.noisy.mix(await this.end());
    this.reset();
    return signal;
  }

  async take(samples) {
    this.received += samples.length;
    return this.enhanced(samples);
  }

  async end() {
    const left = this.received - this.returned;
    const ready = await this.enhanced(new Float32Array(this.missing()));
    return joined(ready, this.tail, new Float32Array(left)).slice(0, left);
  }

  // Zeros after the last sample for the windows that it is in, and for a last whole one.
  missing() {
    if (this.received === 0) return 0;
    const { window, hop, right, pad_input } = this.facts;
    const waiting = this.waiting.length + right;
    const beyond = waiting - Math.max(Math.floor((waiting - window) / hop) + 1, 0) * hop;
    const first = this.switch.frame === 0 && waiting < window;
    const uncovered = pad_input && beyond > window - hop;
    return right + (first || uncovered ? window - beyond : 0);
  }

  async enhanced(samples) {
    const { window, hop, most_frames } = this.facts;
    this.waiting = joined(this.waiting, samples);
    const count = Math.max(Math.floor((this.waiting.length - window) / hop) + 1, 0);
    const pieces = [];
    for (let done = 0; done < count; ) {
      const frames = Math.min(count - done, this.switch.nextFrames(), most_frames);
      pieces.push(this.overlapAdd(await this.estimate(this.windows(done, frames), frames), frames));
      this.switch.frame += frames;
      done += frames;
    }
    this.waiting = this.waiting.slice(count * hop);
    const ready = joined(...pieces);
    const before = Math.min(this.before, ready.length);
    this.before -= before;
    this.returned += ready.length - before;
    return ready.subarray(before);
  }

  windows(first, frames) {
    const { window, hop } = this.facts;
    const windows = new Float32Array(frames * window);
    for (let frame = 0; frame < frames; frame += 1) {
      const start = (first + frame) * hop;
      windows.set(this.waiting.subarray(start, start + window), frame * window);
    }
    return windows;
  }

  async estimate(windows, frames) {
    const { engine, states } = this;
    const { running, heard, fadingTo } = this.switch;
    const entered = await engine.enter(windows, frames, states.enter);
    states.enter = entered.state;
    let { feature } = entered;
    const estimates = {};
    for (let depth = 1; depth <= running; depth += 1) {
      const part = `block${depth}`;
      ({ feature, state: states[part] } = await engine.block(depth, feature, states[part]));
      if (depth === heard || depth === fadingTo) {
        estimates[depth] = await engine.decode(depth, feature, entered.shared);
      }
    }
    return fadingTo === null ? estimates[heard] : this.faded(estimates[heard], estimates[fadingTo]);
  }

  faded(from, to) {
    const { window, hop } = this.facts;
    const { samplesSinceFadeStart, fadeSamples } = this.switch;
    return from.map((sample, n) => {
      const since = samplesSinceFadeStart + Math.floor(n / window) * hop + (n % window) + 0.5;
      return sample + rise(since, fadeSamples) * (to[n] - sample);
    });
  }

  // Add windows to the tail of those before; gives the samples that are complete.
  overlapAdd(windows, frames) {
    const { window, hop } = this.facts;
    const signal = joined(this.tail, new Float32Array(frames * hop));
    for (let frame = 0; frame < frames; frame += 1) {
      for (let n = 0; n < window; n += 1) signal[frame * hop + n] += windows[frame * window + n];
    }
    this.tail = signal.slice(frames * hop);
    return signal.subarray(0, frames * hop);
  }
}
