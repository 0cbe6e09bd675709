"""Each recipe's mini.yaml as it stands, and the backbone of recipes/README.md."""

import json

import pytest
import soundfile as sf

from bloomnet_sb.inference.enhancer import BloomEnhancer
from tests.conftest import REPOSITORY, SAMPLES, run_python, tiny_arguments
from tests.helpers.readme import readme_blocks

RECIPES = REPOSITORY / "recipes"


def test_every_recipe_folder_is_complete():
    folders = {path.name for path in RECIPES.iterdir() if path.is_dir()}
    assert folders == {"ConvTasNet", "DPRNN", "SepFormer"}
    for folder in folders:
        names = {path.name for path in (RECIPES / folder / "hparams").iterdir()}
        assert {"mini.yaml", "librispeech_musan.yaml"} <= names
        assert (RECIPES / folder / "README.md").is_file()


# Conv-TasNet's is what `make demo` runs.
@pytest.mark.parametrize("recipe", ["DPRNN", "SepFormer"])
def test_mini_runs_from_start_to_end(recipe, tmp_path, noisy_file):
    folder = RECIPES / recipe
    result = run_python(
        folder / "train.py",
        folder / "hparams" / "mini.yaml",
        f"--data_folder={SAMPLES}",
        f"--output_folder={tmp_path}",
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "results.json").read_text())["depths"]
    assert [row["blocks"] for row in rows] == [0, 1, 2]
    assert all(row["si_sdr_improvement"] > 0.5 for row in rows[1:])
    enhancer = BloomEnhancer.from_hparams(source=str(tmp_path / "pretrained"))
    assert len(enhancer.enhance_file(noisy_file, blocks=1)) == sf.info(noisy_file).frames


def test_the_backbone_in_the_readme(tmp_path, noisy_file):
    (code,), (network,) = readme_blocks("python"), readme_blocks("yaml")
    assert len(code.splitlines()) <= 40
    (tmp_path / "gru.py").write_text(code)
    mini = (RECIPES / "ConvTasNet" / "hparams" / "mini.yaml").read_text()
    before, rest = mini.split("# Network", 1)
    sizes = "num_filters: 16\nkernel_size: 32\nchannels: 8\nnum_blocks: 2\n"
    network = network.replace("bloomnet_sb.separators.gru", "gru")
    hparams = before + sizes + network + "\n# Logs" + rest.split("# Logs", 1)[1]
    (tmp_path / "mini.yaml").write_text(hparams)
    _, *options = tiny_arguments(tmp_path / "run")
    unknown = ("layers_per_block", "bottleneck_channels", "hidden_channels")
    pairs = [options[n : n + 2] for n in range(0, len(options), 2)]
    options = [item for pair in pairs if pair[0][2:] not in unknown for item in pair]
    result = run_python(
        RECIPES / "ConvTasNet" / "train.py",
        tmp_path / "mini.yaml",
        *options,
        PYTHONPATH=str(tmp_path),
    )
    assert result.returncode == 0, result.stderr
    code = (
        "import sys; from bloomnet_sb import BloomEnhancer; "
        "enhancer = BloomEnhancer.from_hparams(source=sys.argv[1], trust_source=True); "
        "enhancer.window_seconds = 2.0; "
        "print(len(enhancer.enhance_file(sys.argv[2], blocks=1)))"
    )
    result = run_python(
        "-c", code, tmp_path / "run" / "pretrained", noisy_file, PYTHONPATH=str(tmp_path)
    )
    assert result.stdout.split()[-1:] == [str(sf.info(noisy_file).frames)], result.stderr
