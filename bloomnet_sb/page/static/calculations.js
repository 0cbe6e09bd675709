// What can be said without a browser: gains, what a key asks for, the test's draws and its p-value.

const FADE_SECONDS = 0.01;

/** A gain at a time: `ramp` goes straight from one to the other, and stays. */
function gainAt(ramp, time) {
  const share = (time - ramp.start) / (ramp.end - ramp.start);
  return ramp.from + (ramp.to - ramp.from) * Math.min(Math.max(share, 0), 1);
}

/** The ramps to new gains, from where the old ones are at a time. */
function rampsTo(gains, ramps, time) {
  return ramps.map((ramp, index) => ({
    from: gainAt(ramp, time), to: gains[index], start: time, end: time + FADE_SECONDS,
  }));
}

/**
 * The gain of each track where one is heard. The files are of one loudness; where that is not asked
 * for, it is taken back.
 */
function gainsOf(tracks, heard, equal) {
  return tracks.map((track, index) => {
    if (index !== heard) return 0;
    return equal ? 1 : 10 ** (-track.offsetDb / 20);
  });
}

/** The track of a digit, -1 for none: 0 noisy, else blocks of a network; 9 clean if not blocks. */
function trackOfDigit(digit, tracks, network, voice) {
  const find = (wanted) => tracks.findIndex((track) =>
    Object.entries(wanted).every(([key, value]) => track[key] === value));
  if (digit === 0) return find({kind: "noisy"});
  const depth = find({kind: "depth", network, voice, blocks: digit});
  if (depth >= 0 || digit < 9) return depth;
  const clean = find({kind: "clean", voice});
  return clean >= 0 ? clean : find({kind: "clean"});
}

/** The digit of a track where its network is the one at hand; "" for none. */
function digitOfTrack(index, tracks, network, voice) {
  for (let digit = 0; digit <= 9; digit += 1) {
    if (trackOfDigit(digit, tracks, network, voice) === index) return String(digit);
  }
  return "";
}

/** The same depth of the next network; -1 where there is none. */
function trackOfNextNetwork(tracks, heard, network, voice) {
  const networks = [...new Set(tracks.filter((t) => t.kind === "depth").map((t) => t.network))];
  if (networks.length < 2) return -1;
  const next = networks[(networks.indexOf(network) + 1) % networks.length];
  const depths = tracks.map((track, index) => ({...track, index}))
    .filter((track) => track.kind === "depth" && track.network === next);
  const same = depths.filter((track) => track.voice === voice);
  const ofNext = same.length ? same : depths;
  const alike = ofNext.find((track) => track.blocks === tracks[heard].blocks);
  return (alike || ofNext[ofNext.length - 1]).index;
}

/**
 * What a key asks for: {act: "toggle"}, {act: "select", track}, {act: "hear", which}, or null.
 * `control` is what has the focus: "button" (it takes space itself), "list" (letters, too) or "".
 */
function actionOfKey(event, control, {tracks, heard, network, voice, testing}) {
  if (event.ctrlKey || event.metaKey || event.altKey || control === "list") return null;
  if (event.key === " ") return control === "button" ? null : {act: "toggle"};
  const key = event.key.toLowerCase();
  if (testing) return ["a", "b", "x"].includes(key) ? {act: "hear", which: key.toUpperCase()} : null;
  const track = key === "n" ? trackOfNextNetwork(tracks, heard, network, voice)
    : /^[0-9]$/.test(key) ? trackOfDigit(Number(key), tracks, network, voice) : -1;
  return track < 0 ? null : {act: "select", track};
}

/** How likely guessing gives as many right answers or more: one-sided, of the binomial of 1/2. */
function binomialP(right, trials) {
  let chance = 2 ** -trials;
  let sum = 0;
  for (let k = 0; k <= trials; k += 1) {
    if (k >= right) sum += chance;
    chance *= (trials - k) / (k + 1);
  }
  return Math.min(sum, 1);
}

/** A test of tracks `a` and `b`; `coin` gives true or false, for each trial's X. */
function newTest(a, b, trials, coin) {
  return {a, b, isA: Array.from({length: trials}, coin), answers: []};
}

/** The track behind "A", "B" or the X of the trial at hand. */
function trackOfTest(test, which) {
  if (which === "X") return test.isA[test.answers.length] ? test.a : test.b;
  return which === "A" ? test.a : test.b;
}

/** The test with one more answer, whether X is A. */
function answered(test, isA) {
  return {...test, answers: [...test.answers, isA]};
}

/** Of a whole test: right answers, trials, p-value; null before. */
function resultOf(test) {
  const trials = test.isA.length;
  if (test.answers.length < trials) return null;
  const right = test.answers.filter((answer, n) => answer === test.isA[n]).length;
  return {right, trials, p: binomialP(right, trials)};
}
