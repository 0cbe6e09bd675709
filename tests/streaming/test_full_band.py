import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomnet_sb.streaming.full_band import FullBand, TopOctaveGain
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import interface, network
from tests.helpers.streams import in_chunks, streamed

HIGH_RATES = (22050, 44100, 48000)


def noise(length, seed=0):
    return np.random.default_rng(seed).standard_normal((2, length)).astype(np.float32)


def joined(band, signals, sizes, estimate):
    """What comes back for pieces of these sizes, where a network gives `estimate` of a piece."""
    pieces = np.split(signals, np.cumsum(sizes), axis=1)
    low = [*map(band.split, pieces), band.split_end()]
    back = [band.join(estimate(piece)[:, None]) for piece in low]
    return np.concatenate([*back, band.join_end()], axis=2)[:, 0]


@pytest.mark.parametrize("rate", [8000, 16000, *HIGH_RATES])
@settings(deadline=None, max_examples=15)
@given(sizes=st.lists(st.integers(0, 700), max_size=8), length=st.integers(0, 3000))
def test_every_cut_gives_the_same_and_of_the_length_of_the_signals(rate, sizes, length):
    sizes, signals = [size for size in sizes if size <= length], noise(length)

    def halved(piece):
        return np.float32(0.5) * piece

    whole = joined(FullBand(16000, rate, batch=2), signals, [], halved)
    assert whole.shape == signals.shape
    cut = joined(FullBand(16000, rate, batch=2), signals, sorted(sizes), halved)
    np.testing.assert_allclose(cut, whole, atol=1e-6)


@pytest.mark.parametrize("rate", HIGH_RATES)
@pytest.mark.parametrize("gain", [1.0, 0.3, 0.0])
def test_where_the_network_has_one_gain_the_whole_band_has_it(rate, gain):
    signals = noise(rate // 4)
    back = joined(FullBand(16000, rate, batch=2), signals, [500], lambda low: gain * low)
    np.testing.assert_allclose(back, gain * signals, atol=1e-5)


@pytest.mark.parametrize("rate", HIGH_RATES)
@pytest.mark.parametrize("kept", ["below", "above"])
def test_the_band_above_follows_the_top_octave(rate, kept):
    """Of a hum below and hiss above 4 kHz, the network keeps one."""
    time = np.arange(rate) / rate
    hum, whistle, above = (
        np.sin(2 * np.pi * hz * time).astype(np.float32) for hz in (300, 6000, 9500)
    )
    low = {hz: np.sin(2 * np.pi * hz * np.arange(16000) / 16000) for hz in (300, 6000)}
    network_keeps = low[300 if kept == "below" else 6000].astype(np.float32)
    back = joined(
        FullBand(16000, rate, batch=1),
        (hum + whistle + above)[None],
        [],
        lambda piece: network_keeps[None, : piece.shape[1]] if piece.shape[1] > 100 else 0 * piece,
    )
    middle = slice(rate // 4, -rate // 4)
    heard = 2 * np.mean((back[0] * above)[middle])
    assert heard == pytest.approx(0.0 if kept == "below" else 1.0, abs=0.02)


@pytest.mark.parametrize("rate", HIGH_RATES)
def test_mute_leaves_the_band_above_out(rate):
    time = np.arange(rate) / rate
    tone = np.sin(2 * np.pi * 9500 * time).astype(np.float32)[None]
    back = joined(FullBand(16000, rate, 1, highband="mute"), tone, [], lambda low: low)
    assert np.abs(back[:, 1000:-1000]).max() < 0.01


@pytest.mark.parametrize("rate", HIGH_RATES)
def test_the_gain_opens_and_closes_without_a_click(rate):
    low, gain = noise(16000), TopOctaveGain(16000, rate, batch=2)
    gate = (np.arange(16000) // 1600 % 2).astype(np.float32)
    gain.put(low, low * gate)
    gains = gain.take(rate)
    assert gains.min() < 0.01
    assert gains.max() > 0.99
    assert np.abs(np.diff(gains)).max() * rate < 700  # 1.4 ms from closed to open


def test_silence_is_let_through():
    silence = np.zeros((1, 4800), np.float32)
    assert not joined(FullBand(16000, 48000, 1), silence, [], lambda low: low).any()


@pytest.mark.parametrize("rate", HIGH_RATES)
def test_a_stream_of_a_network_that_changes_nothing_is_its_input(rate):
    enhancer = interface(network("BandRNN"))
    stream = enhancer.stream(sample_rate=rate)

    class Unchanged:
        """What the stream runs, but for the estimate: the windows as they came."""

        def __init__(self, engine):
            self.engine, self.facts = engine, engine.facts

        def __getattr__(self, name):
            return getattr(self.engine, name)

        def enter(self, windows, state):
            self.windows = windows
            return self.engine.enter(windows, state)

        def decode(self, depth, feature, shared):
            return 0.5 * self.windows[:, None]

    stream.engine = Unchanged(stream.engine)
    signal = torch.from_numpy(noise(rate // 2)[0])
    out = torch.cat([in_chunks(stream, signal, rate // 100), stream.flush()])
    inside = slice(rate // 100, -rate // 100)
    torch.testing.assert_close(out[inside], signal[inside], atol=1e-4, rtol=0)


@pytest.mark.parametrize("rate", (16000, 48000))
def test_what_highband_may_be(rate):
    enhancer, separator = interface(network("causal BN")), interface(network("causal sources"))
    with pytest.raises(InputError, match="highband is 'loud', but must be one of follow, mute"):
        enhancer.stream(sample_rate=rate, highband="loud")
    with pytest.raises(InputError, match='highband "follow" is for enhancement'):
        separator.stream(sample_rate=rate, highband="follow")
    assert separator.stream(sample_rate=rate, highband="mute")
    signal = torch.from_numpy(noise(8000)[0])
    default, follow = (
        streamed(enhancer.stream(sample_rate=rate, **options), signal, [])
        for options in ({}, {"highband": "follow"})
    )
    assert torch.equal(default, follow)
