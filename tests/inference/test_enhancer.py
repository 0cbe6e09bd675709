import pickle

import numpy as np
import pytest
import soundfile as sf
import torch
from torchaudio.functional import resample

from bloomnet_sb.inference import files
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.nn.losses import negative_si_sdr
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import NETWORKS, conv_tasnet, interface, network
from tests.helpers.streams import streamed

# Those of one source
SINGLE = [name for name in NETWORKS if name != "causal sources"]

each_model = pytest.mark.parametrize("name", SINGLE)


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
    batch = torch.cat([batch, batch[:1]])
    batch[1, 8000:] = 0
    together = enhancer.enhance_batch(batch, lengths=torch.tensor([1.0, 0.5, 0.0]))
    torch.testing.assert_close(together[1, :8000], alone[0])
    assert not together[1, 8000:].any() and not together[2].any()


@each_model
def test_padding_does_not_matter_to_any_network(name, noisy):
    enhancer = interface(network(name))
    batch = noisy[:, :16000].repeat(4, 1)
    batch[1, 8000:] = torch.randn(8000)
    batch[2, 12000:] = 0
    batch[3, 8000:] = 1e3
    together = enhancer.enhance_batch(batch, lengths=torch.tensor([1.0, 0.5, 0.75, 0.5]))
    for row, length in enumerate((16000, 8000, 12000, 8000)):
        alone = enhancer.enhance_batch(noisy[:, :length])[0]
        torch.testing.assert_close(together[row, :length], alone, atol=1e-4, rtol=0)
        assert not together[row, length:].any()


@each_model
@pytest.mark.parametrize("blocks", [1, 2])
def test_a_long_file_in_windows(name, blocks, noisy, noisy_file, tmp_path):
    enhancer = interface(network(name))
    whole = enhancer.enhance_file(noisy_file, blocks=blocks)
    enhancer.window_seconds = 1.3
    windowed = enhancer.enhance_file(noisy_file, tmp_path / "out.wav", blocks=blocks)
    assert windowed.shape == whole.shape
    written, _ = sf.read(tmp_path / "out.wav", dtype="float32")
    np.testing.assert_allclose(written, windowed, atol=1e-4)
    if name in ("gLN", "cgLN", "DPRNN", "SepFormer"):
        # Their statistics or their paths are those of the window.
        assert negative_si_sdr(windowed[None, None, :, None], whole[None, :, None]) < -5
    else:
        torch.testing.assert_close(windowed, whole, atol=1e-4 * whole.abs().max(), rtol=0)


@pytest.mark.parametrize("name", ["gLN", "BN", "causal BN", "DPRNN"])
def test_as_many_blocks_as_a_window_needs(name, noisy_file, tmp_path):
    enhancer = interface(network(name))
    enhancer.window_seconds = 1.3
    last = enhancer.num_blocks
    for min_gain_db, blocks in ((-1000.0, last), (1000.0, 2)):
        # The last block that ran is the one whose change was too small.
        auto = enhancer.enhance_file(noisy_file, blocks="auto", min_gain_db=min_gain_db)
        assert set(enhancer.blocks_used) == {blocks}
        assert len(enhancer.blocks_used) > 3
        fixed = enhancer.enhance_file(noisy_file, blocks=blocks)
        assert set(enhancer.blocks_used) == {blocks}
        if name != "causal BN":  # which hears a file as one, and not in windows
            torch.testing.assert_close(auto, fixed)
    out = enhancer.enhance_file(noisy_file, tmp_path / "out.wav", blocks="auto")
    np.testing.assert_allclose(sf.read(tmp_path / "out.wav", dtype="float32")[0], out, atol=1e-4)


def test_blocks_run_only_while_they_change_something(noisy_file):
    enhancer = interface(conv_tasnet(norm="BN"))
    head, decoder = enhancer.mods.model.separator.heads, enhancer.mods.model.decoders
    enhancer.mods.model.separator.blocks[1] = torch.nn.Identity()
    head[1].load_state_dict(head[0].state_dict())
    decoder[1].load_state_dict(decoder[0].state_dict())
    enhancer.mods.model.separator.blocks[2] = None  # it must not run
    auto = enhancer.enhance_file(noisy_file, blocks="auto")
    assert enhancer.blocks_used == [2]
    torch.testing.assert_close(auto, enhancer.enhance_file(noisy_file, blocks=1))


def test_silence_needs_no_more_than_two_blocks(tmp_path):
    sf.write(tmp_path / "in.wav", np.zeros(16000), 16000)
    enhancer = interface(network("BN"))
    assert not enhancer.enhance_file(tmp_path / "in.wav", blocks="auto").any()
    assert enhancer.blocks_used == [2]


def test_a_long_file_of_another_rate_in_windows(noisy, tmp_path):
    samples = resample(torch.cat([noisy, -0.5 * noisy]), 16000, 44100).t().numpy()
    sf.write(tmp_path / "in.wav", samples, 44100, subtype="FLOAT")
    enhancer = interface(network("BN"))
    whole = enhancer.enhance_file(tmp_path / "in.wav")
    enhancer.window_seconds = 1.3
    windowed = enhancer.enhance_file(tmp_path / "in.wav", tmp_path / "out.wav")
    assert windowed.shape == samples.shape
    torch.testing.assert_close(windowed, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["gLN", "causal cgLN", "DPRNN", "SepFormer"])
