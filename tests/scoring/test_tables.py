import json

import matplotlib.image
import pytest
import torch

from bloomnet_sb.scoring.costs import DepthProfile
from bloomnet_sb.scoring.depth_scores import DepthScores
from bloomnet_sb.scoring.tables import (
    draw_spectrograms,
    make_results,
    profile_table,
    results_table,
    write_results,
)
from tests.helpers.networks import conv_tasnet

PROFILE = [DepthProfile(1, 1_000_000, 50_000_000, 0.01), DepthProfile(2, 1_500_000, 75e6, 0.02)]


@pytest.fixture
def results():
    scores = DepthScores([1, 2], 16000, with_dnsmos=False)
    generator = torch.Generator().manual_seed(0)
    for name, samples in (("rain", 8000), ("click", 1600)):
        target, noise = torch.randn(2, 1, samples, 1, generator=generator)
        estimates = torch.stack([target + 0.5 * noise, target + 0.1 * noise])
        scores.add(f"{name}-id", (target + noise)[..., 0], target, estimates, name)
    return make_results(scores, PROFILE, conv_tasnet(num_blocks=2))


def test_tables_and_memory(results):
    lines = results_table(results).splitlines()
    heads = [cell.strip() for cell in lines[0].split("|")[1:-1]]
    unprocessed, _, deepest = (
        dict(zip(heads, [cell.strip() for cell in line.split("|")[1:-1]], strict=True))
        for line in lines[2:5]
    )
    assert unprocessed["blocks"] == "unprocessed"
    assert unprocessed["SI-SDRi"] == "0.00"
    assert unprocessed["DNSMOS"] == ""
    assert (deepest["blocks"], deepest["parameters"]) == ("2", "1,500,000")
    assert (deepest["MMAC/s"], deepest["RTF"]) == ("75.0", "0.020")
    assert float(deepest["SI-SDRi"]) == pytest.approx(20, abs=0.3)
    assert "| input SNR | mixtures | SI-SDRi, 1 blocks | SI-SDRi, 2 blocks |" in lines
    assert any(line.startswith("| rain | 1 | 6.") for line in lines)
    failed = [line for line in lines if line.startswith("Not scored: ")]
    assert len(failed) == len(results["failures"])
    assert any("PESQ of click-id at 0 blocks: " in line for line in failed)
    assert "10.00 MB for the stand-alone networks that it replaces, 2 in number" in lines[-1]
    assert results["memory_bytes"]["this_network"] == 4 * conv_tasnet(num_blocks=2).num_parameters()


def test_a_noise_whose_name_is_no_text_has_its_bytes_as_escapes(results, tmp_path):
    results["by_noise"][0]["group"] = "pluie \udce9t\udce9"
    results["failures"] = ["PESQ of \udce9: why"]
    write_results(results, tmp_path)
    table = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert table == results_table(results)
    assert "| pluie \\udce9t\\udce9 | 1 |" in table
    assert "PESQ of \\udce9: why" in table


def test_memory_is_of_the_depths_that_were_scored():
    results = make_results(DepthScores([2], 16000), PROFILE, conv_tasnet(num_blocks=2))
    assert results["memory_bytes"]["stand_alone_networks"] == 4 * 1_500_000
    alone = conv_tasnet(num_blocks=2).num_parameters(2)
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
