import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomnet_sb.nn.pauses import Pause
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import CAUSAL, interface, network
from tests.helpers.recipes import SAMPLES
from tests.helpers.streams import in_chunks, streamed

# Networks whose blocks are exact after a warm-up
FORGETFUL = ("causal BN", "causal cLN", "odd windows", "causal skip")


@pytest.fixture(scope="module")
def noisy():
    samples, _ = sf.read(SAMPLES / "demo" / "noisy_0dB.flac", dtype="float32")
    return torch.from_numpy(samples)


def offline(name, noisy, blocks=None):
    """The estimate [time], or [time, sources], of the whole signal."""
    with torch.no_grad():
        return network(name).estimate(noisy[None], blocks)[0].squeeze(-1)


@pytest.mark.parametrize("name", CAUSAL)
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_every_cut_gives_the_offline_output(name, data):
    enhancer = interface(network(name))
    length = data.draw(st.integers(0, 3000))
    sizes = data.draw(st.lists(st.integers(0, 700), max_size=12))
    blocks = data.draw(st.integers(1, enhancer.num_blocks))
    if sum(sizes) > length:
        sizes = []
    noisy = torch.randn(length, generator=torch.Generator().manual_seed(length))
    with_flush = data.draw(st.booleans())
    out = streamed(enhancer.stream(blocks=blocks), noisy, sizes, with_flush)
    assert len(out) == length
    if length:
        torch.testing.assert_close(out, offline(name, noisy, blocks), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CAUSAL)
def test_a_batch_is_its_signals(name, noisy):
    enhancer, signals = interface(network(name)), torch.stack([noisy[:8000], noisy[8000:16000]])
    stream = enhancer.stream(batch_size=2)
    pieces = [stream.process(signals[:, :1000]), stream.process(signals[:, 1000:]), stream.flush()]
    for row, signal in zip(torch.cat(pieces, dim=1), signals, strict=True):
        torch.testing.assert_close(
            row, streamed(enhancer.stream(), signal, [500]), atol=1e-5, rtol=0
        )


def test_streams_do_not_disturb_each_other(noisy):
    enhancer = interface(network("causal cgLN"))
    signals = {blocks: noisy[blocks * 8000 :][:8000] for blocks in (1, 2, 3)}
    streams = {blocks: enhancer.stream(blocks=blocks) for blocks in signals}
    parts = {blocks: [] for blocks in signals}
    for start in range(0, 8000, 160):
        for blocks, stream in streams.items():
            parts[blocks].append(stream.process(signals[blocks][start : start + 160]))
    for blocks, stream in streams.items():
        alone = streamed(enhancer.stream(blocks=blocks), signals[blocks], [])
        together = torch.cat([*parts[blocks], stream.flush()])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_no_more_than_the_delay_is_held_back(noisy):
    stream, received, returned = interface(network("causal BN")).stream(), 0, 0
    assert stream.delay_samples == 15
    for size in (1, 3, 16, 7, 160, 0, 5, 8, 8):
        received += size
        returned += len(stream.process(noisy[:size]))
        assert received - stream.delay_samples <= returned <= received


def test_whole_strides_come_back_as_they_went(noisy):
    stream = interface(network("causal BN")).stream()
    sizes = [len(stream.process(noisy[:160])) for _ in range(5)]
    assert sizes == [152, 160, 160, 160, 160]


def test_after_a_flush_or_a_reset_another_signal_begins(noisy):
    stream = interface(network("causal cgLN")).stream()
    first = streamed(stream, noisy[:5000], [100])
    torch.testing.assert_close(streamed(stream, noisy[:5000], [999]), first, atol=1e-5, rtol=0)
    stream.process(noisy[5000:9000])
    stream.reset()
    torch.testing.assert_close(streamed(stream, noisy[:5000], []), first, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CAUSAL)
def test_memory_does_not_grow(name, noisy):
    stream = interface(network(name)).stream()

    def held():
        states = [state for part in stream._states.values() for state in part.values()]
        return [array.shape for array in (*states, stream._tail)]

    stream.process(noisy[:1600])
    before = held()
    in_chunks(stream, noisy[:8000])
    assert held() == before
    assert stream._waiting.shape[1] < network(name).encoder.window


