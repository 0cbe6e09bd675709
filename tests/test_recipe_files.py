"""The files of the recipes: their scripts, the keys of their YAML files and what these build."""

import re

import pytest
import torch
import yaml
from hyperpyyaml import resolve_references
from ruamel.yaml import YAML
from speechbrain.utils.run_opts import RunOptions

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import LearnedFilterbank, STFTFilterbank
from bloomnet_sb.nn.levels import LogLevel
from bloomnet_sb.separators import (
    BandRNNSeparator,
    ConvTasNetSeparator,
    DPRNNSeparator,
    SepFormerSeparator,
)
from bloomnet_sb.training.schedule import StageSettings
from bloomnet_sb.training.steps import load_hparams
from tests.helpers.recipes import (
    RECIPES,
    REPOSITORY,
    SAMPLES,
    error_line,
    recipe_module,
    run_main,
)

BACKBONES = ("BandRNN", "ConvTasNet", "DPRNN", "SepFormer")
HPARAMS = sorted(RECIPES.glob("*/hparams/*.yaml"))
# What the arguments are called that get a key, where it is not its own name.
ARGUMENTS = {
    "kernel_size": {"window"},
    "conv_kernel_size": {"kernel_size"},
    "window": {"window", "num_filters"},
    "manifest_folder": {"manifest_folder", "save_folder"},
    "eval_seconds": {"max_seconds"},
    "draw_seconds": {"segment_seconds"},
    "average_decay": {"decay"},
    "level_fall_seconds": {"fall_seconds"},
    "output_folder": {"save_file", "checkpoints_dir"},
}


def short(path):
    return f"{path.parent.parent.name}/{path.name}"


def test_every_recipe_folder_is_complete():
    folders = {path.name for path in RECIPES.iterdir() if (path / "train.py").is_file()}
    assert folders == set(BACKBONES)
    for folder in folders:
        assert (RECIPES / folder / "hparams" / "mini.yaml").is_file()
        assert (RECIPES / folder / "README.md").is_file()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_recipe_shows_its_brain(backbone):
    path = RECIPES / backbone / "train.py"
    assert 60 <= len(path.read_text().splitlines()) <= 120
    recipe = recipe_module(path)
    brain = getattr(recipe, f"{backbone}Brain")
    (base,) = brain.__bases__
    shown = {"compute_forward", "compute_objectives"}
    assert shown <= vars(brain).keys()
    assert not shown & vars(base).keys()
    assert recipe.dataio_prep
    assert recipe.main


def read_by_code() -> set[str]:
    """The keys that the code reads by name: recipes, Brains, schedule and SpeechBrain's options."""
    files = [*RECIPES.glob("*/train*.py"), *(REPOSITORY / "bloomnet_sb/training").glob("*.py")]
    code = "".join(path.read_text() for path in files)
    found = re.findall(r"""hparams(?:\[["']|\.get\(["']|\.|, ["'])(\w+)""", code)
    stages = ("block", "finetune", "end_to_end")
    schedule = {f"{stage}_{name}" for stage in stages for name in StageSettings.__annotations__}
    return {*found, *schedule, "lr_schedule", *RunOptions().as_dict()}


def arguments_in(node) -> list[tuple[str, object]]:
    """Name and value of each argument of each object that a YAML file defines."""
    if isinstance(node, list):
        return [found for value in node for found in arguments_in(value)]
    if not isinstance(node, dict):
        return []
    found = [pair for value in node.values() for pair in arguments_in(value)]
    plain = [(name, value) for name, value in node.items() if not isinstance(value, dict)]
    return [*found, *(plain if node.tag.value else [])]


def keys_of(path) -> list[str]:
    """The keys of a YAML file that are a user's: numbers, names, lists."""
    keys = YAML().load(path.read_text())
    tags = {
        key: getattr(getattr(value, "tag", None), "value", None) or ""
        for key, value in keys.items()
    }
    return [
        key
        for key, value in keys.items()
        if not (key.startswith("__") or isinstance(value, dict) or tags[key].startswith("!name"))
        and key != "model"
    ]


