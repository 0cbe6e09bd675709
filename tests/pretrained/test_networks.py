"""The networks that come with the package."""

from itertools import combinations

import pytest
import soundfile as sf
import torch

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.nn.losses import negative_si_sdr
from bloomnet_sb.pretrained.fetching import HPARAMS_FILE, INSTALLED, installed_names
from tests.helpers.recipes import REPOSITORY, SAMPLES

MOST_BYTES = 12e6
# Those for listeners; the others say what they harm.
CAUTIOUS = [
    name for name in installed_names() if "caution" in (INSTALLED / name / HPARAMS_FILE).read_text()
]
SOUND = [name for name in installed_names() if name not in CAUTIOUS]


def demo(name):
    samples, _ = sf.read(SAMPLES / "demo" / f"{name}.flac", dtype="float32")
    return torch.from_numpy(samples)[None]


@pytest.mark.parametrize("name", installed_names())
def test_it_loads_by_its_name_and_enhances_at_every_depth(name):
    enhancer = BloomEnhancer.from_hparams(source=name)
    noisy, clean = demo("noisy_0dB"), demo("clean_0dB")
    before = si_sdr(noisy, clean)
    for blocks in range(1, enhancer.num_blocks + 1):
        enhanced = enhancer.enhance_batch(noisy, blocks=blocks)
        assert si_sdr(enhanced, clean) > before + 1


@pytest.mark.parametrize("name", installed_names())
def test_its_depths_may_be_cross_faded(name):
    noisy, clean = demo("noisy_5dB"), demo("clean_5dB")
    enhancer = BloomEnhancer.from_hparams(source=name)
    estimates = [enhancer.enhance_batch(noisy, blocks=n + 1) for n in range(enhancer.num_blocks)]
    for estimate in estimates:
        assert (estimate * clean).sum() > 0.6 * estimate.norm() * clean.norm()
    for one, other in combinations(estimates, 2):
        assert ((one + other) / 2).norm() > 0.9 * min(one.norm(), other.norm())


def si_sdr(estimate, clean):
    return -negative_si_sdr(estimate[None, ..., None], clean[..., None])


@pytest.mark.parametrize("name", SOUND)
def test_clean_speech_comes_out_clean_at_its_level_and_silence_silent(name):
    enhancer = BloomEnhancer.from_hparams(source=name)
    clean = demo("clean_5dB")
    for blocks in range(1, enhancer.num_blocks + 1):
        enhanced = enhancer.enhance_batch(clean, blocks=blocks)
        level = (enhanced * clean).sum() / clean.square().sum()
        # The voice is espeak-ng's; people's come out cleaner, see the card.
        assert si_sdr(enhanced, clean) > 15
        assert abs(20 * level.log10()) < 0.5
        assert not enhancer.enhance_batch(torch.zeros(1, 16000), blocks=blocks).any()


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("change", ["offset", "quiet", "loud"])
def test_an_offset_or_another_level_changes_little(name, change):
    enhancer = BloomEnhancer.from_hparams(source=name)
    noisy, clean = demo("noisy_5dB"), demo("clean_5dB")
    changed = {"offset": noisy + 0.1, "quiet": 0.01 * noisy, "loud": 10 * noisy}[change]
    for blocks in range(1, enhancer.num_blocks + 1):
        usual, found = (enhancer.enhance_batch(x, blocks=blocks) for x in (noisy, changed))
        assert abs(si_sdr(found, clean) - si_sdr(usual, clean)) < 1


@pytest.mark.parametrize("name", CAUTIOUS)
def test_one_that_harms_speech_says_so(name, caplog):
    BloomEnhancer.from_hparams(source=name)
    (record,) = caplog.records
    assert "10 dB SNR" in record.getMessage() and "bandrnn-16k" in record.getMessage()
    assert (
        record.getMessage().removeprefix(f"{name}: ")
        in (INSTALLED / name / "README.md").read_text()
    )


def test_a_cards_figures_are_those_of_the_benchmark():
    measured = (REPOSITORY / "benchmarks" / "listeners" / "results.md").read_text().splitlines()
    for name in SOUND:
        card = (INSTALLED / name / "README.md").read_text().splitlines()
        rows = [line for line in card if line.startswith(f"| {name}, ")]
        assert len(rows) > 20
        assert set(rows) <= set(measured)


@pytest.mark.parametrize("name", installed_names())
def test_its_card_says_what_it_is(name):
    card = (INSTALLED / name / "README.md").read_text()
    for part in (
        "## Data",
        "Licence",
        "## Results",
        "| unprocessed |",
        "## Limits",
        "python train",
    ):
        assert part in card
    assert "--data_folder DIR" in card


def test_they_are_small():
    size = sum(path.stat().st_size for path in INSTALLED.rglob("*") if path.is_file())
    assert 0 < size < MOST_BYTES
