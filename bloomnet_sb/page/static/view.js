// What is seen and pressed.

const element = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const state = {recording: 0, heard: 0, network: 0, voice: 0, test: null, which: "X"};
let player = null;
let ready = null;

const tracks = () => PAGE.recordings[state.recording].tracks;
const nameOf = (index) => {
  const track = tracks()[index];
  const box = document.querySelector(`[name="track-${state.recording}"][value="${index}"]`);
  return track.kind === "depth" && networksHere() > 1
    ? `${box.closest("fieldset").querySelector("legend").textContent}, ${track.label}` : track.label;
};
const networksHere = () => new Set(tracks().map((t) => t.network).filter((n) => n !== null)).size;

function complain(message) {
  element("trouble").textContent = message;
  element("trouble").hidden = !message;
}

/** Sets the gains to what is to be heard, and says what that is. */
function refresh() {
  const {test} = state;
  const heard = test ? trackOfTest(test, state.which) : state.heard;
  player.hear(gainsOf(tracks(), heard, test !== null || element("equal").checked));
  const name = test ? state.which : nameOf(state.heard);
  element("status").textContent = `${player.playing ? "Playing" : "Paused"}: ${name}`;
  element("play").textContent = player.playing ? "Pause" : "Play";
  document.body.classList.toggle("testing", test !== null);
  document.body.classList.toggle("unequal", test === null && !element("equal").checked);
  all(".hear").forEach((button) =>
    button.setAttribute("aria-pressed", String(button.dataset.which === state.which)));
  all(`#recording-${state.recording} .key`).forEach((key) => {
    const index = Number(key.dataset.track);
    key.textContent = digitOfTrack(index, tracks(), state.network, state.voice);
  });
}

function showPlace() {
  const {place} = player;
  const {seconds} = PAGE.recordings[state.recording];
  const shown = Math.min(place, seconds);
  document.documentElement.style.setProperty("--at", `${(100 * shown) / seconds}%`);
  element("position").value = shown;
  element("time").textContent = `${shown.toFixed(1)} / ${seconds.toFixed(1)} s`;
}

function follow() {
  showPlace();
  if (player.playing) requestAnimationFrame(follow);
}

async function toggle() {
  if (player.playing) player.pause();
  else {
    await player.context.resume();
    if (!(await ready) || player.playing) return;
    player.play();
  }
  refresh();
  follow();
}

function select(index) {
  const track = tracks()[index];
  state.heard = index;
  if (track.kind === "depth") state.network = track.network;
  if (track.kind !== "noisy") state.voice = track.voice;
  document.querySelector(`[name="track-${state.recording}"][value="${index}"]`).checked = true;
  refresh();
}

function seek(place) {
  player.seek(place);
  showPlace();
}

/** Decodes a recording; false where this browser cannot, which is said. */
async function load(recording) {
  player.load([]);
  Object.assign(state, {recording, heard: 0, network: 0, voice: 0});
  all(".recording").forEach((section, index) => { section.hidden = index !== recording; });
  element("position").max = PAGE.recordings[recording].seconds;
  for (const id of ["abx-a", "abx-b"]) {
    element(id).replaceChildren(...tracks().map((_, index) => new Option(nameOf(index), index)));
  }
  element("abx-b").selectedIndex = 1;
  select(0);
  showPlace();
  try {
    const buffers = await decodeAll(player.context, tracks());
    if (state.recording !== recording) return false;
    player.load(buffers);
    complain("");
    return true;
  } catch (error) {
    complain(`This browser cannot decode ${PAGE.codec}, which the sound of this page is in. `
      + "Current versions of Chrome, Edge and Firefox can.");
    return false;
  }
}

function hear(which) {
  state.which = which;
  refresh();
}

function showTest(message) {
  const testing = state.test !== null;
  element("abx-setup").hidden = testing;
  element("abx-trial").hidden = !testing;
  element("abx-status").textContent = message;
  all(".tracks, #recordings").forEach((fieldset) => { fieldset.disabled = testing; });
  element("equal").disabled = testing;
  state.which = "X";
  refresh();
}

const trialOf = (test) => `Trial ${test.answers.length + 1} of ${test.isA.length}.`;

function startTest() {
  const [a, b] = ["abx-a", "abx-b"].map((id) => Number(element(id).value));
  if (a === b) {
    element("abx-status").textContent = "Choose two tracks that differ.";
    return;
  }
  const coin = () => crypto.getRandomValues(new Uint8Array(1))[0] % 2 === 1;
  state.test = newTest(a, b, Number(element("abx-trials").value), coin);
  showTest(trialOf(state.test));
  document.querySelector('.hear[data-which="X"]').focus();
  if (!player.playing) toggle(); // space would press what has the focus
}

function answer(isA) {
  state.test = answered(state.test, isA);
  const result = resultOf(state.test);
  if (!result) {
    showTest(trialOf(state.test));
    return;
  }
  const {right, trials, p} = result;
  const names = `${nameOf(state.test.a)} and ${nameOf(state.test.b)}`;
  state.test = null;
  showTest(`${names}: ${right} of ${trials} right. Guessing gives as many or more in `
    + `${(100 * p).toPrecision(2)} % of tests (binomial, one-sided: p = ${p.toPrecision(2)}).`);
  element("abx-start").focus();
}

/** What has the focus, as `actionOfKey` asks for it. */
function controlOf(target) {
  if (target.matches("select")) return "list";
  return target.matches("button, [type=checkbox]") ? "button" : "";
}

function onKey(event) {
  if (!element("keys").checked) return;
  const where = {...state, tracks: tracks(), testing: state.test !== null};
  const action = actionOfKey(event, controlOf(event.target), where);
  if (!action) return;
  event.preventDefault();
  if (action.act === "toggle") toggle();
  else if (action.act === "select") select(action.track);
  else hear(action.which);
}

function onPicture(event) {
  const {left, width} = event.currentTarget.getBoundingClientRect();
  seek(((event.clientX - left) / width) * PAGE.recordings[state.recording].seconds);
}

function begin() {
  if (!window.AudioContext) {
    complain("This browser has no Web Audio, which the sound of this page is played by.");
    return;
  }
  player = new Player(new AudioContext(), () => { refresh(); showPlace(); });
  element("play").addEventListener("click", toggle);
  element("position").addEventListener("input", (event) => seek(Number(event.target.value)));
  element("equal").addEventListener("change", refresh);
  element("loop").addEventListener("change", (event) => player.repeat(event.target.checked));
  element("abx-start").addEventListener("click", startTest);
  element("abx-stop").addEventListener("click", () => { state.test = null; showTest(""); });
  all(".hear").forEach((b) => b.addEventListener("click", () => hear(b.dataset.which)));
  all(".answer").forEach((b) => b.addEventListener("click", () => answer(b.dataset.isA === "true")));
  all("[name^=track-]").forEach((box) =>
    box.addEventListener("change", () => select(Number(box.value))));
  all("[name=recording]").forEach((box) =>
    box.addEventListener("change", () => { ready = load(Number(box.value)); }));
  all(".picture").forEach((picture) => picture.addEventListener("click", onPicture));
  document.addEventListener("keydown", onKey);
  element("loop").checked = true; // browsers remember what was set before
  document.querySelector("[name=recording]").checked = true;
  ready = load(0);
}

begin();
