// One run from a source of sound to the loudspeakers: context, worklet, and the worker behind it.

const CHUNK_SECONDS = 0.01;
const QUANTUM = 128;
const FADE_SECONDS = 0.005;
const BUFFERED_CHUNKS = 2;

// The length of a chunk at a rate: a hop of the network or more, in whole quanta of the audio's thread.
export function chunkOf(about, rate) {
  const seconds = Math.max(about.facts.hop / about.sample_rate, CHUNK_SECONDS);
  return QUANTUM * Math.ceil((seconds * rate) / QUANTUM - 1e-9);
}

// What a sample waits, in samples: the stream, the buffer before it is due, the fade where it is late.
export function delayOf(streamDelay, chunk, rate) {
  return streamDelay + BUFFERED_CHUNKS * chunk + fadeOf(rate);
}

export function fadeOf(rate) {
  return Math.round(FADE_SECONDS * rate);
}

export class Live {
  // `ask` sends the worker a command and gives its answer.
  constructor(about, ask, onReport) {
    Object.assign(this, { about, ask, onReport });
    this.context = new AudioContext({ latencyHint: "interactive" });
  }

  // `choice` is what is set: blocks, strength, limitDb, auto, bypass.
  async start(makeSource, choice) {
    const { context } = this;
    await context.audioWorklet.addModule(new URL("worklet.mjs", import.meta.url));
    const { port1, port2 } = new MessageChannel();
    const rate = context.sampleRate;
    const chunk = chunkOf(this.about, rate);
    const { started } = await this.ask({ command: "start", rate, chunk, ...choice, port: port1 }, [port1]);
    this.delay = delayOf(started.delay, chunk, rate);
    this.node = new AudioWorkletNode(context, "live", {
      numberOfInputs: 1,
      numberOfOutputs: 1,
      outputChannelCount: [1],
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { chunk, delay: this.delay, fade: fadeOf(rate) },
    });
    this.node.port.onmessage = ({ data }) => this.onReport(data);
    this.node.port.postMessage({ port: port2 }, [port2]);
    this.bypass(choice.bypass);
    this.volume = new GainNode(context, { gain: 0 });
    this.node.connect(this.volume).connect(context.destination);
    this.source = await makeSource(context);
    this.source.connect(this.node);
    await context.resume();
  }

  bypass(bypass) {
    this.node.port.postMessage({ bypass });
  }

  mute(muted) {
    this.volume.gain.setTargetAtTime(muted ? 0 : 1, this.context.currentTime, 0.01);
  }

  // From the samples of the microphone to those of the loudspeakers, in seconds, as far as it is told.
  get delays() {
    const { baseLatency = 0, outputLatency = 0, sampleRate } = this.context;
    return { page: this.delay / sampleRate, output: baseLatency + outputLatency };
  }

  async end() {
    for (const track of this.source?.mediaStream?.getTracks() ?? []) track.stop();
    await this.context.close();
  }
}
