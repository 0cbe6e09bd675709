"""What a recipe says of a command line, a YAML file or a class that cannot be, before it trains."""

import shutil

import pytest
import torch
import yaml

from bloomnet_sb.training.options import Options
from bloomnet_sb.training.steps import load_hparams
from bloomnet_sb.utils.errors import InputError
from tests.helpers.recipes import (
    RECIPE,
    corpus,
    error_line,
    run_here,
    run_main,
    run_python,
)

MINI = RECIPE / "hparams" / "mini.yaml"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data_folder": "/nowhere"}, "data_folder /nowhere: no such folder"),
        ({"training": "sequential"}, "the schedule is 'sequential', but must be one of"),
        ({"block_lr": "fast"}, "block: lr is 'fast', but must be a number above 0"),
        ({"norm": "LN"}, "norm is 'LN', but must be one of"),
        ({"num_blocks": 0}, "num_blocks is 0"),
        ({"num_blocks": "two"}, "num_blocks is 'two'"),
        ({"blocks": 3}, "Override 'blocks' not found"),
        ({"seed": "two"}, "mini.yaml: Invalid argument to callable"),
        ({"seed": -1}, "seed is -1, but must be a whole number of 0 or more"),
        ({"snr_db": [10, -5]}, "snr_db is [10, -5], but must be two rising numbers"),
        ({"snr_db": 5}, "snr_db is 5, but must be two rising numbers"),
        ({"test_snr_bands_db": [-5, 10]}, "range of test_snr_bands_db is -5, but must be"),
        ({"grad_accumulation_factor": 99}, "is 99, but an epoch has"),
        ({"batch_size": 0}, "batch_size is 0, but must be a whole number of 1 or more"),
        ({"num_workers": -1}, "num_workers is -1, but must be a whole number of 0 or more"),
        ({"output_folder": "/proc/nowhere"}, "/proc/nowhere: cannot be written"),
        ({"skip_prep": True}, ".json: no such manifest"),
        ({"skip_prep": "off"}, "skip_prep is 'off', but must be True or False"),
        ({"allow_upsampling": "no"}, "allow_upsampling is 'no', but must be True or False"),
        ({"block_segment_seconds": ".inf"}, "block: segment_seconds is inf, but must be a number"),
        ({"opt_class": "torch.optim.Adam"}, "opt_class is 'torch.optim.Adam', but must be a class"),
        ({"start_from": "nowhere"}, "neither a folder, nor a name of `bloomnet list`"),
        ({"start_from": "convtasnet-16k"}, "not the weights of this run's network, whose sizes"),
        ({"level_weight": "null"}, "level_weight is None, but must be a number of 0 or more"),
        ({"pesq_weight": "x"}, "pesq_weight is 'x', but must be a number of 0 or more"),
        ({"spectral_weight": -1}, "spectral_weight is -1, but must be a number of 0 or more"),
        ({"log_config": "/nowhere.yaml"}, "log_config /nowhere.yaml: no such file"),
        ({"device": "cuda:77"}, "device is 'cuda:77', which torch cannot use here"),
        ({"device": "abacus"}, "device is 'abacus', which torch cannot use here"),
        ({"precision": "fp16", "device": "cpu"}, "precision fp16 is for GPUs"),
        ({"jit": True}, "--jit: torch.jit does not take"),
        ({"profile_training": True}, "--profile_training: SpeechBrain's profiler ends"),
        ({"data_parallel_backend": True}, "--data_parallel_backend: DataParallel would"),
        ({"optimizer_step_limit": "few"}, "optimizer_step_limit is 'few'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_a_command_line_cannot_ask_for(tmp_path, overrides, message):
    line = error_line(run_here(**{"output_folder": tmp_path / "run", **overrides}))
    assert message in line
    assert not list((tmp_path / "run" / "save").glob("[!.]*"))


def test_a_value_may_hold_what_separates_keys_from_values():
    url = "https://a.b/{0..9}.tar?token=abc"
    argv = ["mini.yaml", "--output_folder", "lr=0.003", f"--speech_shards={url}", "--device=cpu"]
    _, options, overrides = Options.from_command_line_args([*argv, "--snr_db", "[-5,", "30]"])
    assert yaml.safe_load(overrides) == {
        "output_folder": "lr=0.003", "speech_shards": url, "snr_db": [-5, 30]
    }  # fmt: skip
    assert options.device == "cpu"
    assert options.overridden_args == {"device"}


@pytest.mark.parametrize("path", ["take #2", "2024", "2024-05-01", "a: b", "a:", "c\\d é"])
@pytest.mark.parametrize("key", ["output_folder", "data_description", "limits"])
@pytest.mark.parametrize("form", [["--{key}={}"], ["--{key}", "{}"]])
def test_a_path_or_a_description_is_the_text_that_was_typed(path, key, form):
    none = ["--rir_folder", "null", "--noise_folder="]
    argv = ["mini.yaml", *(part.format(path, key=key) for part in form), *none]
    _, _, overrides = Options.from_command_line_args(argv)
    expected = {key: path, "rir_folder": None, "noise_folder": None}
    assert yaml.safe_load(overrides) == expected
    assert "noise_folder: " in overrides.splitlines()  # an option alone would be True


def test_what_is_no_option_is_refused():
    with pytest.raises(InputError, match="stray: not an option; those begin with --"):
        Options.from_command_line_args(["mini.yaml", "stray"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_torchrun_without_enough_gpus(tmp_path, monkeypatch):
    for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1}.items():
        monkeypatch.setenv(name, str(value))
    assert "torchrun: Killing process Not enough GPUs" in error_line(run_here(tmp_path))


def test_a_recipe_started_as_a_user_does_says_it_in_one_line_too(tmp_path):
    line = error_line(run_python(RECIPE / "train.py", tmp_path / "none.yaml"))
    assert "none.yaml: No such file" in line


def broken_yaml(folder, old: str, new: str):
    """mini.yaml with one text in place of another, and what it includes."""
    shutil.copytree(RECIPE / "hparams", folder / "recipe" / "hparams")
    shutil.copytree(RECIPE.parent / "common", folder / "common")
    text = MINI.read_text()
    assert old in text
    path = folder / "recipe" / "hparams" / "mini.yaml"
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed: 1234", "seed: [1234", "while parsing"),
        ("data_folder: tests/samples", "data_folder: !PLACEHOLDER", "'data_folder' is a !PLACEH"),
        ("norm: !ref <norm>, ", "", "'norm' is a !PLACEHOLDER and must be replaced"),
        ("<batch_size>", "<size_of_batches>", 'reference "size_of_batches" is not valid'),
        ("models/conv_tasnet.yaml", "models/none.yaml", "models/none.yaml: No such file"),
        ("AtomicCheckpointer", "Checkpoints", "There is no such class as bloomnet_sb.training.ch"),
        ("save_file: ", "file: ", "unexpected keyword argument 'file'"),
    ],
    ids=["syntax", "placeholder", "not passed", "reference", "include", "class", "argument"],
)
def test_a_fault_of_the_yaml_is_one_line(tmp_path, old, new, message):
    if old == "<batch_size>":
        old, new = "num_workers: 1", f"num_workers: !ref {new}"
    path = broken_yaml(tmp_path, old, new)
    line = error_line(run_main(RECIPE / "train.py", [path, f"--output_folder={tmp_path}/run"]))
    assert message in line
    assert line.startswith(f"error: {path.parent if 'none' in new else path}")


FAULTS = {
    "in the constructor": "super().__init__(num_filters, sources=num_sources)",
    "of a key": "{'channels': 8}['chanels']",
    "in what it calls": "torch.nn.Linear('eight', 8)",
    "while it is imported": "pass\n\nimport no_such_library",
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_in_the_code_of_a_class_keeps_its_traceback(tmp_path, monkeypatch, fault):
    monkeypatch.syspath_prepend(tmp_path)
    name = f"separator_{abs(hash(fault))}"
    (tmp_path / f"{name}.py").write_text(
        "import torch\n"
        "from bloomnet_sb.separators import Separator\n\n"
        "class NewSeparator(Separator):\n"
        "    def __init__(self, num_filters, num_sources=1):\n"
        f"        {fault}\n"
    )
    hparams = tmp_path / "new.yaml"
    hparams.write_text(f"separator: !new:{name}.NewSeparator\n  num_filters: 16\n")
    with pytest.raises(Exception) as raised:  # noqa: PT011 (which one, the class decides)
        load_hparams(str(hparams), "")
    assert not isinstance(raised.value, InputError | SystemExit)
    files = [str(entry.path) for entry in raised.traceback]
    assert any(name in file for file in files) or "no_such_library" in str(raised.value)


def test_a_training_stopped_before_the_parts_had_their_names_is_refused(finished_run, tmp_path):
    folder = shutil.copytree(finished_run, tmp_path / "run")
    for checkpoint in (folder / "save").glob("CKPT*"):
        weights = torch.load(checkpoint / "model.ckpt", weights_only=True)
        old = {name.replace("separator.entry.", "separator."): v for name, v in weights.items()}
        torch.save(old, checkpoint / "model.ckpt")
        meta = yaml.safe_load((checkpoint / "CKPT.yaml").read_text())
        del meta["bytes"]
        (checkpoint / "CKPT.yaml").write_text(yaml.safe_dump(meta))
    line = error_line(run_here(folder))
    assert "a checkpoint of another network than this run's" in line
    assert "separator.entry.norm.weight" in line


def test_the_copy_of_the_yaml_in_the_output_folder_is_whole(finished_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy = finished_run / "hyperparams.yaml"
    assert "!include" not in copy.read_text()
    hparams = load_hparams(str(copy), f"output_folder: {tmp_path}\nnum_blocks: 2")
    assert hparams["model"].num_blocks == 2
    assert hparams["data"]["prepare"].keywords["data_folder"] == str(corpus.folder)
