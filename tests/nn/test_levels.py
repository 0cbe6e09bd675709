import pytest
import torch

from bloomnet_sb.nn.filterbanks import LearnedFilterbank, STFTFilterbank
from bloomnet_sb.nn.levels import LogLevel, NoLevel, RmsLevel, SignalLevel
from bloomnet_sb.utils.errors import InputError

LEVELS = {"signal": SignalLevel, "frames": RmsLevel, "fading": lambda: RmsLevel(5)}
by_kind = pytest.mark.parametrize("kind", LEVELS)


@by_kind
def test_the_level_is_forgotten_and_comes_back(kind):
    level, x = LEVELS[kind](), torch.rand(2, 5, 30)
    quiet, small = level(1e-6 * x)
    loud, large = level(1e4 * x)
    torch.testing.assert_close(quiet, loud, rtol=1e-5, atol=0)
    torch.testing.assert_close(loud * large, 1e4 * x)
    assert (large > 1e9 * small).all()


def test_the_level_of_a_signal_is_its_root_mean_square():
    x = torch.rand(2, 5, 30)
    torch.testing.assert_close(SignalLevel()(x)[0].square().mean((1, 2)), torch.ones(2))
    torch.testing.assert_close(SignalLevel()(x, torch.ones(2))[0], x)


@by_kind
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_silence_stays_silent_in_every_precision(kind, dtype):
    assert not LEVELS[kind]()(torch.zeros(1, 4, 9, dtype=dtype))[0].any()


def test_the_log_level_is_of_what_can_be_heard():
    """White noise of -30 dB, with silence in it, which does not count."""
    torch.manual_seed(0)
    bank = STFTFilterbank(window=512)
    noise = 10 ** (-30 / 20) * torch.randn(1, 64000)
    noise[:, 16000:32000] = 0
    level = LogLevel(bank)(bank(bank.windows_of(noise)))[1]
    level_db = 20 * torch.log10(level)[0, 0]
    assert -32.5 < level_db[60] < -29.5
    assert (level_db[70:120] - level_db[70]).abs().max() < 0.01


def test_a_level_that_falls_faster_than_it_rises():
    """Noise that is 20 dB louder for four seconds."""
    torch.manual_seed(0)
    bank, noise = STFTFilterbank(window=512), 0.01 * torch.randn(1, 192000)
    noise[:, 64000:128000] *= 10
    features = bank(bank.windows_of(noise))

    def seconds_to_half(level: LogLevel) -> list[float]:
        """After each change, until the level is half of the way in dB."""
        level_db = 20 * torch.log10(level(features)[1])[0, 0]
        middle = (level_db[245] + level_db[495]) / 2
        up = int((level_db[250:] > middle).float().argmax())
        down = int((level_db[500:] < middle).float().argmax())
        return [up * 0.016, down * 0.016]

    even, falling = seconds_to_half(LogLevel(bank)), seconds_to_half(LogLevel(bank, 1.0, 0.25))
    assert falling[0] == pytest.approx(even[0], abs=0.05) == pytest.approx(0.69, abs=0.05)
    assert falling[1] == pytest.approx(even[1] / 4, abs=0.05)


def test_a_fall_that_is_no_faster_is_refused():
    with pytest.raises(InputError, match=r"fall_seconds is 1.0, but must be below seconds, 1.0"):
        LogLevel(STFTFilterbank(), 1.0, 1.0)


@pytest.mark.parametrize(
    "make", [lambda: RmsLevel(1), lambda: RmsLevel(0), lambda: LogLevel(LearnedFilterbank(), 1e-4)]
)
def test_windows_that_cannot_be(make):
    with pytest.raises(InputError, match="the level's window is [0-3] frames"):
        make()


def test_no_level_hands_on_what_it_gets():
    x = torch.rand(2, 5, 30)
    assert NoLevel()(x)[0] is x
