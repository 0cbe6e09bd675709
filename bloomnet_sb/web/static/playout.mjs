// What is heard: the enhanced signal, or the noisy one where that is asked for or is not there yet.

import { audible } from "./arrays.mjs";

// Both are delayed alike, by `delay` samples, and cross-faded over `fade` samples.
export class Playout {
  constructor(delay, fade) {
    this.delay = delay;
    this.fade = fade;
    this.size = 2 ** Math.ceil(Math.log2(4 * delay + 4096));
    this.noisy = new Float32Array(this.size);
    this.enhanced = new Float32Array(this.size);
    this.time = 0; // samples that came in
    this.from = this.end = 0; // which of the enhanced signal are there
    this.gain = 1; // of the enhanced signal
    this.open = true;
    this.bypass = false;
    this.late = 0; // chunks that came when they had to be heard, or were about to
  }

  // Take enhanced samples, the first of which is number `at` of the signal.
  receive(at, samples) {
    if (samples.length === 0) return;
    const due = this.time - this.delay;
    if (at < due + this.fade && due > 0) this.late += 1;
    if (at !== this.end) this.from = at;
    for (let n = 0; n < samples.length; n += 1) this.enhanced[(at + n) % this.size] = samples[n];
    this.end = at + samples.length;
    this.from = Math.max(this.from, this.end - this.size);
  }

  // Take samples of the microphone, and fill `output` with as many to be heard.
  play(input, output) {
    for (let n = 0; n < output.length; n += 1) output[n] = this.next(input ? input[n] : 0);
  }

  next(sample) {
    const { size, fade } = this;
    this.noisy[this.time % size] = audible(sample);
    const index = this.time - this.delay;
    this.time += 1;
    if (index < 0) return 0;
    const left = index >= this.from ? Math.max(this.end - index, 0) : 0;
    // A fade to the noisy signal ends with the last of the enhanced samples that are there.
    if (this.bypass || left <= Math.max(this.gain * fade, 1)) this.open = false;
    else if (left > fade) this.open = true;
    this.gain = Math.min(Math.max(this.gain + (this.open ? 1 : -1) / fade, 0), 1);
    const noisy = this.noisy[index % size];
    return this.gain > 0 && left > 0 ? noisy + this.gain * (this.enhanced[index % size] - noisy) : noisy;
  }
}
