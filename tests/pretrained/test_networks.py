"""The networks that come with the package."""

from itertools import combinations

import pytest
import soundfile as sf
import torch

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.nn.losses import negative_si_sdr
from bloomnet_sb.pretrained.fetching import INSTALLED, installed_names
from tests.helpers.recipes import SAMPLES

MOST_BYTES = 12e6


def demo(name):
    samples, _ = sf.read(SAMPLES / "demo" / f"{name}.flac", dtype="float32")
    return torch.from_numpy(samples)[None]


@pytest.mark.parametrize("name", installed_names())
def test_it_loads_by_its_name_and_enhances_at_every_depth(name):
    enhancer = BloomEnhancer.from_hparams(source=name)
    noisy, clean = demo("noisy_0dB"), demo("clean_0dB")[..., None]
    before = -negative_si_sdr(noisy[None, ..., None], clean)
    for blocks in range(1, enhancer.num_blocks + 1):
        enhanced = enhancer.enhance_batch(noisy, blocks=blocks)
        assert -negative_si_sdr(enhanced[None, ..., None], clean) > before + 1


@pytest.mark.parametrize("name", installed_names())
def test_its_depths_may_be_cross_faded(name):
    noisy, clean = demo("noisy_5dB"), demo("clean_5dB")
    enhancer = BloomEnhancer.from_hparams(source=name)
    estimates = [enhancer.enhance_batch(noisy, blocks=n + 1) for n in range(enhancer.num_blocks)]
    for estimate in estimates:
        assert (estimate * clean).sum() > 0.6 * estimate.norm() * clean.norm()
    for one, other in combinations(estimates, 2):
        assert ((one + other) / 2).norm() > 0.9 * min(one.norm(), other.norm())


@pytest.mark.parametrize("name", installed_names())
def test_its_card_says_what_it_is(name):
    card = (INSTALLED / name / "README.md").read_text()
    for part in ("## Data", "Licence", "## Results", "| unprocessed |", "## Limits", "train.py"):
        assert part in card
    assert "--data_folder DIR" in card


def test_they_are_small():
    size = sum(path.stat().st_size for path in INSTALLED.rglob("*") if path.is_file())
    assert 0 < size < MOST_BYTES
