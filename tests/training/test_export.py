import json

import soundfile as sf
import torch

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.training.export import _shared_command, _use
from tests.helpers.recipes import SAMPLES


def test_the_card_says_what_it_is_of(finished_run, pretrained):
    left = {path.name for path in pretrained.iterdir()}
    assert left == {"hyperparams.yaml", "model.safetensors", "README.md"}
    card = (pretrained / "README.md").read_text()
    assert card.startswith("# BLOOM-Net speech enhancement, ConvTasNetSeparator, 2 blocks\n")
    assert "espeak-ng" in card
    assert "CC0" in card
    assert "schedule `blockwise`, seed 1234" in card
    assert "- speech_train: 82 files, 7.9 minutes" in card
    assert "Mixtures at -5 to 10 dB SNR, 16000 Hz." in card
    assert "| unprocessed |" in card
    assert "Clean speech:" in card
    assert "    python train.py mini.yaml --data_folder DIR --output_folder DIR --" in card
    assert str(finished_run) not in card
    assert "BloomEnhancer.from_hparams" in card


def test_the_folder_needs_nothing_of_the_recipe(pretrained):
    text = (pretrained / "hyperparams.yaml").read_text()
    assert "!include" not in text
    assert "#" not in text


def test_the_pretrained_network_is_the_one_that_was_scored(finished_run, pretrained):
    enhancer = BloomEnhancer.from_hparams(source=str(pretrained))
    noisy, _ = sf.read(SAMPLES / "demo" / "noisy_5dB.flac", dtype="float32")
    assert enhancer.enhance_batch(torch.from_numpy(noisy)[None]).shape == (1, len(noisy))
    results = json.loads((finished_run / "results.json").read_text())
    parameters = [row["parameters"] for row in results["depths"][1:]]
    assert [depth.parameters for depth in enhancer.profile()] == parameters


def test_a_card_names_no_path_of_this_machine():
    argv = ["/mine/mini.yaml", "--data_folder=/mine/data", "--output_folder", "/mine/out"]
    assert _shared_command([*argv, "--lr=1e-3"]) == (
        "python train.py mini.yaml --data_folder=DIR --output_folder DIR --lr=1e-3"
    )
    assert _shared_command(["a.yaml", "--data_description", "Calls #3"]).endswith("'Calls #3'")


def test_a_card_uses_no_depth_that_was_not_trained():
    rows = [{"blocks": blocks} for blocks in range(4)]
    assert _use("enhancement", {"depths": rows}).endswith('"enhanced.wav", blocks=1)\n')
    end_to_end = _use("separation", {"depths": [rows[0], rows[3]]})
    assert '"separated/", blocks=3)\n' in end_to_end
    assert end_to_end.endswith("\nFewer than 3 blocks were not trained.\n")
