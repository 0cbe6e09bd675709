"""Networks of every rate, on one corpus of 48 kHz: prepare, draw, score, enhance and stream."""

import numpy as np
import pytest
import soundfile as sf
import soxr
import torch

from bloomnet_sb.data import (
    Augmentation,
    TrainingDraws,
    eval_dataset,
    manifests_summary,
    prepare_librispeech_musan,
    train_dataset,
    write_shards,
)
from bloomnet_sb.data.manifests import load_manifest
from bloomnet_sb.data.shards import read_shard
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import STFTFilterbank
from bloomnet_sb.scoring.corpus import evaluate_part
from bloomnet_sb.scoring.tables import results_table
from bloomnet_sb.scoring.trials import TestPart
from bloomnet_sb.separators import BandRNNSeparator
from bloomnet_sb.utils.errors import InputError
from tests.helpers.recipes import SAMPLES
from tests.helpers.streams import in_chunks

CORPUS_RATE = 48000
# The network's rate, and its bands with windows of 32 ms
RATES = {8000: 129, 24000: 129, 44100: 161, 48000: 161}
SPEECH = {"train-clean-100": 2, "dev-clean": 1, "test-clean": 1}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A few seconds of the samples, resampled to 48 kHz."""
    folder = tmp_path_factory.mktemp("corpus")
    files = [
        file
        for part, number in SPEECH.items()
        for file in sorted((SAMPLES / "LibriSpeech" / part).rglob("*.flac"))[:number]
    ]
    noises = (SAMPLES / "noise_split.csv").read_text().splitlines()[1:]
    kept = [next(row for row in noises if row.endswith(s)) for s in ("train", "valid", "test")]
    (folder / "noise_split.csv").write_text("\n".join(["file,split", *kept]))
    for file in [*files, *(SAMPLES / row.rsplit(",")[0] for row in kept)]:
        samples, rate = sf.read(file, dtype="float32", frames=2 * 16000)
        path = folder / file.relative_to(SAMPLES)
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, soxr.resample(samples, rate, CORPUS_RATE), CORPUS_RATE)
    return str(folder)


@pytest.fixture(scope="module", params=RATES)
def rate(request):
    """The network's rate."""
    return request.param


@pytest.fixture(scope="module")
def manifests(corpus, rate, tmp_path_factory):
    """The corpus's manifests for a network of that rate."""
    folder = str(tmp_path_factory.mktemp("manifests"))
    prepare_librispeech_musan(corpus, folder, rate)
    return folder


def network(rate):
    """A small network with windows of about 32 ms."""
    torch.manual_seed(0)
    hop = 16 * round(rate / 1000)
    filterbank = STFTFilterbank(2 * hop, hop, rate)
    few = {"channels": 8, "entry_channels": 4, "head_channels": (4, 4), "groups": 2}
    separator = BandRNNSeparator(
        filterbank.num_filters, rate, num_bands=RATES[rate], num_blocks=2, **few
    )
    return BloomNet(filterbank, separator).eval()


