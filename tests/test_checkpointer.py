import contextlib
import logging
import os

import torch
from speechbrain.utils import checkpoints

from bloomnet_sb.checkpointer import AtomicCheckpointer


class Killed(BaseException):
    """Stands for SIGKILL: nothing but the test catches it."""


def make(folder):
    model = torch.nn.Linear(2, 2)
    other = torch.nn.Linear(3, 3)
    return AtomicCheckpointer(folder, {"model": model, "other": other}), model


def test_round_trip(tmp_path):
    checkpointer, model = make(tmp_path)
    saved = checkpointer.save_checkpoint(meta={"loss": 1.0})
    assert saved.path.parent == tmp_path
    assert all(path.is_file() for path in saved.paramfiles.values())
    expected = model.weight.detach().clone()
    other, restored = make(tmp_path)
    found = other.recover_if_possible()
    assert found.meta["loss"] == 1.0
    assert torch.equal(restored.weight, expected)


def test_killed_while_saving(tmp_path, monkeypatch):
    checkpointer, model = make(tmp_path)
    whole = checkpointer.save_checkpoint()
    expected = model.weight.detach().clone()
    model.weight.data.zero_()

    def killed(obj, path):
        path.write_bytes(b"half of it")
        raise Killed

    for name in ("model", "other"):
        monkeypatch.setitem(checkpointer.custom_save_hooks, name, killed)
        with contextlib.suppress(Killed):
            checkpointer.save_checkpoint()
        restarted, restored = make(tmp_path)
        assert restarted.recover_if_possible().path == whole.path
        assert torch.equal(restored.weight, expected)
        assert sorted(os.listdir(tmp_path)) == [".lock", whole.path.name]


def test_killed_while_deleting(tmp_path):
    checkpointer, _ = make(tmp_path)
    old, new = checkpointer.save_checkpoint(), checkpointer.save_checkpoint()
    (old.path / checkpoints.METAFNAME).unlink()
    restarted, _ = make(tmp_path)
    assert restarted.recover_if_possible().path == new.path
    assert not old.path.exists()


def test_saving_is_logged_with_the_final_path(tmp_path, caplog):
    checkpointer, _ = make(tmp_path)
    with caplog.at_level(logging.INFO):
        saved = checkpointer.save_checkpoint()
    assert str(saved.path) in caplog.text
    assert ".unfinished" not in caplog.text
    assert sorted(os.listdir(tmp_path)) == [".lock", saved.path.name]
