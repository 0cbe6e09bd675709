// One run of a stream, chunk after chunk: who decides on the depth, what is recorded, what is shed.

import { audible, joined } from "./arrays.mjs";

// So many chunks behind, the oldest are left out, unless they are recorded: the noisy signal is
// heard by then.
const MOST_WAITING = 4;
const REPORTS_PER_SECOND = 10;
const MOST_RECORDED_SECONDS = 300;

export class Session {
  // `send(at, samples)` takes what is enhanced, `report` what is to be shown; `clock` gives seconds,
  // and what `breathe` gives is awaited before a chunk, so that those that wait are counted.
  constructor(stream, policy, send, report, clock, breathe) {
    Object.assign(this, { stream, policy, send, report, clock, breathe });
    this.auto = false;
    this.jobs = [];
    this.waiting = 0;
    this.running = false;
    this.place = null; // of the next sample that comes back, in the signal
    this.lost = false;
    this.shed = 0;
    this.seen = [];
    this.recording = null;
  }

  // Do one thing after the other; each is awaited.
  async add(job) {
    this.jobs.push(job);
    if (this.running) return;
    this.running = true;
    try {
      while (this.jobs.length) await this.jobs.shift()();
    } catch (error) {
      // Behind the chunk of the fault and those that wait there is a gap.
      this.jobs.length = this.waiting = 0;
      this.lost = true;
      this.endRecording();
      this.report({ trouble: String(error?.message ?? error) });
    } finally {
      this.running = false;
    }
  }

  take(at, samples) {
    this.waiting += 1;
    return this.add(() => this.enhance(at, samples.map(audible)));
  }

  // Set blocks, strength, limitDb or auto from the next chunk on.
  set(changes) {
    return this.add(() => {
      if (changes.auto && !this.auto) this.policy.restart();
      if ("auto" in changes) this.auto = changes.auto;
      if ("blocks" in changes) this.stream.blocks = changes.blocks;
      if ("strength" in changes) this.stream.strength = changes.strength;
      if ("limitDb" in changes) this.stream.limitDb = changes.limitDb;
      this.note();
    });
  }

  // Begin to record what goes in and what comes out; the stream begins anew, so that the one is
  // all that the other depends on.
  record() {
    return this.add(async () => {
      this.give(await this.stream.flush());
      this.recording = { seconds: 0, input: [], output: [], changes: [], samples: 0 };
      this.note();
    });
  }

  stop() {
    return this.add(() => this.finish());
  }

  async enhance(at, samples) {
    await this.breathe();
    this.waiting -= 1;
    if (this.waiting >= MOST_WAITING && !this.recording) {
      this.lost = true;
      this.shed += 1;
      return;
    }
    if (this.lost) this.restart();
    this.place ??= at;
    const began = this.clock();
    const { blocks, frames } = this.stream;
    const enhanced = await this.stream.process(samples);
    const ended = this.clock();
    this.keep(samples);
    this.give(enhanced);
    const computed = Math.max(this.stream.frames - frames, 1) * this.stream.hopSeconds;
    this.observe(samples.length, computed, blocks, ended - began, ended);
    await this.endInTime();
  }

  // Behind a gap in the signal.
  restart() {
    this.stream.reset();
    this.place = null;
    this.lost = false;
  }

  give(enhanced) {
    const { length } = enhanced; // 0 once they are sent
    if (!length) return;
    this.recording?.output.push(enhanced.slice());
    this.send(this.place, enhanced);
    this.place += length;
  }

  keep(samples) {
    if (!this.recording) return;
    this.recording.input.push(samples);
    this.recording.samples += samples.length;
  }

  // What is set from here on, for whoever runs the recording again.
  note() {
    const { blocks, strength, limitDb = null } = this.stream;
    this.recording?.changes.push({ at: this.recording.samples, blocks, strength, limitDb });
  }

  // `computed` is how many seconds of frames a chunk has completed.
  observe(length, computed, blocks, seconds, now) {
    const audio = length / this.stream.sampleRate;
    // While more blocks than were chosen are faded out, a chunk's cost is not that of the choice.
    if (this.auto && this.stream.heardBlocks <= blocks) {
      const numBlocks = this.stream.facts.num_blocks;
      const audioSeconds = Math.max(audio, computed);
      const load = seconds / audioSeconds;
      const seen = { seconds: now, audioSeconds, blocks, numBlocks, load };
      const chosen = this.policy.choose(seen);
      this.stream.blocks = chosen;
      if (chosen !== blocks) this.note();
    }
    this.seen.push(seconds);
    if (this.seen.length * audio * REPORTS_PER_SECOND < 1) return;
    const mean = this.seen.reduce((a, b) => a + b) / this.seen.length;
    const worst = Math.max(...this.seen);
    const { heardBlocks } = this.stream;
    const recorded = this.recording ? this.recording.samples / this.stream.sampleRate : null;
    this.report({ mean, worst, deadline: audio, blocks: this.stream.blocks, heardBlocks, shed: this.shed, recorded });
    this.seen = [];
  }

  async endInTime() {
    if (this.recording?.samples >= MOST_RECORDED_SECONDS * this.stream.sampleRate) await this.finish();
  }

  async finish() {
    if (!this.recording) return;
    this.give(await this.stream.flush());
    this.endRecording();
  }

  endRecording() {
    if (!this.recording) return;
    const { input, output, changes } = this.recording;
    this.recording = null;
    const rate = this.stream.sampleRate;
    this.report({ recording: { rate, input: joined(...input), output: joined(...output), changes } });
  }
}
