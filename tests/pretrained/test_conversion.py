"""Checkpoints of the paper's code: beside Asteroid's own modules, and what cannot be converted."""

import pickle
from pathlib import Path

import pytest
import torch

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.pretrained.conversion import convert as convert_checkpoints
from bloomnet_sb.utils.errors import InputError
from tests.helpers.command import bloomnet

FILTERS, BOTTLENECK, HIDDEN, BLOCKS = 20, 8, 12, 3


def state_dict(blocks=BLOCKS, depths=None) -> dict[str, torch.Tensor]:
    """Random weights under the paper's names: of a sequential model, or of a fine-tuned one."""
    sizes = {
        "encoder.filterbank._filters": (FILTERS, 1, 16),
        "masker.bottleneck.0.gamma": (FILTERS,),
        "masker.bottleneck.0.beta": (FILTERS,),
        "masker.bottleneck.1.weight": (BOTTLENECK, FILTERS, 1),
        "masker.bottleneck.1.bias": (BOTTLENECK,),
    }
    for index in range(blocks):
        layer = f"masker.TCN.{index}"
        sizes |= {
            f"{layer}.shared_block.0.weight": (HIDDEN, BOTTLENECK, 1),
            f"{layer}.shared_block.0.bias": (HIDDEN,),
            f"{layer}.shared_block.1.weight": (1,),
            f"{layer}.shared_block.2.gamma": (HIDDEN,),
            f"{layer}.shared_block.2.beta": (HIDDEN,),
            f"{layer}.shared_block.3.weight": (HIDDEN, 1, 3),
            f"{layer}.shared_block.3.bias": (HIDDEN,),
            f"{layer}.shared_block.4.weight": (1,),
            f"{layer}.shared_block.5.gamma": (HIDDEN,),
            f"{layer}.shared_block.5.beta": (HIDDEN,),
            f"{layer}.res_conv.weight": (BOTTLENECK, HIDDEN, 1),
            f"{layer}.res_conv.bias": (BOTTLENECK,),
        }
    for depth in depths or [""]:
        sizes |= {
            f"masker.mask_net{depth}.0.weight": (1,),
            f"masker.mask_net{depth}.1.weight": (FILTERS, BOTTLENECK, 1),
            f"masker.mask_net{depth}.1.bias": (FILTERS,),
            f"decoder{depth}.filterbank._filters": (FILTERS, 1, 16),
        }
    generator = torch.Generator().manual_seed(0)
    return {n: 0.3 * torch.randn(size, generator=generator) for n, size in sizes.items()}


def sequential_state_dicts() -> list[dict[str, torch.Tensor]]:
    """Models of 1 to 3 blocks that share all but masks and decoder."""
    deepest = state_dict(BLOCKS)
    models = []
    for blocks in range(1, BLOCKS + 1):
        own = {
            name: value + 0.1 * blocks if name.startswith(("masker.mask_net", "decoder")) else value
            for name, value in deepest.items()
        }
        models.append({name: own[name] for name in state_dict(blocks)})
    return models


def save(models, folder) -> list[Path]:
    paths = [folder / f"layer{number}.pt" for number in range(1, len(models) + 1)]
    for model, path in zip(models, paths, strict=True):
        torch.save(model, path)
    return paths


def asteroid_estimate(weights: dict[str, torch.Tensor], mix: torch.Tensor) -> torch.Tensor:
    """The estimate of Asteroid's Conv-TasNet, made as the paper's code does, for one depth."""
    asteroid = pytest.importorskip(
        "asteroid.models", reason="needs the packages of requirements-asteroid.txt"
    )
    network = asteroid.ConvTasNet(
        n_src=1,
        n_repeats=sum(name.endswith("res_conv.weight") for name in weights),
        n_blocks=1,
        skip_chan=None,
        n_filters=FILTERS,
        bn_chan=BOTTLENECK,
        hid_chan=HIDDEN,
    )
    network.load_state_dict(weights, strict=True)
    with torch.no_grad():
        return network.eval()(mix)[:, 0]


@pytest.mark.parametrize("kind", ["sequential", "fine-tuned"])
def test_estimates_are_asteroids(kind, tmp_path):
    if kind == "sequential":
        models = sequential_state_dicts()
        paths = save(models, tmp_path)
    else:
        tuned = state_dict(BLOCKS, depths=range(1, BLOCKS + 1))
        models = []
        for blocks in range(1, BLOCKS + 1):
            own = {
                name.replace(f"mask_net{blocks}.", "mask_net.").replace(
                    f"decoder{blocks}.", "decoder."
                ): value
                for name, value in tuned.items()
            }
            models.append({name: own[name] for name in state_dict(blocks)})
        paths = save([{f"module.{name}": value for name, value in tuned.items()}], tmp_path)
    result = bloomnet("convert", *paths, tmp_path / "converted")
    assert result.returncode == 0, result.stderr
    enhancer = BloomEnhancer.from_hparams(source=str(tmp_path / "converted"))
    assert enhancer.num_blocks == BLOCKS
    torch.manual_seed(0)
    for samples in (16, 100, 1000, 1007, 16000):
        for gain in (1.0, 1e-4):
            mix = gain * torch.randn(2, samples)
            for blocks, weights in enumerate(models, 1):
                torch.testing.assert_close(
                    enhancer.enhance_batch(mix, blocks=blocks),
                    asteroid_estimate(weights, mix),
                    atol=1e-5 * gain,
                    rtol=1e-5,
                )


