// What the page shows, and what its controls do.

import { Live, chunkOf } from "./live.mjs";
import { openMicrophone } from "./microphone.mjs";
import { wavOf } from "./wav.mjs";

const $ = (id) => document.getElementById(id);
const ms = (seconds) => (1000 * seconds).toFixed(1);
const view = { about: null, live: null, isFile: false, microphoneDelay: null };

// ---- the worker: a command is answered by the next message of its kind

const worker = new Worker(new URL("worker.mjs", import.meta.url), { type: "module" });
const answers = new Map();

function ask(message, transferred = []) {
  const kind = { load: "loaded", start: "started", measure: "measured" }[message.command];
  worker.postMessage(message, transferred);
  return new Promise((resolve, reject) => answers.set(kind, { resolve, reject }));
}

worker.onmessage = ({ data }) => {
  const kind = Object.keys(data)[0];
  if (data.trouble) {
    failed(new Error(data.trouble));
    for (const { reject } of answers.values()) reject(new Error(data.trouble));
    answers.clear();
  } else if (answers.has(kind)) {
    answers.get(kind).resolve(data);
    answers.delete(kind);
  } else if (data.recording) {
    showRecording(data.recording);
  } else {
    showChunks(data);
  }
};
worker.onerror = (event) => failed(new Error(event.message ?? "the worker could not be loaded"));

// ---- what is said

function failed(error) {
  $("trouble").textContent = error.message;
  $("trouble").hidden = false;
}

function showChunks({ mean, worst, deadline, blocks, heardBlocks, shed, recorded }) {
  if (!view.live) return;
  $("load").value = mean / deadline;
  $("time").textContent = `${ms(mean)} ms of ${ms(deadline)} ms, at worst ${ms(worst)} ms`;
  $("shed").textContent = shed;
  if ($("auto").checked) $("depth").value = blocks;
  showDepth(heardBlocks);
  if (recorded !== null) $("recorded").textContent = `${recorded.toFixed(1)} s`;
}

function showDepth(heard) {
  const asked = Number($("depth").value);
  const waits = heard !== undefined && heard !== asked ? ` (${heard} heard)` : "";
  $("blocks").textContent = `${asked} of ${view.about.facts.num_blocks} blocks${waits}`;
}

function showPlayout({ late, gain }) {
  if (!view.live) return;
  const { page, output } = view.live.delays;
  const input = view.isFile ? 0 : view.microphoneDelay;
  const total = page + output + (input ?? 0);
  const untold = input === null ? "; the microphone's own is not told" : "";
  $("delay").textContent = `${ms(total)} ms: ${ms(page)} here, ${ms(total - page)} in the devices, as the browser tells${untold}`;
  $("late").textContent = late;
  const enhanced = gain > 0.5 ? "the enhanced signal" : "the noisy signal";
  const why = gain > 0.5 || $("bypass").checked ? "" : ": the network is late";
  $("heard").textContent = isMuted() ? "nothing, until headphones are confirmed" : enhanced + why;
}

function showRecording({ rate, input, output, changes }) {
  const data = { input: wavOf(input, rate), output: wavOf(output, rate) };
  data.changes = new Blob([JSON.stringify({ sample_rate: rate, changes }, null, 1)]);
  for (const [id, blob] of Object.entries(data)) {
    URL.revokeObjectURL($(id).href);
    $(id).href = URL.createObjectURL(blob);
  }
  $("downloads").hidden = false;
  $("recorded").textContent = `${(input.length / rate).toFixed(1)} s recorded`;
  setRecording(false);
}

function showTimes({ times, deadline }) {
  const rows = times.map((depth, index) => {
    const sorted = depth.sort((a, b) => a - b);
    const at = (share) => sorted[Math.floor(share * (sorted.length - 1))];
    const cells = [index + 1, ms(at(0.5)), ms(at(0.95)), `${Math.round((100 * at(0.5)) / deadline)} %`];
    const row = document.createElement("tr");
    cells.forEach((text, column) => {
      const cell = document.createElement(column ? "td" : "th");
      if (!column) cell.scope = "row";
      cell.textContent = text;
      row.append(cell);
    });
    return row;
  });
  $("times").tBodies[0].replaceChildren(...rows);
  $("times").caption.textContent = `Time for a chunk of ${ms(deadline)} ms`;
  $("times").hidden = false;
}

// ---- what is done

const isMuted = () => !view.isFile && !$("headphones").checked;

// The slider's right end is no limit.
const limitDb = () => ($("limit").value === $("limit").max ? null : Number($("limit").value));

function choice() {
  return {
    blocks: Number($("depth").value),
    strength: Number($("strength").value) / 100,
    limitDb: limitDb(),
    auto: $("auto").checked,
    bypass: $("bypass").checked,
  };
}

