// In the audio's thread: cuts the microphone's signal into chunks for the worker, and plays what comes back.

import { Playout } from "./playout.mjs";

const REPORTS_PER_SECOND = 10;

class LiveProcessor extends AudioWorkletProcessor {
  constructor({ processorOptions: { chunk, delay, fade } }) {
    super();
    this.playout = new Playout(delay, fade);
    this.chunk = chunk;
    this.samples = new Float32Array(chunk);
    this.filled = 0;
    this.reportAt = 0;
    this.port.onmessage = ({ data }) => {
      if (data.port) this.connect(data.port);
      else this.playout.bypass = data.bypass;
    };
  }

  connect(port) {
    this.worker = port;
    port.onmessage = ({ data: { at, samples } }) => this.playout.receive(at, samples);
  }

  process([input], [output]) {
    const signal = input[0] ?? null; // nothing is connected
    const heard = output[0];
    this.send(signal, heard.length);
    this.playout.play(signal, heard);
    this.report();
    return true;
  }

  send(signal, length) {
    for (let n = 0; n < length; n += 1) {
      this.samples[this.filled] = signal ? signal[n] : 0;
      this.filled += 1;
      if (this.filled < this.chunk) continue;
      const at = this.playout.time + n + 1 - this.chunk;
      this.worker?.postMessage({ at, samples: this.samples }, [this.samples.buffer]);
      this.samples = new Float32Array(this.chunk);
      this.filled = 0;
    }
  }

  report() {
    if (this.playout.time < this.reportAt) return;
    this.reportAt = this.playout.time + sampleRate / REPORTS_PER_SECOND;
    const { late, gain, time } = this.playout;
    this.port.postMessage({ late, gain, time });
  }
}

registerProcessor("live", LiveProcessor);