def test_what_is_written(tmp_path):
    paths = save([{"state_dict": model} for model in sequential_state_dicts()], tmp_path)
    result = bloomnet("convert", *paths, tmp_path / "out", "--sample-rate", 8000)
    assert result.returncode == 0, result.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"hyperparams.yaml", "model.safetensors", "README.md"}
    assert BloomEnhancer.from_hparams(source=str(tmp_path / "out")).sample_rate == 8000
    names = [f"{tmp_path.name}/layer{number}.pt" for number in range(1, BLOCKS + 1)]
    assert ", ".join(names) in (tmp_path / "out" / "README.md").read_text()


def without(models, name, number=None):
    """The models, number `number` of them (all by default) without a weight."""
    return [
        {n: value for n, value in model.items() if n != name or number not in (None, index)}
        for index, model in enumerate(models, 1)
    ]


def change(models, name, value, number=None):
    """The models, number `number` of them (all by default) with another weight."""
    return [
        {**model, name: value} if number in (None, index) else model
        for index, model in enumerate(models, 1)
    ]


def tuned(**weights):
    return [{**state_dict(BLOCKS, depths=range(1, BLOCKS + 1)), **weights}]


TCN, HEAD, BOTTLENECK_BIAS = "masker.TCN.1", "masker.mask_net.1.bias", "masker.bottleneck.1.bias"
FILTERBANK = "encoder.filterbank._filters"


@pytest.mark.parametrize(
    ("models", "message"),
    [
        # order and number
        (lambda m: m[::-1], "layer1.pt: a model of 3 blocks, but is number 1"),
        (lambda m: m[1:], "layer1.pt: a model of 2 blocks, but is number 1"),
        (lambda m: m[2:], "layer1.pt: a model of 3 blocks, but is number 1"),
        (lambda m: [m[0], m[0]], "layer2.pt: a model of 1 blocks, but is number 2"),
        (lambda m: [m[0], *tuned()], "layer2.pt: no sequential model"),
        (lambda m: tuned() * 2, "layer1.pt: no sequential model"),
        # no state dicts
        (lambda m: [[1, 2]], "layer1.pt: no state dict"),
        (lambda m: [torch.ones(3)], "layer1.pt: no state dict"),
        (lambda m: [{"epoch": 3}], "layer1.pt: no state dict"),
        (lambda m: [{0: torch.ones(3)}], "layer1.pt: no state dict"),
        (lambda m: [{"state_dict": [torch.ones(3)]}], "layer1.pt: no state dict"),
        (lambda m: [{"weight": torch.ones(3)}], "layer1.pt: no checkpoint of BLOOM-Net, it lacks"),
        # models that do not go on from the one before
        (
            lambda m: change(m, BOTTLENECK_BIAS, torch.zeros(BOTTLENECK), 3),
            f"layer3.pt: {BOTTLENECK_BIAS} is not that of",
        ),
        (
            lambda m: change(m, f"{TCN}.shared_block.2.gamma", torch.zeros(HIDDEN), 2),
            f"layer3.pt: {TCN}.shared_block.2.gamma is not that of",
        ),
        (
            lambda m: change(m, FILTERBANK, torch.zeros(FILTERS, 1, 32), 2),
            "layer2.pt: window is 32, but 16 in",
        ),
        (
            lambda m: change(m, "masker.mask_net.1.weight", torch.ones(40, BOTTLENECK, 1), 1),
            f"layer1.pt: {HEAD} is [20], but must be [40]",
        ),
        # names
        (lambda m: without(m, FILTERBANK), f"it lacks {FILTERBANK}"),
        (lambda m: without(m, BOTTLENECK_BIAS, 1), f"layer1.pt: lacks {BOTTLENECK_BIAS}"),
        (lambda m: without(m, HEAD, 2), f"layer2.pt: lacks {HEAD}"),
        (
            lambda m: without(m, f"{TCN}.shared_block.4.weight"),
            f"layer2.pt: lacks {TCN}.shared_block.4.weight",
        ),
        (lambda m: without(tuned(), "decoder2.filterbank._filters"), "lacks decoder2.filterbank"),
        (
            lambda m: change(m, "masker.gru.bias", torch.zeros(8), 2),
            "layer2.pt: masker.gru.bias is",
        ),
        (
            lambda m: change(m, f"{TCN}.skip_conv.bias", torch.zeros(8), 3),
            f"layer3.pt: has {TCN}.skip_conv.bias, but the paper's network has no skip paths",
        ),
        # shapes and values
        (
            lambda m: change(m, HEAD, torch.zeros(9), 1),
            f"layer1.pt: {HEAD} is [9], but must be [20]",
        ),
        (
            lambda m: tuned(**{"masker.mask_net2.1.bias": torch.zeros(9)}),
            "masker.mask_net2.1.bias is [9], but must be [20]",
        ),
        (
            lambda m: change(m, FILTERBANK, torch.zeros(FILTERS, 2, 16)),
            f"layer1.pt: {FILTERBANK} is [20, 2, 16], but must be [20, 1, 16]",
        ),
        (
            lambda m: change(m, FILTERBANK, torch.tensor(1.0)),
            f"layer1.pt: {FILTERBANK} is [], but must have 3 dimensions",
        ),
        (
            lambda m: change(m, HEAD, torch.full((FILTERS,), float("nan")), 2),
            f"layer2.pt: {HEAD} holds NaN",
        ),
    ],
)
def test_what_cannot_be_converted(models, message, tmp_path):
    paths = save(models(sequential_state_dicts()), tmp_path)
    with pytest.raises(InputError) as error:
        convert_checkpoints(paths, tmp_path / "out")
    assert message in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_not_written_into(tmp_path):
    paths = save(sequential_state_dicts(), tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("another's")
    with pytest.raises(InputError, match="notes: is not empty"):
        convert_checkpoints(paths, tmp_path / "notes")
    assert [path.read_text() for path in (tmp_path / "notes").iterdir()] == ["another's"]


def test_a_folder_is_not_half_written(tmp_path, monkeypatch):
    paths = save(sequential_state_dicts(), tmp_path)
    (tmp_path / "empty").mkdir()

    def fail(path, content):
        with open(path, "wb") as file:
            file.write(content[:9])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    for folder in ("new", "empty"):
        with pytest.raises(InputError, match=f"{folder}: cannot be written .No space left"):
            convert_checkpoints(paths, tmp_path / folder, sample_rate=8000)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*(path.name for path in paths), "empty"}
    assert not list((tmp_path / "empty").iterdir())


