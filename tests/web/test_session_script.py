"""What a run of the page sends, plays and leaves out, run by Node.js without a network."""

import io

import numpy as np
import pytest
import soundfile as sf

from tests.helpers.web import NODE, STATIC, run_script

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node.js (the command node)")

# A stream that holds back three samples and gives them doubled
STREAM = """
const { Session } = await import("PAGE/session.mjs");
const { joined } = await import("PAGE/arrays.mjs");
class Doubling {
  constructor() {
    Object.assign(this, { sampleRate: 80, facts: { num_blocks: 4 }, blocks: 4, strength: 1 });
    Object.assign(this, { heardBlocks: 4, hopSeconds: 0.05, frames: 0 });
    this.reset();
  }
  reset() {
    this.held = new Float32Array(0);
  }
  async process(samples) {
    await null;
    const all = joined(this.held, samples.map((sample) => 2 * sample));
    const count = Math.max(all.length - 3, 0);
    this.held = all.slice(count);
    return all.slice(0, count);
  }
  async flush() {
    const rest = this.held;
    this.reset();
    return rest;
  }
}
const sent = [];
const reports = [];
const send = (at, samples) => {
  sent.push([at, ...structuredClone(samples, { transfer: [samples.buffer] })]);
};
let time = 0;
const policy = { restart: () => {}, choose: (seen) => Math.max(seen.blocks - 1, 1) };
const breathe = () => new Promise((resolve) => setTimeout(resolve));
const report = (data) => reports.push(data);
const clock = () => (time += 0.01);
const session = new Session(new Doubling(), policy, send, report, clock, breathe);
const chunk = (at) => session.take(at, Float32Array.from({ length: 4 }, (_, n) => at + n));
"""


def test_what_comes_back_is_in_its_place():
    code = (
        "for (const at of [8, 12, 16]) await chunk(at); await session.add(() => {}); return sent;"
    )
    sent = run_script(STREAM + code, STATIC)
    assert sent == [[8, 16], [9, 18, 20, 22, 24], [13, 26, 28, 30, 32]]


def test_a_worker_that_is_behind_leaves_the_oldest_out():
    code = """
    await chunk(0);
    await Promise.all([4, 8, 12, 16, 20, 24, 28].map(chunk));
    while (session.running) await breathe();
    return { sent, shed: session.shed };
    """
    found = run_script(STREAM + code, STATIC)
    # Of seven that wait, the first three have four behind them; what follows begins anew.
    assert found["shed"] == 3
    assert found["sent"][:3] == [[0, 0], [16, 32], [17, 34, 36, 38, 40]]


def test_a_recording_holds_all_that_goes_in_and_comes_out():
    code = """
    await chunk(0);
    await session.record();
    await chunk(4);
    await session.set({ auto: true });
    await chunk(8);
    await session.set({ auto: false, blocks: 3, strength: 0.5, limitDb: 20 });
    await chunk(12);
    await session.stop();
    await chunk(16);
    const { input, output, changes, rate } = reports.find((data) => data.recording).recording;
    return { input: [...input], output: [...output], changes, rate, sent };
    """
    found = run_script(STREAM + code, STATIC)
    assert found["input"] == list(range(4, 16))
    assert found["output"] == [2 * sample for sample in range(4, 16)]
    settings = [tuple(change.values()) for change in found["changes"]]
    assert settings == [(0, 4, 1, None), (4, 4, 1, None), (8, 3, 1, None), (8, 3, 0.5, 20)]
    # Nothing was missing to those who listened.
    heard = [sample for _, *samples in found["sent"] for sample in samples]
    assert heard == [2 * sample for sample in range(17)] and found["rate"] == 80


def test_samples_that_are_none_are_silence():
    code = """
    await session.record();
    await session.take(0, Float32Array.of(1, NaN, Infinity, -2e12, 2));
    await session.stop();
    const { input, output } = reports.at(-1).recording;
    return { input: [...input], output: [...output] };
    """
    found = run_script(STREAM + code, STATIC)
    assert found == {"input": [1, 0, 0, 0, 2], "output": [2, 0, 0, 0, 4]}


def test_nothing_is_left_out_of_a_recording():
    code = """
    await session.record();
    await Promise.all([0, 4, 8, 12, 16, 20, 24, 28].map(chunk));
    session.stop();
    while (session.running) await breathe();
    return { shed: session.shed, output: [...reports.at(-1).recording.output] };
    """
    found = run_script(STREAM + code, STATIC)
    assert found == {"shed": 0, "output": [2 * sample for sample in range(32)]}


def test_a_fault_is_reported_and_what_follows_begins_anew():
    code = """
    const { process } = Doubling.prototype;
    session.stream.process = async () => { throw new Error("out of memory"); };
    await Promise.all([0, 4, 8, 12, 16].map(chunk));
    while (session.running) await breathe();
    session.stream.process = process;
    for (const at of [20, 24, 28, 32, 36]) await chunk(at);
    return { trouble: reports[0].trouble, sent, shed: session.shed };
    """
    found = run_script(STREAM + code, STATIC)
    assert found["trouble"] == "out of memory"
    assert found["sent"][:2] == [[20, 40], [21, 42, 44, 46, 48]]
    # Only the first was left out, before the fault: four were behind it.
    assert (len(found["sent"]), found["shed"]) == (5, 1)


