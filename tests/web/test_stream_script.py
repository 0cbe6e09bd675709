"""The page's stream, run by Node.js with the WASM that the page loads, beside Python's."""

import numpy as np
import pytest

from bloomnet_sb.streaming.depth_switch import DepthSwitch
from bloomnet_sb.streaming.onnx_stream import OnnxEngine, OnnxStream
from bloomnet_sb.streaming.policies import Observation, RealTime
from bloomnet_sb.streaming.resampled_stream import ResampledStream
from bloomnet_sb.utils.polyphase import PolyphaseResampler
from tests.helpers.pages import demo
from tests.helpers.web import NETWORKS, NODE, RATE, STATIC, page, run_script

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="there is no Node.js (the command node)"),
    pytest.mark.xdist_group("export"),
]

# Chunk lengths and, before some of them, another number of blocks, strength or limit
STEPS = [
    (160, {}), (1, {"blocks": 1}), (500, {"limitDb": 30}), (3000, {"strength": 0.7}),
    (160, {"blocks": 2}), (37, {"strength": 1, "limitDb": 9.5}), (900, {"blocks": 1}), (0, {}),
    (2500, {"blocks": 2}), (700, {"blocks": 1, "limitDb": None}), (100, {"strength": 0.2}),
    (50, {"strength": 0.9}), (4000, {}), (20000, {"blocks": 2}),
]  # fmt: skip

RUN = """
const ort = await import("PAGE/runtime/ort.wasm.min.mjs");
const { Engine } = await import("PAGE/engine.mjs");
const { FrameStream } = await import("PAGE/frame_stream.mjs");
const { ResampledStream } = await import("PAGE/resampled_stream.mjs");
const { joined } = await import("PAGE/arrays.mjs");
const about = JSON.parse(new TextDecoder().decode(await read("web.json")));
const engine = await Engine.load(ort, about, read);
const signal = await samples(noisy);
const results = [];
for (const rate of rates) {
  const stream = rate
    ? new ResampledStream(engine, about.sample_rate, rate)
    : new FrameStream(engine, about.sample_rate);
  const result = { delay: stream.delaySamples };
  for (const turn of ["first", "second"]) {
    const pieces = [];
    let at = 0;
    for (const [size, changes] of steps) {
      Object.assign(stream, changes);
      pieces.push(await stream.process(signal.slice(at, at + size)));
      at += size;
    }
    pieces.push(await stream.flush());
    result[turn] = await keep(`${turn} ${rate}`, joined(...pieces));
  }
  results.push(result);
}
return { results };
"""
RATES = [None, 16000, 44100, 48000, 8000]  # None: a stream that does not resample


def streamed(stream, signal: np.ndarray) -> np.ndarray:
    pieces, at = [], 0
    for size, changes in STEPS:
        for name, value in changes.items():
            setattr(stream, "attenuation_limit_db" if name == "limitDb" else name, value)
        pieces.append(stream.process(signal[at : at + size]))
        at += size
    return np.concatenate([*pieces, stream.flush()])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_chunks_and_changes_give_the_same_samples(name):
    folder = page(name)
    engine = OnnxEngine(folder / "network")
    signal = demo("noisy", 2.5).numpy()[: sum(size for size, _ in STEPS)]
    # Of one process, as what takes time is to load the runtime
    results = run_script(RUN, folder, rates=RATES, noisy=signal, steps=STEPS)["results"]
    for rate, found in zip(RATES, results, strict=True):
        resampled = rate and ResampledStream(engine, RATE, rate)
        stream = resampled or OnnxStream(folder / "network")
        assert found["delay"] == stream.delay_samples, rate
        for turn in ("first", "second"):  # after the end, it begins anew, with what was set
            expected = streamed(stream, signal)
            assert len(expected) == len(signal) == len(found[turn])
            limit = 1e-4 * abs(signal).max()
            np.testing.assert_allclose(found[turn], expected, atol=limit, err_msg=f"{rate}, {turn}")
            assert abs(expected - signal).max() > 0.02 * abs(signal).max()


@pytest.mark.parametrize("rates", [(48000, 16000), (16000, 48000), (44100, 16000), (16000, 44100)])
def test_the_filter_is_pythons(rates):
    signal = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    sizes = [0, 1, 7, 480, 1500, 3, 2009]
    code = """
    const { PolyphaseResampler } = await import("PAGE/polyphase.mjs");
    const { joined } = await import("PAGE/arrays.mjs");
    const resampler = new PolyphaseResampler(...rates);
    const whole = await samples(signal);
    const pieces = [];
    let at = 0;
    for (const size of sizes) {
      pieces.push(resampler.process(whole.slice(at, at + size)));
      at += size;
    }
    pieces.push(resampler.flush());
    return {
      lengths: pieces.map((piece) => piece.length),
      signal: await keep("resampled", joined(...pieces)),
    };
    """
    found = run_script(code, STATIC, rates=rates, signal=signal, sizes=sizes)
    resampler = PolyphaseResampler(*rates)
    chunks = np.split(signal, np.cumsum(sizes)[:-1])
    pieces = [*map(resampler.process, chunks), resampler.flush()]
    assert found["lengths"] == [len(piece) for piece in pieces]
    np.testing.assert_allclose(found["signal"], np.concatenate(pieces), atol=1e-5)


def test_the_timeline_of_depths_is_pythons():
    random = np.random.default_rng(0)
    # What is asked for before each run of frames, and how many frames it has at most
    turns = [(int(random.integers(1, 5)), int(random.integers(1, 120))) for _ in range(400)]
    warm_ups, sizes = [10, None, 30, None], {"window": 20, "hop": 7}
    code = """
    const { DepthSwitch } = await import("PAGE/depth_switch.mjs");
    const timeline = new DepthSwitch(warmUps, 2, 20, 7, 320, 50);
    return turns.map(([target, most]) => {
      timeline.target = target;
      const frames = Math.min(most, timeline.nextFrames());
      const { heard, fadingTo, running, samplesSinceFadeStart } = timeline;
      timeline.frame += frames;
      return [frames, heard, fadingTo, running, samplesSinceFadeStart];
    });
    """
    found = run_script(code, STATIC, warmUps=warm_ups, turns=turns)
    switch, expected = DepthSwitch(warm_ups, 2, **sizes, fade_samples=320, wait_frames=50), []
    for target, most in turns:
        switch.target = target
        frames = min(most, switch.next_frames())
        state = [switch.heard, switch.fading_to, switch.running]
        expected.append([frames, *state, switch.samples_since_fade_start])
        switch.frame += int(frames)
    assert found == expected


def test_auto_decides_as_python_does():
    random = np.random.default_rng(0)
    costs = np.repeat(random.choice([0.02, 0.05, 0.08, 0.2], 60), 50) * random.lognormal(
        0, 0.1, 3000
    )
    code = """
    const { RealTime } = await import("PAGE/policy.mjs");
    const policy = new RealTime();
    let blocks = 4;
    return costs.map((cost, n) => {
      const load = cost * (blocks + 1);
      const seen = { seconds: n / 50, audioSeconds: 1, blocks, numBlocks: 4, load };
      blocks = policy.choose(seen);
      return blocks;
    });
    """
    found = run_script(code, STATIC, costs=costs.tolist())
    policy, blocks, expected = RealTime(), 4, []
    for n, cost in enumerate(costs):
        blocks = policy.choose(Observation(n / 50, blocks, 4, cost * (blocks + 1), 1.0))
        expected.append(blocks)
    assert found == expected and len(set(found)) == 4
