"""What the entry of the separators on bands sees."""

import math

import pytest
import torch

from bloomnet_sb import BloomEnhancer
from bloomnet_sb.nn.filterbanks import STFTFilterbank
from bloomnet_sb.separators.band_entry import inputs_of

RATE, WINDOW, HOP = 16000, 512, 256
FRAME = 10


def seen(wave):
    """Inputs [inputs, bins] of one frame in the middle of a waveform."""
    filterbank = STFTFilterbank(WINDOW, HOP, RATE)
    # Of all frames but the first
    features = filterbank(filterbank.windows_of(wave[None]))
    return inputs_of(features.transpose(1, 2))[0, FRAME - 1]


def angles(real, imaginary):
    return torch.atan2(imaginary, real)


@pytest.mark.parametrize("place", [-0.3, 0.0, 0.2])
def test_a_harmonic_shows_where_in_its_bin_it_is(place):
    """Between two frames its phase goes on by pi for a bin's width, beside what its bin's does."""
    number = 40
    time = torch.arange(8000, dtype=torch.float64) / RATE
    tone = torch.sin(2 * math.pi * (number + place) * RATE / WINDOW * time).float()
    found = angles(*seen(tone)[1:3, number])
    assert found.item() == pytest.approx(math.pi * place, abs=0.01)


@pytest.mark.parametrize("quiet", [1e-4, 1e-2])
def test_garbage_gives_no_nan(quiet):
    torch.manual_seed(0)
    enhancer = BloomEnhancer.from_hparams(source="bandrnn-16k")
    signal = quiet * torch.randn(1, 24000)
    signal[0, 8000:8512] = 1e12 * torch.rand(512)
    assert enhancer.enhance_batch(signal).isfinite().all()


@pytest.mark.parametrize("sample", [128, 256, 300])
def test_a_click_shows_where_in_its_frame_it_is(sample):
    """From bin to bin its phase falls by the delay, less that of half a window."""
    wave = torch.zeros(8000)
    wave[FRAME * HOP - STFTFilterbank(WINDOW, HOP, RATE).left + sample] = 1.0
    across = seen(wave)[3:5, 1:]
    expected = 2 * math.pi * (WINDOW / 2 - sample) / WINDOW
    assert angles(*across).numpy() == pytest.approx(expected, abs=0.01)


def test_the_level_changes_magnitudes_alone():
    torch.manual_seed(0)
    wave = torch.randn(8000)
    soft, loud = seen(wave), seen(10 * wave)
    torch.testing.assert_close(loud[0] - soft[0], torch.ones_like(soft[0]))
    torch.testing.assert_close(loud[1:], soft[1:])
    torch.testing.assert_close(soft[1:3].square().sum(0).sqrt(), torch.ones_like(soft[1]))


def test_silence_has_no_phase():
    silent = seen(torch.zeros(8000))
    assert not silent[1:].any()
    assert bool((silent[0] == silent[0, 0]).all())
