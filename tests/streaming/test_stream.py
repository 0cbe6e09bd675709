import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.model import BloomNet
from bloomnet_sb.separators import ConvTasNetSeparator
from bloomnet_sb.utils.errors import InputError
from tests.conftest import SAMPLES
from tests.inference.test_enhancer import SMALL_MODELS, interface

CAUSAL = ("causal BN", "causal cLN", "causal cgLN")


def fading_level():
    """A network whose level is that of the last 50 frames or so."""
    torch.manual_seed(0)
    separator = ConvTasNetSeparator(16, 8, 12, 3, 2, 3, norm="BN", causal=True)
    return BloomNet(separator, 16, kernel_size=16, level_window=50).eval()


def odd_windows(pad_input):
    """A network whose windows overlap by more and by less than a stride."""
    torch.manual_seed(0)
    separator = ConvTasNetSeparator(16, 8, 12, 2, 2, 3, norm="cLN", causal=True)
    return BloomNet(separator, 16, kernel_size=20, stride=7, pad_input=pad_input).eval()


ENHANCERS = {name: interface(SMALL_MODELS[name]) for name in CAUSAL}
ENHANCERS["fading level"] = interface(fading_level())
ENHANCERS |= {f"odd, {pad}": interface(odd_windows(pad)) for pad in (True, False)}


def streamed(stream, signal, sizes):
    """The concatenated output for chunks of these sizes, then the rest."""
    sizes = [*sizes, max(signal.shape[-1] - sum(sizes), 0)]
    chunks = signal[..., : sum(sizes)].split(sizes, dim=-1)
    return torch.cat([*map(stream.process, chunks), stream.flush()], dim=-1)


def in_chunks(stream, signal, size=160):
    return torch.cat([stream.process(chunk) for chunk in signal.split(size, dim=-1)], dim=-1)


@pytest.fixture(scope="module")
def noisy():
    samples, _ = sf.read(SAMPLES / "demo" / "noisy_0dB.flac", dtype="float32")
    return torch.from_numpy(samples)


