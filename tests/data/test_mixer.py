from itertools import pairwise

import numpy as np
import pytest
import torch

from bloomnet_sb.data.mixer import Mixer
from bloomnet_sb.utils.errors import InputError

RATE = 16000
NOTHING = {
    name: 0.0
    for name in (
        *("clean", "noise_alone", "louder_talker", "offset", "gaps"),
        *("low_cut", "telephone", "clip"),
    )
}


def signals(batch=64, samples=RATE, seed=0):
    """Speech, a target that is half of it, and noise."""
    heard, noise = torch.randn(2, batch, samples, generator=torch.Generator().manual_seed(seed))
    return heard, 0.5 * heard, noise


def mixed(batch=64, samples=RATE, seed=0, **options):
    mixer = Mixer(RATE, **{**NOTHING, **options})
    return mixer(*signals(batch, samples), torch.Generator().manual_seed(seed))


def level_db(some):
    return 10 * some.double().square().mean(-1).log10()


def snr_db(mix, target):
    return level_db(2 * target) - level_db(mix - 2 * target)


def bands_db(signal, *edges_hz):
    """Level of a batch between edges, in dB of that of white noise of the same power."""
    spectrum = torch.fft.rfft(signal.double()).abs().square().mean(0)
    hz = torch.fft.rfftfreq(signal.shape[1], 1 / RATE)
    parts = [spectrum[(hz >= a) & (hz < b)].mean() for a, b in pairwise(edges_hz)]
    return 10 * torch.log10(torch.stack(parts) / spectrum.mean())


def uniform_between(values, low, high):
    values = np.sort(values.numpy())
    assert low - 0.1 < values[0] and values[-1] < high + 0.1
    expected = np.linspace(low, high, len(values))
    return np.abs(values - expected).max() < 0.1 * (high - low)


def test_snr_and_level_are_uniform():
    mix, target = mixed(batch=400, samples=4000)
    assert uniform_between(snr_db(mix, target), -5, 30)
    assert uniform_between(level_db(mix), -60, -10)
    assert abs(np.corrcoef(snr_db(mix, target), level_db(mix))[0, 1]) < 0.15


def test_polarities_are_random_and_those_of_the_target_and_the_mixture_agree():
    heard, _, noise = signals(batch=200, samples=4000)
    mix, target = mixed(batch=200, samples=4000)
    speech_sign = (target * heard).sum(1).sign()
    noise_sign = ((mix - 2 * target) * noise).sum(1).sign()
    for sign in (speech_sign, noise_sign, speech_sign * noise_sign):
        assert 70 < (sign > 0).sum() < 130


def test_clean_speech_is_without_noise_or_nearly():
    mix, target = mixed(batch=400, samples=4000, clean=1.0)
    exact = (mix - 2 * target).abs().amax(1) == 0
    assert 160 < exact.sum() < 240
    assert uniform_between(snr_db(mix, target)[~exact], 45, 60)
    assert uniform_between(level_db(mix), -60, -10)


def test_noise_alone_has_a_target_of_zeros():
    mix, target = mixed(noise_alone=1.0, batch=400, samples=4000)
    assert not target.any()
    assert uniform_between(level_db(mix), -60, -10)
    _, _, noise = signals(batch=400, samples=4000)
    torch.testing.assert_close((mix / noise).std(1), torch.zeros(400), atol=1e-5, rtol=0)


def test_a_louder_talker_comes_before_or_after_one_with_the_snr():
    options = {"batch": 400, "samples": 2 * RATE, "snr_db": (7, 7)}
    mix, target = mixed(**options, louder_talker=1.0)
    _, plain = mixed(**options)
    gain_db = (target / plain).abs().log10() * 20
    gain_db -= gain_db.amin(1, keepdim=True)  # the level is that of the whole
    first, last = gain_db[:, 0], gain_db[:, -1]
    assert uniform_between(first - last, -25, 25)
    softer = torch.where(first < last, 0, int(1.8 * RATE))
    for row, start in enumerate(softer):
        part = slice(start, start + int(0.2 * RATE))  # nothing changes there
        assert abs(snr_db(mix[row, part], target[row, part]) - 7) < 0.5
    turn = ((gain_db - first[:, None]).abs() > 0.01).float().argmax(1) / (2 * RATE)
    assert uniform_between(turn, 0.2, 0.8)


@pytest.mark.parametrize(
    "name", ["clip", "offset", "gaps", "low_cut", "telephone", "louder_talker"]
)
def test_an_effect_changes_its_share_of_the_examples_and_no_other_choice(name):
    plain_mix, plain_target = mixed(batch=500, samples=4000)
    mix, target = mixed(batch=500, samples=4000, **{name: 0.2})
    changed = (mix != plain_mix).any(1)
    assert 75 < changed.sum() < 125
    if name in ("clip", "offset"):  # the target has neither
        assert torch.equal(target, plain_target)
    else:
        assert torch.equal((target != plain_target).any(1), changed)


def test_shares_of_clean_speech_and_of_noise_alone():
    mix, target = mixed(batch=1000, samples=400, clean=0.2, noise_alone=0.1)
    assert 75 < (~target.any(1)).sum() < 125
    assert 160 < (snr_db(mix, target) > 40).sum() < 240


def test_clipping_is_below_the_peak():
    plain, _ = mixed(batch=200)
    mix, _ = mixed(batch=200, clip=1.0)
    limit = mix.abs().amax(1, keepdim=True)
    assert torch.equal(mix, plain.clamp(-limit, limit))
    assert uniform_between((limit / plain.abs().amax(1, keepdim=True))[:, 0], 0.2, 0.8)


