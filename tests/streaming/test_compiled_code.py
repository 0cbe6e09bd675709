import importlib
import json
import sys
from functools import partial
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
import torch
from speechbrain.utils.importutils import LazyModule

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.causal import FrameWise
from bloomnet_sb.nn.filterbanks import LearnedFilterbank
from bloomnet_sb.nn.levels import NoLevel
from bloomnet_sb.streaming import compiled_code
from bloomnet_sb.streaming.compiled_code import CODES, _compile_all, code_folder, compiled
from bloomnet_sb.streaming.parts import Block
from bloomnet_sb.streaming.programs import Program
from bloomnet_sb.utils.atomic_files import turn_in
from tests.helpers.networks import conv_tasnet


class Package:
    """Stands for code without weights; a file of none is no code."""

    def __init__(self, path):
        if not Path(path).stat().st_size:
            raise RuntimeError("Failed to initialize zip archive")
        self.loader = SimpleNamespace(run=path)

    def get_constant_fqns(self):
        return []

    def load_constants(self, constants, check_full_update):
        assert not constants


@pytest.fixture
def without_compiler(monkeypatch):
    """Code is a file of the program's name."""

    def compile_all(programs, folder):
        for name in programs:
            (folder / f"{name}.pt2").write_text("new")
        (folder / CODES).write_text(json.dumps({name: f"{name}.pt2" for name in programs}))

    monkeypatch.setattr(torch._inductor, "aoti_load_package", Package)
    monkeypatch.setattr(compiled_code, "_compile_all", compile_all)


def test_lazy_modules_of_speechbrain_stay_lazy(monkeypatch):
    """They are in `sys.modules` of every program, and ask for k2 where they are asked for files."""
    monkeypatch.delattr(LazyModule, "__file__")  # which tests/conftest.py has for Hypothesis
    assert any(isinstance(module, LazyModule) for module in sys.modules.values())
    code_folder(conv_tasnet(causal=True, norm="BN").eval())


def test_what_another_compiles_meanwhile_is_waited_for(tmp_path, without_compiler):
    program, found = torch.nn.Identity(), []
    second = Thread(target=lambda: found.append(compiled({"block2": program}, tmp_path)))
    with turn_in(tmp_path):
        second.start()
        second.join(0.2)
        assert second.is_alive()
        (tmp_path / "block1.pt2").write_text("of the other")
        (tmp_path / CODES).write_text('{"block2": "block1.pt2"}')
    second.join()
    assert found == [{"block2": str(tmp_path / "block1.pt2")}]


@pytest.mark.parametrize("codes", ["", "[]", "{}", '{"enter": "lost.pt2"}', '{"enter": "a.pt2"}'])
def test_code_that_is_not_whole_is_compiled_again(tmp_path, without_compiler, codes):
    """A power cut leaves files of nothing, and who tidies caches takes some."""
    (tmp_path / CODES).write_text(codes)
    (tmp_path / "a.pt2").touch()
    for _ in range(2):
        found = compiled({"enter": torch.nn.Identity()}, tmp_path)
        assert found == {"enter": str(tmp_path / "enter.pt2")}
    assert not (tmp_path / "a.pt2").exists()


class Within(FrameWise):
    """What torch.export puts into a graph within the graph."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        with torch.autocast("cpu", enabled=False):
            return x * self.factor


class Constant(Within):
    """One of a type that numpy does not know."""

    def __init__(self, factor):
        super().__init__(torch.full((3,), factor, dtype=torch.bfloat16))


@pytest.mark.parametrize("block", [Within, Constant])
def test_blocks_that_differ_in_a_number_do_not_share_code(block, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled_code, "_compile", lambda exported, path: path.touch())
    programs = {
        f"block{number}": Program(Block(block(factor)), {"x": torch.ones(1, 1, 3)}, ["y"], [{}])
        for number, factor in enumerate((1.0, 3.0, 1.0), 1)
    }
    _compile_all(programs, tmp_path)
    codes = json.loads((tmp_path / CODES).read_text())
    assert codes == {"block1": "block1.pt2", "block2": "block2.pt2", "block3": "block1.pt2"}


BACKBONE = """
import torch
from beside import GAINS
from bloomnet_sb.nn.causal import FrameWise
from bloomnet_sb.separators.base import Separator

class Scale(FrameWise):
    def forward(self, feature, *features):
        return (feature * FACTOR).unsqueeze(1) if features else feature * FACTOR

class OneOfMine(Separator):
    def __init__(self):
        super().__init__(16, causal=True)
        self.gains = GAINS
        self.set_parts(entry=Scale(), blocks=[Scale()], heads=[Scale()])
"""


def test_code_is_kept_by_the_source_and_the_settings_of_ones_own_backbone(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    folders = []
    for factor, gains in ((1.0, "[1]"), (1.0, "[1]"), (0.5, "[1]"), (1.0, "[2]"), (1.0, "[1]  #")):
        (tmp_path / "one_of_mine.py").write_text(BACKBONE.replace("FACTOR", str(factor)))
        (tmp_path / "beside.py").write_text(f"GAINS = {gains}")
        importlib.invalidate_caches()
        for name in ("one_of_mine", "beside"):
            sys.modules.pop(name, None)
        separator = importlib.import_module("one_of_mine").OneOfMine()
        torch.manual_seed(0)
        folders.append(code_folder(BloomNet(LearnedFilterbank(16), separator, NoLevel())))
    assert folders[0] == folders[1]
    assert len(set(folders)) == 4


@pytest.mark.parametrize(
    "kind", [lambda v: [v], lambda v: {"a": v}, torch.tensor, partial(partial, max)]
)
def test_settings_of_any_kind_are_told_apart(kind):
    prints = []
    for value in (1.0, 1.0, 2.0):
        torch.manual_seed(0)
        model = BloomNet(LearnedFilterbank(16), conv_tasnet(num_blocks=1).separator, NoLevel())
        model.separator.mine = kind(value)
        prints.append(model.fingerprint())
    assert prints[0] == prints[1] != prints[2]
