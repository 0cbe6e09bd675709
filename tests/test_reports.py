import json

import matplotlib.image
import pytest
import torch

from bloomnet_sb.inference import BloomEnhancer
from bloomnet_sb.profiling import DepthProfile
from bloomnet_sb.reports import (
    draw_spectrograms,
    export_pretrained,
    make_results,
    profile_table,
    results_table,
    write_results,
)
from bloomnet_sb.scoring import DepthScores
from tests.conftest import make_model

PROFILE = [DepthProfile(1, 1_000_000, 50_000_000, 0.01), DepthProfile(2, 1_500_000, 75e6, 0.02)]
HPARAMS = """
sample_rate: 16000
hidden: 12
note: !ref made of <hidden>
separator: !new:bloomnet_sb.separators.ConvTasNetSeparator
  num_filters: 16
  bottleneck_channels: 8
  hidden_channels: !ref <hidden>
  layers_per_block: 2
  num_blocks: 3
model: !new:bloomnet_sb.model.BloomNet
  num_filters: 16
  separator: !ref <separator>
"""


@pytest.fixture
def results():
    scores = DepthScores([1, 2], 16000)
    scores.rows = [
        {
            "utterance": "an-id",
            "blocks": blocks,
            "si_sdr": 2.0 + blocks,
            "si_sdr_improvement": float(blocks),
            "pesq": None,
            "stoi": 0.8,
            "level_db": -0.04,
        }
        for blocks in range(3)
    ]
    scores.failures = ["PESQ of an-id at 0 blocks: no utterance"]
    return make_results(scores, PROFILE, make_model(num_blocks=2))


def test_table_and_memory(results):
    lines = results_table(results).splitlines()
    assert lines[2] == "| unprocessed |  |  |  | 2.00 | 0.00 |  | 0.800 | -0.0 |"
    assert lines[4] == "| 2 | 1,500,000 | 75.0 | 0.020 | 4.00 | 2.00 |  | 0.800 | -0.0 |"
    assert "Not scored: PESQ of an-id at 0 blocks: no utterance" in lines
    assert "10.00 MB for the stand-alone networks that it replaces, 2 in number" in lines[-1]
    assert results["memory_bytes"]["this_network"] == 4 * make_model(num_blocks=2).num_parameters()


def test_memory_is_of_the_depths_that_were_scored():
    results = make_results(DepthScores([2], 16000), PROFILE, make_model(num_blocks=2))
    assert results["memory_bytes"]["stand_alone_networks"] == 4 * 1_500_000
    alone = make_model(num_blocks=2).num_parameters(2)
    assert results["memory_bytes"]["this_network"] == 4 * alone


def test_results_on_disk(results, tmp_path):
    write_results(results, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert (tmp_path / "results.md").read_text() == results_table(results)
    assert len(list(tmp_path.iterdir())) == 2


def test_profile_table():
    assert profile_table(PROFILE).splitlines()[-1] == "| 2 | 1,500,000 | 75.0 | 0.020 |"


def test_spectrograms(tmp_path):
    path = tmp_path / "picture.png"
    draw_spectrograms({"one": torch.randn(8000), "two": torch.randn(8000)}, 16000, path)
    assert matplotlib.image.imread(path).shape[0] > 300
    assert [file.name for file in tmp_path.iterdir()] == ["picture.png"]


def test_an_exported_network_comes_back(tmp_path):
    model = make_model(seed=3)
    hparams = tmp_path / "train.yaml"
    hparams.write_text(HPARAMS)
    export_pretrained(model, hparams, "note: another", tmp_path / "pretrained", "A card.")
    enhancer = BloomEnhancer.from_hparams(source=str(tmp_path / "pretrained"))
    mix = torch.randn(2, 3000)
    with torch.no_grad():
        expected = model.estimate(mix, 2)[..., 0]
    torch.testing.assert_close(enhancer.enhance_batch(mix, blocks=2), expected)
    written = (tmp_path / "pretrained" / "hyperparams.yaml").read_text()
    assert "note" not in written
    assert (tmp_path / "pretrained" / "README.md").read_text() == "A card."
