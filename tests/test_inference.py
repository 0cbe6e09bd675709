import shutil

import numpy as np
import pytest
import soundfile as sf
import torch
from torchaudio.functional import resample

from bloomnet_sb.errors import InputError
from bloomnet_sb.inference import BloomEnhancer


@pytest.fixture(scope="module")
def enhancer(pretrained):
    return BloomEnhancer.from_hparams(source=str(pretrained))


@pytest.fixture
def noisy(noisy_file):
    samples, _ = sf.read(noisy_file, dtype="float32")
    return torch.from_numpy(samples)[None]


def test_blocks_by_call_and_by_object(enhancer, noisy):
    assert enhancer.num_blocks == enhancer.blocks == 2
    shallow, deep = (enhancer.enhance_batch(noisy, blocks=blocks) for blocks in (1, 2))
    assert not torch.allclose(shallow, deep)
    torch.testing.assert_close(enhancer(noisy), deep)
    enhancer.blocks = 1
    torch.testing.assert_close(enhancer(noisy), shallow)
    enhancer.blocks = 2


@pytest.mark.parametrize("blocks", [0, 3, "two"])
def test_wrong_blocks(enhancer, noisy, blocks):
    with pytest.raises(InputError, match="1 to 2 blocks"):
        enhancer.enhance_batch(noisy, blocks=blocks)
    with pytest.raises(InputError, match="1 to 2 blocks"):
        enhancer.blocks = blocks


def test_padding_does_not_matter(enhancer, noisy):
    alone = enhancer.enhance_batch(noisy[:, :8000])
    batch = torch.cat([noisy[:, :16000], noisy[:, :16000]])
    batch[1, 8000:] = 0
    together = enhancer.enhance_batch(batch, lengths=torch.tensor([1.0, 0.5]))
    torch.testing.assert_close(together[1, :8000], alone[0])
    assert not together[1, 8000:].any()


def test_nan_is_refused(enhancer):
    with pytest.raises(InputError, match="NaN"):
        enhancer.enhance_batch(torch.tensor([[0.0, float("nan")]]))


@pytest.mark.parametrize(
    ("rate", "channels", "suffix", "subtype"),
    [
        (16000, 1, "wav", "PCM_16"),
        (44100, 2, "wav", "PCM_24"),
        (8000, 1, "flac", "PCM_16"),
        (48000, 3, "wav", "FLOAT"),
        (22050, 2, "ogg", "VORBIS"),
        (11025, 1, "aiff", "PCM_16"),
    ],
)
def test_a_file_keeps_rate_channels_length_and_type(
    enhancer, tmp_path, rate, channels, suffix, subtype
):
    samples = 0.1 * np.random.default_rng(0).standard_normal((12345, channels))
    source, target = tmp_path / f"in.{suffix}", tmp_path / "folder" / f"out.{suffix}"
    sf.write(source, samples, rate, subtype=subtype)
    returned = enhancer.enhance_file(source, target)
    before, after = sf.info(source), sf.info(target)
    for kept in ("samplerate", "channels", "frames", "format", "subtype"):
        assert getattr(before, kept) == getattr(after, kept)
    assert returned.shape == ((12345,) if channels == 1 else (12345, channels))
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_file_is_enhanced_as_its_samples_are(enhancer, noisy, noisy_file, tmp_path):
    expected = enhancer.enhance_batch(noisy, blocks=1)[0]
    returned = enhancer.enhance_file(noisy_file, tmp_path / "out.wav", blocks=1)
    torch.testing.assert_close(returned, expected)
    written, _ = sf.read(tmp_path / "out.wav", dtype="float32")
    np.testing.assert_allclose(written, expected, atol=1e-4)


def test_the_level_of_a_file_is_the_level_of_its_result(enhancer, noisy, tmp_path):
    results = []
    for gain in (1.0, 0.05):
        sf.write(tmp_path / "in.wav", gain * noisy[0].numpy(), 16000, subtype="FLOAT")
        results.append(enhancer.enhance_file(tmp_path / "in.wav"))
    torch.testing.assert_close(0.05 * results[0], results[1], atol=1e-6, rtol=1e-3)


def test_other_rates_sound_the_same(enhancer, noisy, tmp_path):
    expected = enhancer.enhance_batch(noisy)[0]
    sf.write(tmp_path / "in.wav", resample(noisy, 16000, 48000)[0].numpy(), 48000, subtype="FLOAT")
    result = resample(enhancer.enhance_file(tmp_path / "in.wav")[None], 48000, 16000)[0]
    error = (result - expected).square().mean() / expected.square().mean()
    assert 10 * torch.log10(error) < -15


def test_unusable_files_leave_nothing(enhancer, noisy_file, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no audio at all")
    for source in (broken, tmp_path / "missing.wav"):
        with pytest.raises(InputError, match=source.name):
            enhancer.enhance_file(source, tmp_path / "out.wav")
    with pytest.raises(InputError, match="cannot write .xyz"):
        enhancer.enhance_file(noisy_file, tmp_path / "out.xyz")
    with pytest.raises(InputError, match="cannot be written"):
        enhancer.enhance_file(noisy_file, "/proc/nowhere/out.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.wav"]


def test_unusable_sources_are_named(pretrained, tmp_path):
    with pytest.raises(InputError, match="nowhere: neither a folder nor"):
        BloomEnhancer.from_hparams(source=str(tmp_path / "nowhere"))
    for name in ("hyperparams.yaml", "model.safetensors"):
        folder = shutil.copytree(pretrained, tmp_path / name)
        (folder / name).unlink()
        with pytest.raises(InputError, match=f"without {name}"):
            BloomEnhancer.from_hparams(source=str(folder))
    folder = shutil.copytree(pretrained, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match="not the weights of the network"):
        BloomEnhancer.from_hparams(source=str(folder))
    folder = shutil.copytree(pretrained, tmp_path / "other")
    hparams = folder / "hyperparams.yaml"
    hparams.write_text(hparams.read_text().replace("hidden_channels: 8", "hidden_channels: 9"))
    with pytest.raises(InputError, match="not the weights of the network"):
        BloomEnhancer.from_hparams(source=str(folder))
