// In a thread of its own: loads the network, and enhances the chunks that the audio's thread sends.

import * as ort from "./runtime/ort.wasm.min.mjs";
import { Engine } from "./engine.mjs";
import { RealTime } from "./policy.mjs";
import { ResampledStream } from "./resampled_stream.mjs";
import { Session } from "./session.mjs";

// At most so many samples of a second are used to time a depth.
const TIMED_SECONDS = 2;
const WARM_UP_SECONDS = 1;

ort.env.wasm.wasmPaths = new URL("./runtime/", import.meta.url).href;

const clock = () => performance.now() / 1000;

// Until the messages that are there have been taken.
const { port1: bell, port2: hammer } = new MessageChannel();
const breathe = () => new Promise((resolve) => {
  bell.onmessage = resolve;
  hammer.postMessage(null);
});

let about;
let engine;
let session;

async function read(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error(`${name}: the server answers ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function load() {
  about = JSON.parse(new TextDecoder().decode(await read("web.json")));
  engine = await Engine.load(ort, about, read);
  // The first runs are slow, until what runs is compiled; that is before the first sample comes.
  const stream = new ResampledStream(engine, about.sample_rate, about.sample_rate);
  const silence = new Float32Array(Math.ceil(about.sample_rate / 100));
  for (const began = clock(); clock() < began + WARM_UP_SECONDS; ) await stream.process(silence);
  return { loaded: about };
}

function start({ rate, chunk, blocks, strength, limitDb, auto, port }) {
  const stream = new ResampledStream(engine, about.sample_rate, rate, { blocks, strength, limitDb });
  const send = (at, samples) => port.postMessage({ at, samples }, [samples.buffer]);
  const report = (data) => {
    const { input, output } = data.recording ?? {};
    postMessage(data, input ? [input.buffer, output.buffer] : []);
  };
  const run = new Session(stream, new RealTime(), send, report, clock, breathe);
  run.auto = auto;
  port.onmessage = ({ data: { at, samples } }) => run.take(at, samples);
  session = run;
  return { started: { delay: stream.delaySamples, chunk } };
}

// The time per chunk at each depth, in seconds, of noise.
async function measure({ rate, chunk }) {
  const times = [];
  for (let blocks = 1; blocks <= about.facts.num_blocks; blocks += 1) {
    const stream = new ResampledStream(engine, about.sample_rate, rate, { blocks });
    const depth = [];
    for (let n = 0; n < (TIMED_SECONDS * rate) / chunk; n += 1) {
      const noise = Float32Array.from({ length: chunk }, () => 0.2 * (Math.random() - 0.5));
      const began = clock();
      await stream.process(noise);
      depth.push(clock() - began);
    }
    times.push(depth);
  }
  return { measured: { times, deadline: chunk / rate } };
}

const COMMANDS = { load, start, measure };

self.onmessage = async ({ data: { command, ...options } }) => {
  try {
    if (command in COMMANDS) postMessage(await COMMANDS[command](options));
    else if (command === "set") await session?.set(options);
    else if (command === "record") await session?.record();
    else if (command === "stop") await session?.stop();
    else if (command === "end") {
      await session?.stop();
      session = undefined;
    }
  } catch (error) {
    postMessage({ trouble: String(error?.message ?? error) });
  }
};