def test_the_policy_begins_anew_where_it_takes_over():
    code = """
    const calls = [];
    const choose = () => { calls.push("choose"); return 4; };
    session.policy = { restart: () => calls.push("restart"), choose };
    await session.set({ auto: true });
    await chunk(0);
    await session.set({ auto: true, strength: 0.5 });
    await session.set({ auto: false, blocks: 2 });
    await chunk(4);
    await session.set({ auto: true });
    return calls;
    """
    assert run_script(STREAM + code, STATIC) == ["restart", "choose", "restart"]


def test_the_policy_sees_a_chunk_by_the_frames_that_it_completes():
    """A chunk of a little more than a hop now and then completes two, as it does in Python."""
    code = """
    const seen = [];
    session.policy = { restart: () => {}, choose: (one) => { seen.push(one); return 4; } };
    await session.set({ auto: true });
    for (const frames of [0, 1, 3]) {
      const { process } = Doubling.prototype;
      session.stream.process = function (samples) {
        this.frames = frames;
        return process.call(this, samples);
      };
      await chunk(4 * seen.length);
    }
    return seen.map((one) => [one.audioSeconds, one.load]);
    """
    found = run_script(STREAM + code, STATIC)
    np.testing.assert_allclose(found, [[0.05, 0.2], [0.05, 0.2], [0.1, 0.1]])


PLAY = """
const { Playout } = await import("PAGE/playout.mjs");
const playout = new Playout(300, 64);
const heard = new Float32Array(16384);
// The microphone gives a wave, the network its opposite, 100 samples late and in chunks of 128.
const wave = (n) => (n < 0 ? 0 : Math.fround(Math.sin(n / 50)));
for (let time = 0; time < heard.length; time += 128) {
  playout.bypass = time >= from && time < to;
  const input = Float32Array.from({ length: 128 }, (_, n) => wave(time + n));
  playout.play(input, heard.subarray(time, time + 128));
  if (stalls.includes(time)) continue;
  const due = [time, ...(stalls.includes(time - 128) ? [time - 128] : [])].sort((a, b) => a - b);
  for (const at of due) {
    playout.receive(at - 100, Float32Array.from({ length: 128 }, (_, n) => -wave(at - 100 + n)));
  }
}
return { heard: await keep("heard", heard), late: playout.late };
"""


@pytest.mark.parametrize(
    "case", [(0, 0, []), (4096, 8192, []), (0, 0, [1280, 4096, 4224, 4352, 9088])], ids=str
)
def test_the_noisy_signal_is_faded_in_where_the_enhanced_one_is_not_there(case):
    start, end, stalls = case
    found = run_script(PLAY, STATIC, **{"from": start, "to": end, "stalls": stalls})
    heard = found["heard"]
    wave = np.sin(np.arange(-300, 16384 - 300) / 50) * (np.arange(16384) >= 300)
    share = np.divide(wave - heard, 2 * wave, out=np.ones_like(wave), where=abs(wave) > 0.1)
    known = abs(wave) > 0.1
    # Always a mixture of both, delayed alike, whose share changes by a sixty-fourth at most
    assert (share > -1e-4).all() and (share < 1 + 1e-4).all()
    both = known[1:] & known[:-1]
    assert abs(np.diff(share))[both].max() < 1 / 64 + 1e-4
    if end:
        assert abs(share[start + 64 : end][known[start + 64 : end]]).max() < 1e-4
    elif stalls:
        assert share[known].min() < 1e-4 and found["late"] > 0
    else:
        assert found["late"] == 0
        assert share[known].min() > 1 - 1e-4
    assert share[-2000:][known[-2000:]].min() > 1 - 1e-4  # it comes back


def test_a_recording_is_a_wav_file():
    code = """
    const { wavOf } = await import("PAGE/wav.mjs");
    const file = wavOf(await samples(signal), 44100);
    return { bytes: Array.from(new Uint8Array(await file.arrayBuffer())) };
    """
    signal = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    found = run_script(code, STATIC, signal=signal)
    written, rate = sf.read(io.BytesIO(bytes(found["bytes"])), dtype="float32")
    assert rate == 44100 and (written == signal).all()


def test_what_browsers_do_to_calls_is_checked():
    off = {"echoCancellation": False, "noiseSuppression": False, "autoGainControl": False}
    settings = [off, {**off, "echoCancellation": True}, {"autoGainControl": False}]
    code = """
    const { stillOn, CONSTRAINTS } = await import("PAGE/microphone.mjs");
    return { still: settings.map(stillOn), asked: CONSTRAINTS.audio };
    """
    found = run_script(code, STATIC, settings=settings)
    assert found["still"] == [[], ["echoCancellation"], ["echoCancellation", "noiseSuppression"]]
    assert found["asked"] == {**off, "channelCount": 1}
