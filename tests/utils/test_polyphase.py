import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomnet_sb.utils.polyphase import PolyphaseResampler

RATES = [
    (48000, 16000), (44100, 16000), (16000, 48000), (16000, 44100), (8000, 16000), (96000, 16000),
    (11025, 24000), (16000, 16000),
]  # fmt: skip


def resampled(signal, rates, sizes=()):
    resampler = PolyphaseResampler(*rates)
    pieces = np.split(signal, np.cumsum([size for size in sizes if size <= len(signal)]))
    return np.concatenate([*map(resampler.process, pieces), resampler.flush()])


@pytest.mark.parametrize("rates", RATES)
@settings(deadline=None, max_examples=15)
@given(length=st.integers(0, 3000), sizes=st.lists(st.integers(0, 700), max_size=8))
def test_every_cut_gives_the_same_samples(rates, length, sizes):
    signal = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    whole = resampled(signal, rates)
    assert len(whole) == -(-length * rates[1] // rates[0])
    assert np.array_equal(resampled(signal, rates, sizes), whole)


@pytest.mark.parametrize("rates", RATES)
def test_what_both_rates_hold_stays_as_it_was_and_in_step(rates):
    lower = min(rates)
    times = [np.arange(rate) / rate for rate in rates]
    before, after = (
        sum(np.sin(2 * np.pi * share * lower / 2 * time) for share in (0.01, 0.4, 0.85))
        for time in times
    )
    middle = slice(rates[1] // 10, -rates[1] // 10)
    out = resampled(before.astype(np.float32), rates)
    np.testing.assert_allclose(out[middle], after[middle], atol=2e-3)


@pytest.mark.parametrize("rates", [pair for pair in RATES if pair[0] > pair[1]])
def test_what_the_lower_rate_cannot_hold_is_gone(rates):
    tone = np.sin(np.pi * rates[1] * 1.1 / rates[0] * np.arange(rates[0])).astype(np.float32)
    middle = resampled(tone, rates)[1000:-1000]
    assert 10 * np.log10(np.mean(middle**2)) < -75


@pytest.mark.parametrize("rates", RATES)
def test_it_holds_back_2_ms_of_16_khz(rates):
    resampler, received, returned, held = PolyphaseResampler(*rates), 0, 0, []
    for chunk in np.zeros((100, 100), np.float32):
        received += len(chunk)
        returned += len(resampler.process(chunk))
        held.append((received / rates[0] - returned / rates[1]) * min(rates))
    assert max(held) <= 33