function setRunning(running) {
  for (const id of ["microphone", "file", "measure"]) $(id).disabled = running;
  for (const id of ["stop", "record"]) $(id).disabled = !running;
  $("status").textContent = running ? (view.isFile ? "Playing the file" : "Listening") : "Ready";
  if (!running) {
    $("load").value = 0;
    $("file").value = ""; // so that the same file may be chosen again
    $("time").textContent = $("delay").textContent = "not running";
    $("heard").textContent = "nothing";
  }
}

function setRecording(recording) {
  $("record").setAttribute("aria-pressed", recording);
  $("record").textContent = recording ? "Stop recording" : "Record";
}

async function begin(isFile, makeSource) {
  $("trouble").hidden = true;
  view.isFile = isFile;
  const live = new Live(view.about, ask, showPlayout);
  setRunning(true);
  $("stop").disabled = $("record").disabled = true;
  try {
    await live.start(makeSource, choice());
    view.live = live;
    live.mute(isMuted());
    // What was set while the browser asked for permission
    live.bypass($("bypass").checked);
    worker.postMessage({ command: "set", ...choice() });
    $("stop").disabled = $("record").disabled = false;
  } catch (error) {
    await live.end();
    setRunning(false);
    failed(error);
  }
}

async function end() {
  const { live } = view;
  view.live = null;
  worker.postMessage({ command: "end" });
  await live?.end();
  setRecording(false);
  setRunning(false);
}

async function fromMicrophone(context) {
  const { stream, settings, still } = await openMicrophone();
  view.microphoneDelay = settings.latency ?? null;
  stream.getAudioTracks()[0].onended = async () => {
    await end();
    failed(new Error("The microphone is gone."));
  };
  $("settings").hidden = still.length === 0;
  $("settings").textContent = `This browser does not say that it switched off ${still.join(", ")}: what is heard is then its work too.`;
  return new MediaStreamAudioSourceNode(context, { mediaStream: stream });
}

async function fromFile(context, file) {
  $("settings").hidden = true;
  const buffer = await context.decodeAudioData(await file.arrayBuffer()).catch(() => {
    throw new Error(`${file.name}: this browser cannot decode it`);
  });
  const source = new AudioBufferSourceNode(context, { buffer, loop: true });
  source.start();
  return source;
}

function connect() {
  $("microphone").onclick = () => begin(false, fromMicrophone);
  $("file").onchange = () => {
    const [file] = $("file").files;
    if (file) begin(true, (context) => fromFile(context, file));
  };
  $("stop").onclick = end;
  $("headphones").onchange = () => view.live?.mute(isMuted());
  $("bypass").onchange = () => view.live?.bypass($("bypass").checked);
  $("depth").oninput = () => {
    $("auto").checked = false;
    showDepth();
    worker.postMessage({ command: "set", auto: false, blocks: choice().blocks });
  };
  $("auto").onchange = () => worker.postMessage({ command: "set", auto: choice().auto });
  $("strength").oninput = () => {
    $("amount").textContent = `${$("strength").value} %`;
    worker.postMessage({ command: "set", strength: choice().strength });
  };
  $("limit").oninput = () => {
    $("most").textContent = limitDb() === null ? "no limit" : `${limitDb()} dB`;
    worker.postMessage({ command: "set", limitDb: limitDb() });
  };
  $("record").onclick = () => {
    const begins = $("record").getAttribute("aria-pressed") === "false";
    worker.postMessage({ command: begins ? "record" : "stop" });
    setRecording(begins);
  };
  $("measure").onclick = measure;
}

async function measure() {
  setRunning(true);
  $("stop").disabled = $("record").disabled = true;
  $("status").textContent = "Measuring";
  const context = new OfflineAudioContext(1, 1, 48000); // no device is opened
  const rate = context.sampleRate;
  try {
    showTimes((await ask({ command: "measure", rate, chunk: chunkOf(view.about, rate) })).measured);
  } finally {
    setRunning(false);
  }
}

// What the network has no use for stays away.
function showControls({ controls, facts, title, runtime, bytes }) {
  for (const element of document.querySelectorAll("[data-control]")) {
    element.hidden = !controls.includes(element.dataset.control);
  }
  $("depth").max = $("depth").value = facts.num_blocks;
  $("title").textContent = document.title = title;
  $("about").textContent = `${(bytes / 1e6).toFixed(1)} MB of network, run by ${runtime} on one thread. Nothing is sent.`;
  showDepth();
}

async function main() {
  if (!window.isSecureContext) {
    failed(new Error("A microphone needs a secure page: serve this one from localhost or by https."));
    return;
  }
  $("trouble").hidden = true;
  view.about = (await ask({ command: "load" })).loaded;
  showControls(view.about);
  connect();
  setRunning(false);
}

main().catch(failed);