def test_sixty_windows(name, noisy, tmp_path):
    sf.write(tmp_path / "in.flac", noisy[0].repeat(10)[: 60 * 16000].numpy(), 16000)
    enhancer = interface(network(name))
    enhancer.window_seconds = 1.0
    enhanced = enhancer.enhance_file(tmp_path / "in.flac", tmp_path / "out.flac", blocks=1)
    assert sf.info(tmp_path / "out.flac").frames == len(enhanced) == 60 * 16000
    assert torch.isfinite(enhanced).all()
    assert enhanced.square().mean() > 0


def test_a_long_result_is_in_its_file_only(noisy_file, tmp_path, monkeypatch):
    enhancer = interface(network("gLN"))
    monkeypatch.setattr(files, "MOST_SAMPLES_RETURNED", 1000)
    assert enhancer.enhance_file(noisy_file, tmp_path / "out.wav") is None
    assert sf.info(tmp_path / "out.wav").frames == sf.info(noisy_file).frames
    assert len(enhancer.enhance_file(noisy_file)) == sf.info(noisy_file).frames


def test_a_fault_in_the_middle_of_a_file_leaves_nothing(noisy, tmp_path):
    samples = noisy[0].numpy().copy()
    samples[60000] = np.nan
    sf.write(tmp_path / "in.wav", samples, 16000, subtype="FLOAT")
    enhancer = interface(network("causal BN"))
    enhancer.window_seconds = 1.0
    with pytest.raises(InputError, match="in.wav: holds NaN"):
        enhancer.enhance_file(tmp_path / "in.wav", tmp_path / "out.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["in.wav"]


def test_a_result_is_a_tensor_like_any_other(enhancer, noisy):
    result = enhancer.enhance_batch(noisy)
    result *= 2
    assert not result.requires_grad


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


def test_other_rates_sound_the_same(noisy, tmp_path):
    enhancer = BloomEnhancer.from_hparams(source="convtasnet-16k")
    enhancer.blocks = 1
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


@pytest.mark.parametrize(
    ("rate", "reason"), [(1, "within 1000"), (767_999, "too little in common")]
)
def test_rates_that_are_no_audios_are_refused(enhancer, tmp_path, rate, reason):
    sf.write(tmp_path / "in.wav", np.zeros(100), rate)
    with pytest.raises(InputError, match=rf"in.wav: its rate.* {rate} Hz.*{reason}"):
        enhancer.enhance_file(tmp_path / "in.wav", tmp_path / "out.wav")
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize("name", ["gLN", "causal cgLN"])
def test_many_channels_are_those_one_by_one(name, noisy, tmp_path):
    channels = torch.stack([noisy[0, 800 * n :][:40_000] for n in range(11)], dim=1)
    sf.write(tmp_path / "in.wav", channels.numpy(), 16000, subtype="FLOAT")
    enhancer = interface(network(name))
    enhancer.window_seconds = 1.0
    together = enhancer.enhance_file(tmp_path / "in.wav")
    for number in (0, 7, 8, 10):
        sf.write(tmp_path / "one.wav", channels[:, number].numpy(), 16000, subtype="FLOAT")
        alone = enhancer.enhance_file(tmp_path / "one.wav")
        torch.testing.assert_close(together[:, number], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("mix", "lengths", "message"),
    [
        (torch.zeros(400), None, r"torch.float32 \[400\]"),
        (torch.zeros(1, 400).short(), None, r"torch.int16 \[1, 400\]"),
        (np.zeros((1, 400)), None, r"float64 \[1, 400\]"),
        (None, None, "NoneType"),
        (torch.zeros(0, 400), None, "empty"),
        (torch.zeros(2, 400), torch.ones(3), "tensor of 2 shares"),
        (torch.zeros(2, 400), torch.tensor([1.0, 2.0]), "tensor of 2 shares"),
        (torch.zeros(2, 400), [1.0, 0.5], "tensor of 2 shares"),
    ],
)
def test_what_is_no_batch_of_waveforms(mix, lengths, message):
    enhancer = BloomEnhancer({"model": conv_tasnet()}, {"sample_rate": 16000})
    with pytest.raises(InputError, match=message):
        enhancer.enhance_batch(mix, lengths)


def test_double_precision_is_taken_as_single():
    enhancer = BloomEnhancer({"model": conv_tasnet()}, {"sample_rate": 16000})
    mix = torch.randn(1, 400)
    assert torch.equal(enhancer.enhance_batch(mix.double()), enhancer.enhance_batch(mix))


def test_files_and_streams_run_the_weights_as_they_are(noisy_file):
    """Trained, loaded or moved after a first file; and a copy has its own."""
    enhancer = interface(conv_tasnet(causal=True, norm="BN"))
    noisy, _ = sf.read(noisy_file, dtype="float32", frames=4000)
    noisy = torch.from_numpy(noisy)
    before = enhancer.enhance_array(noisy.numpy(), 16000)
    copied = pickle.loads(pickle.dumps(enhancer))
    with torch.no_grad():
        for parameter in enhancer.mods.model.parameters():
            parameter.mul_(1.01)
    whole = enhancer.enhance_batch(noisy[None])[0]
    after = torch.from_numpy(enhancer.enhance_array(noisy.numpy(), 16000))
    torch.testing.assert_close(after, whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(streamed(enhancer.stream(), noisy, []), whole, atol=1e-5, rtol=0)
    np.testing.assert_array_equal(copied.enhance_array(noisy.numpy(), 16000), before)
    enhancer.mods.model.train()
    with pytest.raises(InputError, match="training"):
        enhancer.stream()


def test_numpys_rates_are_numbers(enhancer):
    samples = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    expected = enhancer.enhance_array(samples, 16000)
    for rate in (np.int64(16000), 16000.0):
        np.testing.assert_array_equal(enhancer.enhance_array(samples, rate), expected)
