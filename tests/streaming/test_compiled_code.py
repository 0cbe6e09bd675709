import importlib
import sys
from threading import Thread
from types import SimpleNamespace

import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import LearnedFilterbank
from bloomnet_sb.nn.levels import NoLevel
from bloomnet_sb.streaming import compiled_code
from bloomnet_sb.streaming.compiled_code import CODES, code_folder, compiled
from bloomnet_sb.utils.atomic_files import turn_in


class Package:
    """Stands for code without weights."""

    def __init__(self, path):
        self.loader = SimpleNamespace(run=path)

    def get_constant_fqns(self):
        return []

    def load_constants(self, constants, check_full_update):
        assert not constants


def test_what_another_compiles_meanwhile_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(torch._inductor, "aoti_load_package", Package)
    program, found = torch.nn.Identity(), []
    second = Thread(target=lambda: found.append(compiled({"block2": program}, tmp_path)))
    with turn_in(tmp_path):
        second.start()
        second.join(0.2)
        assert second.is_alive()
        (tmp_path / "block1.pt2").touch()
        (tmp_path / CODES).write_text('{"block2": "block1.pt2"}')
    second.join()
    assert found == [{"block2": str(tmp_path / "block1.pt2")}]


def test_code_that_is_not_whole_is_compiled_again(tmp_path, monkeypatch):
    """A folder of caches may have lost a file of it."""
    monkeypatch.setattr(torch._inductor, "aoti_load_package", Package)
    monkeypatch.setattr(compiled_code, "_compile_all", lambda programs, folder: {"enter": "new"})
    (tmp_path / CODES).write_text('{"enter": "enter.pt2"}')
    programs = {"enter": torch.nn.Identity()}
    assert compiled(programs, tmp_path) == {"enter": str(tmp_path / "new")}
    (tmp_path / "enter.pt2").touch()
    assert compiled(programs, tmp_path) == {"enter": str(tmp_path / "enter.pt2")}


BACKBONE = """
import torch
from bloomnet_sb.nn.causal import FrameWise
from bloomnet_sb.separators.base import Separator

class Scale(FrameWise):
    def forward(self, feature, *features):
        return (feature * FACTOR).unsqueeze(1) if features else feature * FACTOR

class OneOfMine(Separator):
    def __init__(self):
        super().__init__(16, causal=True)
        self.set_parts(entry=Scale(), blocks=[Scale()], heads=[Scale()])
"""


def test_code_is_kept_by_the_source_of_ones_own_backbone(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    folders = []
    for factor in ("1.0", "1.0", "0.5"):
        (tmp_path / "one_of_mine.py").write_text(BACKBONE.replace("FACTOR", factor))
        importlib.invalidate_caches()
        sys.modules.pop("one_of_mine", None)
        separator = importlib.import_module("one_of_mine").OneOfMine()
        torch.manual_seed(0)
        folders.append(code_folder(BloomNet(LearnedFilterbank(16), separator, NoLevel())))
    assert folders[0] == folders[1] != folders[2]