def test_mixtures_are_of_the_resampled_corpus(corpus, manifests, rate):
    data = eval_dataset(manifests, corpus, "test", 10.0, (5, 5), rate)
    (item,) = data
    (entry,) = load_manifest(manifests, corpus, "speech_test").values()
    assert entry["sample_rate"] == CORPUS_RATE
    samples, _ = sf.read(entry["wav"], dtype="float32")
    clean = soxr.resample(samples, CORPUS_RATE, rate)
    assert item["target"].shape == (-(-len(samples) * rate // CORPUS_RATE), 1)
    target = item["target"][: len(clean), 0].numpy()
    assert np.corrcoef(target, clean)[0, 1] > 0.9999
    assert "speech_test: 1 files, 0.0 minutes" in manifests_summary(manifests, rate)


def test_draws_are_of_the_networks_rate(corpus, manifests, rate):
    segments = train_dataset(manifests, corpus, 0.5, (5, 5), rate, seed=1)
    assert segments[0, (1, 0)]["mix"].shape == (rate // 2,)
    draws = TrainingDraws(manifests, corpus, Augmentation(rate), segment_seconds=1.0)
    draw = draws(np.random.default_rng(0))
    assert [signal.shape for signal in draw] == [(rate,)] * 3
    assert all(np.isfinite(signal).all() for signal in draw)


def test_scores_say_which_pesq_they_have(corpus, manifests, rate):
    model = network(rate)
    part = TestPart(manifests, corpus, "test", rate, max_seconds=1.5, limit=1)
    results, scores = evaluate_part(model, [2], part, [(5, 5)], with_dnsmos=False)
    assert scores.failures == []
    assert results["depths"][1]["pesq"] > 1
    table = results_table(results)
    name = "PESQ-NB" if rate == 8000 else "PESQ-WB"
    assert f"| {name} |" in table.splitlines()[0]
    left_out = "DNSMOS left out, as it judges signals at 16 kHz and these are at 8000 Hz"
    assert (left_out in table) == (rate == 8000)
    octaves = results["listeners"]["depths"][-1]["clean"]["octaves_db"]
    assert ("16000" in octaves) == (rate >= 24000)


@pytest.mark.parametrize("file_rate", [16000, 44100])
def test_files_of_any_rate_are_enhanced_and_streamed(rate, file_rate, tmp_path):
    enhancer = BloomEnhancer({"model": network(rate)}, {"sample_rate": rate})
    samples, of_file = sf.read(SAMPLES / "demo" / "noisy_0dB.flac", dtype="float32", frames=20000)
    noisy = soxr.resample(samples, of_file, file_rate)
    sf.write(tmp_path / "noisy.wav", noisy, file_rate, subtype="FLOAT")
    enhanced = enhancer.enhance_file(tmp_path / "noisy.wav", tmp_path / "enhanced.wav")
    assert enhanced.shape == noisy.shape
    assert sf.info(tmp_path / "enhanced.wav").samplerate == file_rate
    mix = torch.from_numpy(soxr.resample(samples, of_file, rate))
    stream = enhancer.stream()
    streamed = torch.cat([in_chunks(stream, mix, rate // 100), stream.flush()])
    torch.testing.assert_close(streamed, enhancer.enhance_batch(mix[None])[0], atol=1e-5, rtol=0)


def test_lower_rates_are_refused_unless_they_are_allowed(corpus, tmp_path):
    refused = (
        r".flac: 48000 Hz, which is below the network's 96000 Hz; .* set allow_upsampling to T"
    )
    with pytest.raises(InputError, match=refused):
        prepare_librispeech_musan(corpus, str(tmp_path), 96000)
    prepare_librispeech_musan(corpus, str(tmp_path), 48000)
    with pytest.raises(InputError, match="json, .*: 48000 Hz, which is below the network's 96000"):
        prepare_librispeech_musan(corpus, str(tmp_path), 96000, skip_prep=True)
    prepare_librispeech_musan(corpus, str(tmp_path), 96000, allow_upsampling=True)
    (item,) = eval_dataset(str(tmp_path), corpus, "test", 10.0, (5, 5), 96000)
    assert item["mix"].shape == (2 * 96000,)


def test_shards_are_resampled_as_files_are(corpus, tmp_path):
    files, sharded, shards = (str(tmp_path / name) for name in ("files", "sharded", "shards"))
    prepare_librispeech_musan(corpus, files, 16000)
    write_shards(files, corpus, shards)
    prepare_librispeech_musan(corpus, sharded, 16000, shards=shards)
    manifest = load_manifest(files, corpus, "speech_train")
    (shard,) = load_manifest(sharded, corpus, "speech_train").values()
    assert (shard["frames"], shard["sample_rate"]) == (2 * 96000, 48000)
    for utterance in read_shard(shard["shard"], shard["utterances"]):
        assert utterance.sample_rate == manifest[utterance.id]["sample_rate"]
    options = {"data_folder": corpus, "segment_seconds": 0.5, "snr_db": (5, 5), "seed": 1}
    of_files = train_dataset(files, sample_rate=16000, **options)
    of_shards = train_dataset(sharded, sample_rate=16000, **options)
    assert of_shards.sample_rate == 16000
    for utterance in read_shard(shard["shard"], shard["utterances"]):
        mix = of_shards.draw(utterance.file(16000), (1, 0), []).mix
        index = of_files.data_ids.index(utterance.id)
        assert torch.equal(torch.from_numpy(mix), of_files[index, (1, 0)]["mix"])