def test_offsets_are_of_the_mixture_alone():
    plain, _ = mixed(batch=200)
    mix, _ = mixed(batch=200, offset=1.0)
    added = (mix - plain) / plain.abs().amax(1, keepdim=True)
    torch.testing.assert_close(added.std(1), torch.zeros(200), atol=1e-6, rtol=0)
    assert uniform_between(added.mean(1), -0.2, 0.2)


def test_gaps_are_digital_silence_whatever_the_offset():
    mix, target = mixed(batch=200, samples=2 * RATE, gaps=1.0, offset=1.0)
    assert torch.equal(mix == 0, target == 0)
    seconds = (mix == 0).sum(1) / RATE
    assert uniform_between(seconds, 0.1, 1.5)
    edges = (mix == 0).int().diff(dim=1).abs().sum(1)
    assert edges.max() == 2  # one gap


def test_a_fifth_of_the_gaps_begins_the_segment():
    mix, _ = mixed(batch=500, samples=RATE, gaps=1.0)
    assert 75 < (mix[:, 0] == 0).sum() < 125


def test_no_gap_takes_a_whole_segment():
    mix, _ = mixed(samples=RATE // 20, gaps=1.0)
    assert ((mix == 0).float().mean(1) < 0.76).all()


def test_a_low_cut_takes_the_lows_of_mixture_and_target():
    for signal in mixed(low_cut=1.0, level_dbfs=(-20, -20)):
        lowest, low, middle, high = bands_db(signal, 0, 40, 300, 4000, 8000)
        assert lowest < -20
        assert -10 < low < -1
        assert abs(middle) < 0.5 and abs(high) < 0.5
    mix, target = mixed(batch=400, samples=4000, low_cut=1.0)
    assert uniform_between(level_db(mix), -60, -10)
    assert uniform_between(snr_db(mix, target), -5, 30)


def test_a_telephone_lets_its_band_pass():
    for signal in mixed(telephone=1.0, level_dbfs=(-20, -20)):
        low, passed, upper, high = bands_db(signal, 0, 150, 3400, 4000, 8000)
        assert abs(passed - 4) < 1
        assert low < -20 and upper < passed - 7 and high < -20


def test_seeds_decide():
    options = {
        name: 0.5 for name in ("clean", "louder_talker", "low_cut", "clip", "offset", "gaps")
    }
    torch.manual_seed(0)
    first = mixed(**options, seed=3)
    torch.manual_seed(1)
    again = mixed(**options, seed=3)
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not torch.equal(first[0], mixed(**options, seed=4)[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_device_makes_the_same_choices():
    mixer = Mixer(RATE, gaps=0.5, clip=0.5, offset=0.5, low_cut=0.5, louder_talker=0.5)
    here = mixer(*signals(), torch.Generator().manual_seed(0))
    there = mixer(*(s.cuda() for s in signals()), torch.Generator().manual_seed(0))
    for one, other in zip(here, there, strict=True):
        torch.testing.assert_close(one, other.cpu(), atol=1e-4, rtol=1e-4)


def test_what_is_given_is_left_as_it_was():
    given = signals()
    copies = [signal.clone() for signal in given]
    effects = {name: 1.0 for name in ("gaps", "clip", "offset", "louder_talker")}
    Mixer(RATE, **effects, low_cut=0.9)(*given, torch.Generator().manual_seed(0))
    assert all(torch.equal(*pair) for pair in zip(given, copies, strict=True))


@pytest.mark.parametrize("silent", ["heard", "noise", "both"])
def test_silence_is_borne(silent):
    heard, target, noise = signals(batch=200, samples=4000)
    if silent != "noise":
        heard, target = torch.zeros_like(heard), torch.zeros_like(target)
    if silent != "heard":
        noise = torch.zeros_like(noise)
    effects = {name: 0.3 for name in ("clean", "noise_alone", "low_cut", "telephone")}
    mixer = Mixer(RATE, **effects, offset=0.5, gaps=0.5, clip=0.5)
    mix, target = mixer(heard, target, noise, torch.Generator().manual_seed(0))
    assert mix.isfinite().all() and target.isfinite().all()
    assert mix.abs().max() < 10
    assert mix.any() == (silent != "both")
    assert silent == "noise" or not target.any()


def test_a_pause_is_as_noisy_as_speech_and_its_faint_noise_is_not_lifted():
    heard, target, noise = signals(batch=400, samples=4000)
    faint = 10 ** (-70 / 20)
    arguments = (faint * heard, faint * target, noise)
    mix, target = Mixer(RATE, **NOTHING)(*arguments, torch.Generator().manual_seed(0))
    assert uniform_between(level_db(mix), -60, -10)
    assert (level_db(2 * target) - level_db(mix)).max() < -35
    mixer = Mixer(RATE, **{**NOTHING, "clean": 1.0})
    mix, target = mixer(*arguments, torch.Generator().manual_seed(0))
    exact = (mix == 2 * target).all(1)
    assert level_db(mix[exact]).max() < -39  # 30 dB less than asked for


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"snr_db": (5, -5)}, r"snr_db is \[5, -5\], but must be two rising numbers"),
        ({"level_dbfs": (float("nan"), 0)}, "level_dbfs is .nan, 0., but must be"),
        ({"clean": 0.7, "noise_alone": 0.7}, "clean is 0.7 and noise_alone 0.7, but"),
        ({"low_cut": 0.7, "telephone": 0.7}, "low_cut is 0.7 and telephone 0.7, but"),
        ({"gaps": -0.1}, "gaps is -0.1, but must be a share"),
        ({"sample_rate": 0}, "sample_rate is 0"),
    ],
)
def test_faults_are_named(options, message):
    with pytest.raises(InputError, match=message):
        Mixer(**{"sample_rate": RATE, **options})
