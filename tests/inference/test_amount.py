"""How much of a noisy file stays in its result."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from typer.testing import CliRunner

from bloomnet_sb.cli import app
from bloomnet_sb.inference.amount import Amount
from bloomnet_sb.inference.many_files import Choice, enhance_many
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import interface, network
from tests.helpers.streams import streamed

# In windows with statistics and without, and as streams
NAMES = ("gLN", "BN", "causal BN", "BandRNN")
RATES = (16000, 44100, 48000)


@pytest.fixture(params=RATES)
def recording(request, tmp_path) -> tuple[Path, torch.Tensor]:
    """A file of hiss in two channels, and its samples."""
    rate = request.param
    samples = 0.1 * np.random.default_rng(0).standard_normal((rate // 2 + 7, 2)).astype(np.float32)
    sf.write(tmp_path / "noisy.wav", samples, rate, subtype="FLOAT")
    return tmp_path / "noisy.wav", torch.from_numpy(samples)


@pytest.mark.parametrize("name", NAMES)
def test_the_share_of_the_noisy_file(name, recording):
    (file, noisy), enhancer = recording, interface(network(name))
    enhancer.window_seconds = 0.3
    enhanced = enhancer.enhance_file(file)
    for options, share in (
        ({"strength": 0.25}, 0.75),
        ({"attenuation_limit_db": 20}, 0.1),
        ({"strength": 0.6, "attenuation_limit_db": 20}, 0.4),
    ):
        out = enhancer.enhance_file(file, **options)
        torch.testing.assert_close(out, (1 - share) * enhanced + share * noisy, atol=1e-5, rtol=0)
    for highband in ("follow", "mute"):
        assert torch.equal(enhancer.enhance_file(file, strength=0, highband=highband), noisy)


@pytest.mark.parametrize("highband", ["follow", "mute"])
@pytest.mark.parametrize("name", ["causal BN", "BandRNN"])
def test_a_file_is_what_a_stream_gives(name, highband, recording):
    (file, noisy), enhancer = recording, interface(network(name))
    options = {"highband": highband, "strength": 0.8}
    out = enhancer.enhance_file(file, blocks=2, **options)
    stream = enhancer.stream(2, sample_rate=sf.info(file).samplerate, **options)
    expected = streamed(stream, noisy[:, 1], [441, 1000])
    torch.testing.assert_close(out[:, 1], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("blocks", [2, "auto"])
def test_only_follow_keeps_what_is_above_the_network(name, blocks, recording):
    (file, _), enhancer = recording, interface(network(name))
    rate = sf.info(file).samplerate
    above = {}
    for highband in ("follow", "mute"):
        out = enhancer.enhance_file(file, blocks=blocks, highband=highband)
        power = np.abs(np.fft.rfft(out[:, 0].numpy())) ** 2
        hertz = np.fft.rfftfreq(len(out), 1 / rate)
        above[highband] = power[hertz > 8500].sum() / power[hertz < 7000].sum()
    assert above["mute"] < 1e-3
    assert (above["follow"] > 0.1) == (rate > 17000)


def test_windows_of_a_long_file_have_the_band_above_of_the_whole(recording):
    (file, _), enhancer = recording, interface(network("BN"))
    whole = enhancer.enhance_file(file)
    enhancer.window_seconds = 0.2
    torch.testing.assert_close(enhancer.enhance_file(file), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["BN", "causal BN"])
def test_files_in_a_batch_and_of_a_folder_are_enhanced_as_one_is(name, recording, tmp_path):
    (file, noisy), enhancer = recording, interface(network(name))
    rate, amount = sf.info(file).samplerate, {"strength": 0.5, "highband": "mute"}
    files = [(tmp_path / f"{n}.wav", tmp_path / "out" / f"{n}.wav") for n in (0, 1)]
    for n, (path, _) in enumerate(files):
        sf.write(path, noisy[:, n].numpy(), rate, subtype="FLOAT")
    enhancer.enhance_alike(files, blocks=1, **amount)
    for path, output in files:
        expected = enhancer.enhance_file(path, blocks=1, **amount)
        np.testing.assert_allclose(sf.read(output)[0], expected, atol=1e-5)


def test_another_amount_enhances_a_folder_again(tmp_path):
    noisy = np.random.default_rng(0).standard_normal(4000) / 10
    sf.write(tmp_path / "noisy.wav", noisy, 48000, subtype="FLOAT")
    files = [(tmp_path / "noisy.wav", tmp_path / "out" / "noisy.wav")]
    for strength, enhanced in ((0.0, 1), (0.0, 0), (0.5, 1)):
        choice = Choice("convtasnet-causal-16k", 1, amount=Amount(strength))
        assert enhance_many(files, tmp_path / "out", choice).enhanced == enhanced
        if not strength:
            np.testing.assert_allclose(sf.read(files[0][1])[0], noisy, atol=1e-6)


@pytest.mark.parametrize("name", ["gLN", "causal BN"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 2}, "strength is 2, but must be within 0 and 1"),
        ({"attenuation_limit_db": -1}, "attenuation_limit_db is -1, but must be 0 dB or more"),
        ({"highband": "loud"}, "highband is 'loud', but must be one of follow, mute"),
    ],
)
def test_what_cannot_be_writes_nothing(name, options, message, noisy_file, tmp_path):
    with pytest.raises(InputError, match=message):
        interface(network(name)).enhance_file(noisy_file, tmp_path / "out.wav", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["enhance"], ["live", "--speed", "full"]])
@pytest.mark.parametrize("option", [["--strength", "0"], ["--attenuation-limit-db", "0"]])
def test_commands_leave_a_file_as_it_is_where_they_are_told(command, option, tmp_path):
    noisy = np.random.default_rng(0).standard_normal(4800) / 10
    sf.write(tmp_path / "noisy.wav", noisy, 48000)
    files = [str(tmp_path / "noisy.wav"), str(tmp_path / "out.wav")]
    if command[0] == "live":
        files = ["--input", files[0], "--output", files[1], "--blocks", "1"]
    source = ["--source", "convtasnet-causal-16k"]
    result = CliRunner().invoke(app, [*command, *files, *option, *source])
    assert result.exit_code == 0, result.output
    expected, out = (sf.read(tmp_path / name)[0] for name in ("noisy.wav", "out.wav"))
    np.testing.assert_allclose(out, expected, atol=1e-4)