def check_refused(result, message, folder):
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not folder.is_dir()


class Exploit:
    """Unpickling this would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_files_that_are_no_checkpoints(tmp_path):
    (tmp_path / "text.pt").write_text("no checkpoint")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "rundata_last.pt").write_bytes(pickle.dumps({"epoch": 3}, protocol=5))
    torch.save({"weight": Exploit(tmp_path / "written")}, tmp_path / "code.pt")
    whole = save(sequential_state_dicts(), tmp_path)[0].read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "damaged.pt").write_bytes(whole.replace(b"encoder", b"\xffncoder"))  # not UTF-8
    for name in ("text", "empty", "rundata_last", "code", "cut", "damaged"):
        with pytest.raises(InputError, match=f"{name}.pt: not a checkpoint that torch loads"):
            convert_checkpoints([tmp_path / f"{name}.pt"], tmp_path / "out")
    assert not (tmp_path / "written").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("masker.TCN.0.shared_block.0.weight", (10**7, 1, 1), "a network of more than"),
        ("masker.mask_net.1.bias", (10**12,), "more than 268435456 numbers"),
    ],
)
def test_a_small_file_of_a_huge_network_takes_no_memory(name, shape, message, tmp_path):
    models = sequential_state_dicts()[:1]
    models[0] |= {
        "masker.bottleneck.1.weight": torch.zeros(1).expand(10**7, 1, 1),
        name: torch.zeros(1, dtype=torch.half).expand(shape),
    }
    (path,) = save(models, tmp_path)
    assert path.stat().st_size < 10**5
    with pytest.raises(InputError, match=f"layer1.pt: {message}"):
        convert_checkpoints([path], tmp_path / "out")


def test_paths_that_cannot_be(tmp_path):
    first, second, _ = save(sequential_state_dicts(), tmp_path)
    for checkpoint, folder, message in (
        (tmp_path / "none.pt", tmp_path / "out", "none.pt: no such file"),
        (first, second, "layer2.pt: is a file; what is written goes to a new folder"),
        (first, second / "out", "layer2.pt/out: cannot be written"),
    ):
        with pytest.raises(InputError, match=message):
            convert_checkpoints([checkpoint], folder)
        assert not folder.is_dir()


def test_errors_of_the_command_are_one_line(tmp_path):
    first, second, _ = save(sequential_state_dicts(), tmp_path)
    out = tmp_path / "out"
    check_refused(bloomnet("convert", second, out), "layer2.pt: a model of 2 blocks, but", out)
    check_refused(bloomnet("convert", first), "convert takes one or more checkpoints", out)
    check_refused(bloomnet("convert", first, out, "--sample-rate", 0), "sample_rate is 0", out)
    with pytest.raises(InputError, match="sample_rate is 16, but must be within 1000 and 768000"):
        convert_checkpoints([first], out, sample_rate=16)


def test_a_wrong_call_of_torch_is_not_the_files_fault(tmp_path, monkeypatch):
    torch.save({}, tmp_path / "layer1.pt")
    monkeypatch.setattr(torch, "load", lambda path: {})
    with pytest.raises(TypeError, match="unexpected keyword"):
        convert_checkpoints([tmp_path / "layer1.pt"], tmp_path / "out")
