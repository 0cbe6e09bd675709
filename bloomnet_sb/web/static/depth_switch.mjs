// Who runs, is heard and fades when the number of blocks changes: depth_switch.py in JavaScript.

export class DepthSwitch {
  constructor(warmUps, blocks, window, hop, fadeSamples, waitFrames) {
    Object.assign(this, { warmUps, window, hop, fadeSamples, waitFrames });
    this.target = blocks;
    this.restart();
  }

  // Begin at the first frame of a signal.
  restart() {
    this.frame = 0;
    this.heard = this.running = this.target;
    this.fadingTo = null;
    this.fadeStart = 0;
    this.readyFrom = new Array(this.warmUps.length + 1).fill(0);
  }

  // Decide what holds from `frame` on, and for how many frames it does.
  nextFrames() {
    if (this.frame === 0) this.restart();
    if (this.fadingTo !== null && this.frame >= this.fadeEnd) {
      this.heard = this.fadingTo;
      this.fadingTo = null;
    }
    this.run(Math.max(this.heard, this.target, this.fadingTo ?? 0));
    if (this.fadingTo === null && this.target !== this.heard) {
      const ready = this.readyFrom[this.target];
      if (ready > this.frame) return ready - this.frame;
      this.fadingTo = this.target;
      // The first sample that no window of an earlier frame adds to.
      this.fadeStart = this.frame * this.hop + this.window - this.hop;
    }
    return this.fadingTo === null ? Infinity : this.fadeEnd - this.frame;
  }

  get samplesSinceFadeStart() {
    return this.frame * this.hop - this.fadeStart;
  }

  // The first frame that adds to no sample of the fade.
  get fadeEnd() {
    return Math.ceil((this.fadeStart + this.fadeSamples) / this.hop);
  }

  run(running) {
    for (let depth = this.running + 1; depth <= running; depth += 1) {
      const warmUp = this.warmUps[depth - 1];
      const before = this.readyFrom[depth - 1];
      this.readyFrom[depth] = warmUp === null
        ? Math.max(this.frame + this.waitFrames, before)
        : Math.max(this.frame, before) + warmUp;
    }
    this.running = running;
  }
}