@pytest.mark.parametrize("name", FORGETFUL)
@pytest.mark.parametrize(("first", "then"), [(3, 1), (1, 3), (1, 2), (2, 3), (3, 2)])
def test_outside_of_warm_up_and_fade_a_change_leaves_the_fixed_output(name, first, then, noisy):
    enhancer, at = interface(network(name)), 4000
    stream = enhancer.stream(blocks=first)
    out = [in_chunks(stream, noisy[:at])]
    stream.blocks = then
    assert stream.blocks == then
    out.append(in_chunks(stream, noisy[at:12000]))
    out = torch.cat([*out, stream.flush()])
    assert stream.heard_blocks == then
    whole = {blocks: offline(name, noisy[:12000], blocks) for blocks in (first, then)}
    window, hop = stream.facts.window, stream.facts.hop
    frames = sum(stream.facts.warm_ups[first:then])
    warm = at + frames * hop - window
    changed = at + frames * hop + window + stream._switch.fade_samples
    torch.testing.assert_close(out[:warm], whole[first][:warm], atol=1e-4, rtol=0)
    torch.testing.assert_close(out[changed:], whole[then][changed:], atol=1e-4, rtol=0)
    fade = slice(warm, changed)
    low, high = torch.minimum(*whole.values())[fade], torch.maximum(*whole.values())[fade]
    assert (out[fade] >= low - 1e-4).all() and (out[fade] <= high + 1e-4).all()


@pytest.mark.parametrize("name", ["BandRNN", "causal cgLN"])
def test_blocks_that_never_forget_go_on_where_they_stopped(name, noisy):
    """After a change to fewer blocks and back what is heard is as in training, after a pause."""
    stream, frames_of = interface(network(name)).stream(blocks=2, wait_seconds=0.1), []
    block = stream.engine.block

    def noted(depth, feature, state):
        if depth == 2:
            first, count = stream._switch.frame, feature[0].shape[1]
            frames_of.extend(range(first, first + count))
        return block(depth, feature, state)

    stream.engine.block = noted
    out = []
    for start, stop, blocks in ((0, 4000, 2), (4000, 8000, 1), (8000, 20000, 2)):
        stream.blocks = blocks
        out.append(in_chunks(stream, noisy[start:stop]))
    out = torch.cat([*out, stream.flush()])
    missed = sorted({*range(frames_of[-1])} - {*frames_of})
    pause = Pause(2, missed[0], missed[-1] + 1)
    with torch.no_grad():
        expected = network(name)(noisy[None, :20000], depths=[2], pause=pause)[0, 0, :, 0]
    assert len(missed) == pause.stop - pause.start > 5
    torch.testing.assert_close(out[12000:], expected[12000:], atol=1e-4, rtol=0)


def test_a_change_does_not_depend_on_the_chunks(noisy):
    enhancer, outs = interface(network("causal BN")), []
    for size in (160, 37, 4000):
        stream = enhancer.stream(blocks=1)
        out = [in_chunks(stream, noisy[:4000], size)]
        stream.blocks = 3
        outs.append(torch.cat([*out, in_chunks(stream, noisy[4000:12000], size), stream.flush()]))
    torch.testing.assert_close(outs[1], outs[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(outs[2], outs[0], atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=25)
@given(changes=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 900)), min_size=1, max_size=10))
def test_whatever_the_changes_the_last_one_wins(changes):
    enhancer = interface(network("causal BN"))
    noisy = torch.randn(20000, generator=torch.Generator().manual_seed(1))
    stream, at, out = enhancer.stream(), 0, []
    for blocks, samples in changes:
        stream.blocks = blocks
        out.append(stream.process(noisy[at : at + samples]))
        at += samples
    out = torch.cat([*out, stream.process(noisy[at:]), stream.flush()])
    assert stream.heard_blocks == stream.blocks == changes[-1][0]
    assert len(out) == len(noisy)
    whole = enhancer.enhance_batch(noisy[None], blocks=changes[-1][0])[0]
    torch.testing.assert_close(out[-5000:], whole[-5000:], atol=1e-4, rtol=0)


