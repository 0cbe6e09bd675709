"""Checkpoints of the paper's code: beside Asteroid's own modules, and what cannot be converted."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from bloomnet_sb.inference import BloomEnhancer

COMMAND = Path(sys.executable).with_name("bloomnet")
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


def convert(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [COMMAND, "convert", *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


def asteroid_estimate(weights: dict[str, torch.Tensor], mix: torch.Tensor) -> torch.Tensor:
    """The estimate of Asteroid's Conv-TasNet with the weights of a sequential model."""
    filterbanks = pytest.importorskip(
        "asteroid_filterbanks", reason="needs asteroid and asteroid-filterbanks (without deps)"
    )
    masknn = pytest.importorskip("asteroid.masknn", reason="needs asteroid (without deps)")
    blocks = sum(name.endswith("res_conv.weight") for name in weights)

    class ConvTasNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = filterbanks.make_enc_dec(
                "free", n_filters=FILTERS, kernel_size=16, stride=8
            )
            self.masker = masknn.TDConvNet(
                FILTERS,
                1,
                n_blocks=1,
                n_repeats=blocks,
                bn_chan=BOTTLENECK,
                hid_chan=HIDDEN,
                skip_chan=None,
                mask_act="sigmoid",
            )

        def forward(self, mix):
            features = self.encoder(mix[:, None])
            masked = self.masker(features) * features[:, None]
            decoded = self.decoder(masked)[:, 0]
            return nn.functional.pad(decoded, (0, mix.shape[-1] - decoded.shape[-1]))

    network = ConvTasNet().eval()
    network.load_state_dict(weights, strict=True)
    with torch.no_grad():
        return network(mix)


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
    result = convert(*paths, tmp_path / "converted")
    assert result.returncode == 0, result.stderr
    enhancer = BloomEnhancer.from_hparams(source=str(tmp_path / "converted"))
    assert enhancer.num_blocks == BLOCKS
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
    result = convert(*paths, tmp_path / "out", "--sample-rate", 8000)
    assert result.returncode == 0, result.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"hyperparams.yaml", "model.safetensors", "README.md"}
    assert BloomEnhancer.from_hparams(source=str(tmp_path / "out")).sample_rate == 8000
    assert "layer1.pt, layer2.pt, layer3.pt" in (tmp_path / "out" / "README.md").read_text()


def without(models, name):
    return [{n: v for n, v in model.items() if n != name} for model in models]


def change(models, name, value):
    return [*models[:-1], {**models[-1], name: value}]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (lambda m: m[::-1], "layer1.pt: a model of 3 blocks, but is number 1"),
        (lambda m: m[1:], "layer1.pt: a model of 2 blocks, but is number 1"),
        (lambda m: [state_dict(1, [1]), state_dict(2, [1, 2])], "layer2.pt: no sequential model"),
        (lambda m: [[1, 2]], "layer1.pt: no state dict"),
        (lambda m: [{"epoch": 3}], "layer1.pt: no state dict"),
        (
            lambda m: change(m, "masker.bottleneck.1.bias", torch.zeros(BOTTLENECK)),
            "layer1.pt: masker.bottleneck.1.bias is not that of",
        ),
        (
            lambda m: without(m, "encoder.filterbank._filters"),
            "it lacks encoder.filterbank._filters",
        ),
        (
            lambda m: without(m, "masker.TCN.0.shared_block.4.weight"),
            "lacks the weights that are separator.blocks.0.0.residual.4.weight here",
        ),
        (
            lambda m: change(m, "masker.TCN.2.skip_conv.bias", torch.zeros(8)),
            "has masker.TCN.2.skip_conv.bias, but the paper's network has no skip paths",
        ),
        (lambda m: change(m, "masker.gru.bias", torch.zeros(8)), "masker.gru.bias is no weight"),
        (
            lambda m: change(m, "masker.TCN.2.res_conv.bias", torch.zeros(9)),
            r"separator.blocks.2.0.residual.6.bias here is [9], but must be [8]",
        ),
        (
            lambda m: change(m, "masker.TCN.2.shared_block.9.bias", torch.zeros(9)),
            "has weights for separator.blocks.2.0.residual.9.bias",
        ),
    ],
)
def test_what_cannot_be_converted(models, message, tmp_path):
    paths = save(models(sequential_state_dicts()), tmp_path)
    check_refused(convert(*paths, tmp_path / "out"), message, tmp_path / "out")


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


def test_files_that_are_no_checkpoints(tmp_path):
    out = tmp_path / "out"
    check_refused(convert(tmp_path / "none.pt", out), "none.pt: no such file", out)
    (tmp_path / "text.pt").write_text("no checkpoint")
    check_refused(convert(tmp_path / "text.pt", out), "text.pt: not a checkpoint", out)
    torch.save({"weight": Exploit(tmp_path / "written")}, tmp_path / "bad.pt")
    check_refused(convert(tmp_path / "bad.pt", out), "bad.pt: not a checkpoint", out)
    assert not (tmp_path / "written").exists()
    check_refused(convert(tmp_path / "text.pt"), "convert takes one or more checkpoints", out)
    paths = save(sequential_state_dicts(), tmp_path)
    check_refused(convert(*paths, tmp_path / "text.pt"), "text.pt: a file, but", out)
