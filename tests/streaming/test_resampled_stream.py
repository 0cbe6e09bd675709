import numpy as np
import pytest
import soundfile as sf
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomnet_sb.streaming.policies import BudgetedStream, Fixed
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.polyphase import PolyphaseResampler
from tests.helpers.networks import interface, network
from tests.helpers.recipes import SAMPLES
from tests.helpers.streams import in_chunks, streamed

RATES = (8000, 22050, 44100, 48000)
NAMES = ("causal BN", "odd windows", "no padding", "causal sources", "BandRNN")


@pytest.fixture(scope="module", params=RATES)
def rate(request):
    """The device's rate."""
    return request.param


@pytest.fixture(scope="module")
def noisy(rate):
    samples, _ = sf.read(SAMPLES / "demo" / "noisy_0dB.flac", dtype="float32", frames=16000)
    return torch.from_numpy(soxr.resample(samples, 16000, rate))


def resampled(signal, from_rate, to_rate):
    """A signal [time, ..] at another rate."""
    resampler = PolyphaseResampler(from_rate, to_rate, signal.shape[1:])
    pieces = resampler.process(np.moveaxis(signal.numpy(), 0, -1)), resampler.flush()
    return torch.from_numpy(np.moveaxis(np.concatenate(pieces, axis=-1), -1, 0))


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=5)
@given(data=st.data())
def test_every_cut_is_the_stream_of_the_resampled_signal(name, rate, data):
    enhancer = interface(network(name))
    length = data.draw(st.integers(0, 6000))
    sizes = data.draw(st.lists(st.integers(0, 1500), max_size=8))
    sizes = sizes if sum(sizes) <= length else []
    signal = torch.randn(length, generator=torch.Generator().manual_seed(length))
    stream, with_flush = enhancer.stream(blocks=2, sample_rate=rate, highband="mute"), st.booleans()
    out = streamed(stream, signal, sizes, data.draw(with_flush))
    assert len(out) == length
    low = streamed(enhancer.stream(blocks=2), resampled(signal, rate, 16000), [])
    expected = resampled(low, 16000, rate)[:length]
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [7, 441, 480, 5000])
def test_the_delay_is_the_one_that_is_told(name, rate, size):
    stream, received, returned = interface(network(name)).stream(sample_rate=rate), 0, 0
    assert stream.sample_rate == rate
    for chunk in torch.zeros(max(12 * size, 1000)).split(size):
        received += len(chunk)
        returned += len(stream.process(chunk))
        assert returned == max(received - stream.delay_samples, 0)
    assert len(stream.flush()) == received - returned


def test_the_delay_of_a_usual_device():
    stream = interface(network("causal BN")).stream(sample_rate=48000)
    window_seconds = 15 / 16000
    assert stream.delay_samples / 48000 == pytest.approx(0.004 + window_seconds)


def test_batches_arrays_and_another_signal_after_a_flush(noisy, rate):
    enhancer = interface(network("causal BN"))
    stream = enhancer.stream(batch_size=2, sample_rate=rate)
    rows = torch.stack([noisy[: rate // 2], noisy[-(rate // 2) :]])
    for _ in range(2):
        pieces = [stream.process(chunk.numpy()) for chunk in rows.split(500, dim=1)]
        out = np.concatenate([*pieces, stream.flush()], axis=1)
        for signal, row in zip(rows, out, strict=True):
            alone = streamed(enhancer.stream(sample_rate=rate), signal, [])
            np.testing.assert_allclose(row, alone, atol=1e-5)


def test_changes_of_depth_and_policies_go_through(noisy, rate):
    enhancer = interface(network("causal BN"))
    stream = enhancer.stream(sample_rate=rate)
    budgeted, noisy = BudgetedStream(stream, Fixed(1)), noisy[: 90 * (rate // 100)]
    out = torch.cat([in_chunks(budgeted, noisy, rate // 100), budgeted.flush()])
    assert stream.blocks == stream.heard_blocks == 1
    assert budgeted.seen.audio_seconds == pytest.approx(0.01, rel=0.01)
    alone = streamed(enhancer.stream(blocks=1, sample_rate=rate), noisy, [])
    torch.testing.assert_close(out[rate // 10 :], alone[rate // 10 :], atol=1e-4, rtol=0)


def test_nan_is_refused_and_not_taken(noisy, rate):
    stream = interface(network("causal BN")).stream(sample_rate=rate)
    first = stream.process(noisy[:1000])
    with pytest.raises(InputError, match="a chunk holds NaN"):
        stream.process(torch.full((100,), float("nan")))
    out = torch.cat([first, stream.process(noisy[1000:5000]), stream.flush()])
    whole = streamed(interface(network("causal BN")).stream(sample_rate=rate), noisy[:5000], [])
    torch.testing.assert_close(out, whole, atol=1e-5, rtol=0)


def test_the_networks_own_rate_is_not_resampled():
    assert interface(network("causal BN")).stream(sample_rate=16000.0).delay_samples == 15


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (48000.5, "sample_rate is 48000.5, but must be a whole number of Hz"),
        ("48000", "sample_rate is '48000', but must be"),
        (float("nan"), "sample_rate is nan, but must be"),
        (True, "sample_rate is True, but must be"),
        (10, "its rate is 10 Hz, but must be within 1000"),
        (767_999, "too little in common with the network's 16000 Hz"),
    ],
)
def test_rates_that_cannot_be(rate, message):
    with pytest.raises(InputError, match=message):
        interface(network("causal BN")).stream(sample_rate=rate)