@pytest.mark.parametrize("path", HPARAMS, ids=short)
def test_every_key_is_an_option_that_arrives_where_it_is_meant_to(path):
    marks = {key: f"mark-{key}-" for key in keys_of(path)}
    assert len(marks) > 40
    with open(path) as file:
        resolved = YAML().load(resolve_references(file, marks, overrides_must_match=True))
    arguments = arguments_in(resolved)
    for key, mark in marks.items():
        names = {name for name, value in arguments if mark in str(value)}
        assert names or key in read_by_code(), f"{key} goes nowhere"
        assert names <= ARGUMENTS.get(key, {key}), key


@pytest.mark.parametrize("path", HPARAMS, ids=short)
def test_every_file_builds_what_it_says(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = keys_of(path)
    needed = {"data_folder": str(SAMPLES), "output_folder": str(tmp_path / "run")}
    for key, value in {"clean_folder": "clean", "noise_folder": "noise"}.items():
        needed |= {key: value} if key in keys else {}
    built = load_hparams(str(path), yaml.dump(needed))
    assert built["model"].num_blocks == built["num_blocks"]


def learned(separator, *sizes) -> BloomNet:
    return BloomNet(LearnedFilterbank(24, 20, sample_rate=8000), separator(24, *sizes))


NETWORKS = {
    "BandRNN": (
        {"window": 400, "hop": 200, "num_blocks": 4, "layers_per_block": 2, "channels": 12}
        | {"level_fall_seconds": 0.5},
        lambda: BloomNet(
            STFTFilterbank(400, 200, 8000),
            BandRNNSeparator(402, 8000, num_blocks=4, layers_per_block=2, channels=12),
            LogLevel(STFTFilterbank(400, 200, 8000), fall_seconds=0.5),
        ),
    ),
    "ConvTasNet": (
        {"num_filters": 24, "kernel_size": 20, "bottleneck_channels": 10, "hidden_channels": 14}
        | {"conv_kernel_size": 5, "layers_per_block": 3, "num_blocks": 4, "dilation_cycle": 5}
        | {"norm": "cLN", "causal": True, "mask_activation": "relu"},
        lambda: learned(ConvTasNetSeparator, 10, 14, 5, 3, 4, 1, 5, "cLN", True, "relu"),
    ),
    "DPRNN": (
        {"num_filters": 24, "kernel_size": 20, "bottleneck_channels": 10, "hidden_channels": 14}
        | {"chunk_size": 30, "num_blocks": 4, "rnn_type": "GRU", "norm": "cLN"}
        | {"mask_activation": "sigmoid"},
        lambda: learned(DPRNNSeparator, 10, 14, 30, 4, 1, "GRU", "cLN", "sigmoid"),
    ),
    "SepFormer": (
        {"num_filters": 24, "kernel_size": 20, "bottleneck_channels": 12}
        | {"feedforward_channels": 14, "num_heads": 3, "layers_per_path": 2, "chunk_size": 30}
        | {"num_blocks": 4, "dropout": 0.1, "norm": "cLN", "mask_activation": "sigmoid"},
        lambda: learned(SepFormerSeparator, 12, 14, 3, 2, 30, 4, 1, "cLN", "sigmoid", 0.1),
    ),
}


@pytest.mark.parametrize("backbone", NETWORKS)
def test_the_network_is_what_its_keys_say(backbone, tmp_path, monkeypatch):
    sizes, expected = NETWORKS[backbone]
    options = {**sizes, "sample_rate": 8000, "output_folder": str(tmp_path), "seed": 5}
    monkeypatch.chdir(tmp_path)
    built = load_hparams(str(RECIPES / backbone / "hparams" / "mini.yaml"), yaml.dump(options))
    torch.manual_seed(5)
    assert built["model"].fingerprint() == expected().fingerprint()
    assert built["checkpointer"].checkpoints_dir == tmp_path / "save"


@pytest.mark.parametrize(
    "script, file, message",
    [
        ("train.py", "listeners.yaml", "training is missing among the keys of the schedule"),
        ("train_listeners.py", "mini.yaml", "mini.yaml has no key threads"),
    ],
)
def test_a_yaml_file_of_another_script_is_refused(tmp_path, script, file, message):
    folder = RECIPES / "BandRNN"
    options = [f"--data_folder={SAMPLES}", f"--output_folder={tmp_path}"]
    result = run_main(folder / script, [folder / "hparams" / file, *options])
    assert message in error_line(result)