def test_blocks_that_never_forget_are_heard_after_one_wait(noisy):
    stream = interface(network("BandRNN")).stream(blocks=1, wait_seconds=0.5)
    out = [in_chunks(stream, noisy[:4000])]
    stream.blocks = 3
    out = torch.cat([*out, in_chunks(stream, noisy[4000:20000]), stream.flush()])
    assert stream.heard_blocks == 3
    shallow = offline("BandRNN", noisy[:20000], blocks=1)
    heard_from, window = 4000 + 8000, stream.facts.window
    unchanged, changed = heard_from - window, heard_from + window
    torch.testing.assert_close(out[:unchanged], shallow[:unchanged], atol=1e-5, rtol=0)
    assert not torch.allclose(out[changed:], shallow[changed:], atol=1e-4)


def test_blocks_that_are_not_needed_do_not_run(noisy):
    stream, ran = interface(network("causal BN")).stream(), []
    block = stream.engine.block

    def watched(depth, feature, state):
        ran.append(depth)
        return block(depth, feature, state)

    stream.engine.block = watched
    stream.process(noisy[:1600])
    assert set(ran) == {1, 2, 3}
    stream.blocks = 1
    stream.process(noisy[1600:3200])
    ran.clear()
    stream.process(noisy[3200:4800])
    assert set(ran) == {1}


def test_arrays_come_back_as_arrays(noisy):
    stream = interface(network("causal sources")).stream()
    out = np.concatenate([stream.process(noisy[:4000].numpy()), stream.flush()])
    assert out.shape == (4000, 2)
    np.testing.assert_allclose(out, offline("causal sources", noisy[:4000]), atol=1e-5)


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("factor", [0.0, 1e-38, 1e4])
def test_silence_denormals_and_clipping(name, factor, noisy):
    enhancer = interface(network(name))
    signal = torch.cat([noisy[:2000], factor * noisy[4000:6000], noisy[8000:10000]])
    out = streamed(enhancer.stream(), signal, [160] * 35)
    assert torch.isfinite(out).all()
    whole = offline(name, signal)
    torch.testing.assert_close(out, whole, atol=1e-4 * max(factor, 1), rtol=1e-4)


def test_nan_is_refused_and_not_taken(noisy):
    stream = interface(network("causal BN")).stream()
    first = stream.process(noisy[:1000])
    with pytest.raises(InputError, match="a chunk holds NaN"):
        stream.process(torch.full((100,), float("nan")))
    second = stream.process(noisy[1000:4000])
    with pytest.raises(InputError, match="a chunk holds NaN"):
        stream.flush(torch.full((100,), float("nan")))
    out = torch.cat([first, second, stream.flush(noisy[4000:5000])])
    whole = interface(network("causal BN")).enhance_batch(noisy[None, :5000])[0]
    torch.testing.assert_close(out, whole, atol=1e-4, rtol=0)


def test_results_may_be_changed(noisy):
    out = interface(network("causal BN")).stream().process(noisy[:1000])
    out *= 2
    assert not out.is_inference()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": 4}, "1 to 3 blocks"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"fade_seconds": 0}, "fade_seconds is 0"),
        ({"wait_seconds": -1}, "wait_seconds is -1"),
        ({"wait_seconds": float("inf")}, "wait_seconds is inf, but must be 0 or more, and finite"),
        ({"fade_seconds": float("inf")}, "fade_seconds is inf"),
        ({"fade_seconds": "1"}, "fade_seconds is '1'"),
        ({"batch_size": True}, "batch_size is True"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message):
        interface(network("causal BN")).stream(**options)


def test_wrong_chunks_and_blocks(noisy):
    stream = interface(network("causal BN")).stream(batch_size=2)
    for chunk in (noisy[:10], torch.zeros(3, 10)):
        with pytest.raises(InputError, match=r"must be \[2, time\]"):
            stream.process(chunk)
    for chunk in (torch.zeros(2, 10, dtype=torch.int16), [[0.0], [0.0]]):
        with pytest.raises(InputError, match="must be (a tensor|an array) of floats"):
            stream.process(chunk)
    with pytest.raises(InputError, match="1 to 3 blocks"):
        stream.blocks = 0


def test_a_network_that_is_not_causal():
    with pytest.raises(InputError, match="a causal network; this ConvTasNetSeparator is not one"):
        interface(network("gLN")).stream()