@pytest.mark.parametrize("name", ENHANCERS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_every_cut_gives_the_offline_output(name, data):
    enhancer = ENHANCERS[name]
    length = data.draw(st.integers(0, 3000))
    sizes = data.draw(st.lists(st.integers(0, 700), max_size=12))
    blocks = data.draw(st.integers(1, enhancer.num_blocks))
    if sum(sizes) > length:
        sizes = []
    noisy = torch.randn(length, generator=torch.Generator().manual_seed(length))
    out = streamed(enhancer.stream(blocks=blocks), noisy, sizes)
    assert len(out) == length
    if length:
        whole = enhancer.enhance_batch(noisy[None], blocks=blocks)[0]
        torch.testing.assert_close(out, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", CAUSAL)
def test_a_batch_is_its_signals(name, noisy):
    enhancer, signals = ENHANCERS[name], torch.stack([noisy[:8000], noisy[8000:16000]])
    out = streamed(enhancer.stream(batch_size=2), signals, [1000, 37])
    assert out.shape == signals.shape
    for row, signal in zip(out, signals, strict=True):
        torch.testing.assert_close(
            row, streamed(enhancer.stream(), signal, [500]), atol=1e-5, rtol=0
        )


def test_streams_do_not_disturb_each_other(noisy):
    enhancer = ENHANCERS["causal cgLN"]
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
    stream, received, returned = ENHANCERS["causal BN"].stream(), 0, 0
    assert stream.delay_samples == 15
    for size in (1, 3, 16, 7, 160, 0, 5, 8, 8):
        received += size
        returned += len(stream.process(noisy[:size]))
        assert received - stream.delay_samples <= returned <= received


def test_whole_strides_come_back_as_they_went(noisy):
    stream = ENHANCERS["causal BN"].stream()
    sizes = [len(stream.process(noisy[:160])) for _ in range(5)]
    assert sizes == [152, 160, 160, 160, 160]


def test_after_a_flush_or_a_reset_another_signal_begins(noisy):
    stream = ENHANCERS["causal cgLN"].stream()
    first = streamed(stream, noisy[:5000], [100])
    torch.testing.assert_close(streamed(stream, noisy[:5000], [999]), first, atol=1e-5, rtol=0)
    stream.process(noisy[5000:9000])
    stream.reset()
    torch.testing.assert_close(streamed(stream, noisy[:5000], []), first, atol=1e-5, rtol=0)


def test_memory_does_not_grow(noisy):
    stream = ENHANCERS["causal cgLN"].stream()

    def held():
        memory = stream._memory
        pasts = [layer.past.frames for block in memory.blocks for layer in block]
        means = [mean.mean for block in memory.blocks for layer in block for mean in layer.means]
        return [tensor.numel() for tensor in (*pasts, *means, stream._waiting, stream._tail)]

    stream.process(noisy[:1600])
    before = held()
    in_chunks(stream, noisy[:96000])
    assert held() == before


@pytest.mark.parametrize("name", ["causal BN", "causal cLN", "odd, True"])
@pytest.mark.parametrize(("first", "then"), [(3, 1), (1, 3), (1, 2), (2, 3), (3, 2)])
def test_outside_of_warm_up_and_fade_a_change_leaves_the_fixed_output(name, first, then, noisy):
    enhancer, at = ENHANCERS[name], 4000
    stream = enhancer.stream(blocks=first)
    out = [in_chunks(stream, noisy[:at])]
    stream.blocks = then
    assert stream.blocks == then
    out.append(in_chunks(stream, noisy[at:16000]))
    out = torch.cat([*out, stream.flush()])
    assert stream.heard_blocks == then
    whole = {b: enhancer.enhance_batch(noisy[None, :16000], blocks=b)[0] for b in (first, then)}
    encoder = enhancer.mods.model.encoder
    frames = sum(stream.net.reach(depth) for depth in range(first + 1, then + 1))
    warm = at + frames * encoder.stride - encoder.kernel_size
    changed = at + frames * encoder.stride + encoder.kernel_size + stream._switch.fade_samples
    torch.testing.assert_close(out[:warm], whole[first][:warm], atol=1e-4, rtol=0)
    torch.testing.assert_close(out[changed:], whole[then][changed:], atol=1e-4, rtol=0)
    fade = slice(warm, changed)
    low, high = torch.minimum(*whole.values())[fade], torch.maximum(*whole.values())[fade]
    assert (out[fade] >= low - 1e-4).all() and (out[fade] <= high + 1e-4).all()


def test_a_change_does_not_depend_on_the_chunks(noisy):
    enhancer, outs = ENHANCERS["causal BN"], []
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
    enhancer = ENHANCERS["causal BN"]
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


def test_blocks_that_are_not_needed_do_not_run(noisy):
    stream, ran = ENHANCERS["causal BN"].stream(), []
    block = stream.net.block

    class Watched:
        def __getattr__(self, name):
            return getattr(ENHANCERS["causal BN"].stream().net, name)

        def block(self, state, depth, memory):
            ran.append(depth)
            return block(state, depth, memory)

    stream.net = Watched()
    stream.process(noisy[:1600])
    assert set(ran) == {1, 2, 3}
    stream.blocks = 1
    stream.process(noisy[1600:3200])
    ran.clear()
    stream.process(noisy[3200:4800])
    assert set(ran) == {1}


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("factor", [0.0, 1e-38, 1e4])
def test_silence_denormals_and_clipping(name, factor, noisy):
    enhancer = ENHANCERS[name]
    signal = torch.cat([noisy[:4000], factor * noisy[4000:8000], noisy[8000:12000]])
    out = streamed(enhancer.stream(), signal, [160] * 70)
    assert torch.isfinite(out).all()
    whole = enhancer.enhance_batch(signal[None])[0]
    torch.testing.assert_close(out, whole, atol=1e-4 * max(factor, 1), rtol=1e-4)


def test_nan_is_refused_and_not_taken(noisy):
    stream = ENHANCERS["causal BN"].stream()
    first = stream.process(noisy[:1000])
    with pytest.raises(InputError, match="a chunk holds NaN"):
        stream.process(torch.full((100,), float("nan")))
    out = torch.cat([first, stream.process(noisy[1000:5000]), stream.flush()])
    whole = ENHANCERS["causal BN"].enhance_batch(noisy[None, :5000])[0]
    torch.testing.assert_close(out, whole, atol=1e-4, rtol=0)


def test_a_fading_level_follows_a_call_that_gets_quieter(noisy):
    def level_db(enhancer, gain):
        signal = torch.cat([noisy[:40000], gain * noisy[40000:80000]])
        memory, net = enhancer.stream().net.new_memory(1), enhancer.stream().net
        for windows in signal[None].unfold(1, 16, 8).split(200, dim=1):
            net.enter(windows, memory)
        return 10 * memory.level.mean.log10().item()

    assert level_db(ENHANCERS["fading level"], 1) - level_db(ENHANCERS["fading level"], 0.01) > 39
    assert level_db(ENHANCERS["causal BN"], 1) - level_db(ENHANCERS["causal BN"], 0.01) < 6


def test_results_may_be_changed(noisy):
    out = ENHANCERS["causal BN"].stream().process(noisy[:1000])
    out *= 2
    assert not out.is_inference()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": 4}, "1 to 3 blocks"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"fade_seconds": 0}, "fade_seconds is 0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message):
        ENHANCERS["causal BN"].stream(**options)


def test_wrong_chunks_and_blocks(noisy):
    stream = ENHANCERS["causal BN"].stream(batch_size=2)
    for chunk in (noisy[:10], torch.zeros(3, 10)):
        with pytest.raises(InputError, match=r"must be \[2, time\]"):
            stream.process(chunk)
    for chunk in (torch.zeros(2, 10, dtype=torch.int16), [[0.0], [0.0]]):
        with pytest.raises(InputError, match="must be a tensor of floats"):
            stream.process(chunk)
    with pytest.raises(InputError, match="1 to 3 blocks"):
        stream.blocks = 0


def test_a_network_that_is_not_causal():
    with pytest.raises(InputError, match="causal Conv-TasNet"):
        BloomEnhancer({"model": SMALL_MODELS["gLN"]}, {"sample_rate": 16000}).stream()
