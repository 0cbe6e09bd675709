import numpy as np
import pytest
import soundfile as sf
import torch

from bloomnet_sb.streaming.noisy_share import NoisyShare
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import interface, network
from tests.helpers.recipes import SAMPLES
from tests.helpers.streams import in_chunks, streamed

NAMES = ("causal BN", "odd windows", "no padding", "BandRNN")
# The network's own, and a device's
RATES = (16000, 48000)


@pytest.fixture(scope="module")
def noisy():
    samples, _ = sf.read(SAMPLES / "demo" / "noisy_0dB.flac", dtype="float32", frames=20000)
    return torch.from_numpy(samples)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("strength", "limit_db", "share"),
    [(1, None, 0), (0, None, 1), (0.25, None, 0.75), (1, 20, 0.1), (0.6, 20, 0.4), (0.95, 20, 0.1)],
)
def test_the_share_of_the_noisy_signal(name, rate, strength, limit_db, share, noisy):
    enhancer, signal = interface(network(name)), noisy[:10003]
    enhanced = streamed(enhancer.stream(sample_rate=rate), signal, [])
    stream = enhancer.stream(sample_rate=rate, strength=strength, attenuation_limit_db=limit_db)
    out = streamed(stream, signal, [160, 1000, 7])
    torch.testing.assert_close(out, (1 - share) * enhanced + share * signal, atol=1e-5, rtol=0)
    if share == 1:
        assert torch.equal(out, signal)


@pytest.mark.parametrize("rate", RATES)
def test_a_change_is_faded_and_does_not_depend_on_the_chunks(rate, noisy):
    enhancer, at, outs = interface(network("causal BN")), 8000, []
    enhanced = streamed(enhancer.stream(sample_rate=rate), noisy, [])
    for size in (160, 37, 8000):
        stream = enhancer.stream(sample_rate=rate)
        out = [in_chunks(stream, noisy[:at], size)]
        stream.strength = 0.5
        assert (stream.strength, stream.attenuation_limit_db) == (0.5, None)
        outs.append(torch.cat([*out, in_chunks(stream, noisy[at:], size), stream.flush()]))
        torch.testing.assert_close(outs[-1], outs[0], atol=1e-5, rtol=0)
    begin = at - stream.delay_samples
    end = begin + round(0.02 * rate) + 16
    torch.testing.assert_close(outs[0][:begin], enhanced[:begin])
    mixed = (enhanced + noisy)[end:] / 2
    torch.testing.assert_close(outs[0][end:], mixed, atol=1e-5, rtol=0)


def test_no_change_is_a_step():
    mixer, shares = NoisyShare(batch=1, fade_samples=320), []
    for share in (0, 0.5, 0.5, 0.5, 1, 0.2, 0.9, 0.9, 0.9, 0, 0.1):
        mixer.share = share
        mixer.keep(np.ones((1, 160), np.float32))
        shares.append(mixer.mix(np.zeros((1, 1, 160), np.float32))[0, 0])
    assert [part[-1] for part in (shares[3], shares[8])] == pytest.approx([0.5, 0.9], abs=1e-4)
    assert np.abs(np.diff(np.concatenate(shares))).max() < 0.006


def test_before_the_first_sample_nothing_is_faded(noisy):
    stream = interface(network("causal BN")).stream()
    stream.attenuation_limit_db = 0
    assert torch.equal(streamed(stream, noisy, [100]), noisy)
    stream.attenuation_limit_db = None
    whole = interface(network("causal BN")).enhance_batch(noisy[None])[0]
    torch.testing.assert_close(streamed(stream, noisy, [100]), whole, atol=1e-5, rtol=0)


def test_every_signal_of_a_batch_has_its_own_noise(noisy):
    enhancer = interface(network("BandRNN"))
    stream, rows = enhancer.stream(batch_size=2, strength=0.5), noisy.reshape(2, -1)
    out = torch.cat([stream.process(rows[:, :3000]), stream.process(rows[:, 3000:])], dim=1)
    out = torch.cat([out, stream.flush()], dim=1)
    for row, signal in zip(out, rows, strict=True):
        alone = streamed(enhancer.stream(strength=0.5), signal, [])
        torch.testing.assert_close(row, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 1.1}, "strength is 1.1, but must be within 0 and 1"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"strength": "0.5"}, "strength is '0.5'"),
        ({"strength": True}, "strength is True"),
        ({"attenuation_limit_db": -3}, "attenuation_limit_db is -3, but must be 0 dB or more"),
        ({"attenuation_limit_db": "12"}, "attenuation_limit_db is '12'"),
    ],
)
def test_amounts_that_cannot_be(options, message):
    enhancer = interface(network("causal BN"))
    with pytest.raises(InputError, match=message):
        enhancer.stream(**options)
    stream = enhancer.stream(strength=np.float32(0.5))
    ((name, value),) = options.items()
    with pytest.raises(InputError, match=message):
        setattr(stream, name, value)
    assert (stream.strength, stream.attenuation_limit_db) == (0.5, None)


def test_separation_has_no_strength():
    separator = interface(network("causal sources"))
    for options in ({"strength": 0.5}, {"attenuation_limit_db": 12}):
        with pytest.raises(InputError, match="are for enhancement, and this network separates 2"):
            separator.stream(**options)
