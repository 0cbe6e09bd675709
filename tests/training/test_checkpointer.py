import contextlib
import logging
import os

import torch
from speechbrain.utils import checkpoints

from bloomnet_sb.training.checkpointer import AtomicCheckpointer


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


def test_the_newest_is_the_last_saved_even_if_the_clock_was_set_back(tmp_path, monkeypatch):
    checkpointer, model = make(tmp_path)
    checkpointer.save_checkpoint()
    monkeypatch.setattr(checkpoints.time, "time", lambda: 1000.0)
    model.weight.data.fill_(5.0)
    newest = checkpointer.save_and_keep_only(importance_keys=[]) or checkpointer.find_checkpoint()
    restarted, restored = make(tmp_path)
    assert restarted.recover_if_possible().path == newest.path
    assert (restored.weight == 5.0).all()
    assert len(restarted.list_checkpoints()) == 1


def test_a_damaged_one_is_set_aside(tmp_path, caplog):
    checkpointer, model = make(tmp_path)
    whole = checkpointer.save_checkpoint()
    expected = model.weight.detach().clone()
    model.weight.data.zero_()
    damaged = checkpointer.save_checkpoint()
    os.truncate(damaged.paramfiles["other"], 10)
    restarted, restored = make(tmp_path)
    assert restarted.recover_if_possible().path == whole.path
    assert torch.equal(restored.weight, expected)
    assert "is damaged" in caplog.text
    assert (tmp_path / f"damaged+{damaged.path.name}").is_dir()


def test_one_of_the_same_name_is_set_aside_too(tmp_path):
    for _ in range(3):
        checkpointer, _ = make(tmp_path)
        damaged = checkpointer.save_checkpoint(name="start")
        os.truncate(damaged.paramfiles["other"], 10)
    assert make(tmp_path)[0].find_checkpoint() is None
    aside = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert aside == {"damaged+CKPT+start", "damaged+CKPT+start.2", "damaged+CKPT+start.3"}


def test_one_of_an_older_version_is_loaded(tmp_path):
    """It does not name the sizes of its files."""
    checkpointer, _ = make(tmp_path)
    old = checkpointer.save_checkpoint()
    meta = (old.path / checkpoints.METAFNAME).read_text()
    start = meta.index("bytes:")
    end = meta.index("end-of-epoch:")
    (old.path / checkpoints.METAFNAME).write_text(meta[:start] + meta[end:])
    restarted, _ = make(tmp_path)
    assert restarted.recover_if_possible().path == old.path


def test_one_with_a_name_keeps_it_and_is_replaced(tmp_path):
    checkpointer, model = make(tmp_path)
    for value in (1.0, 2.0):
        model.weight.data.fill_(value)
        saved = checkpointer.save_checkpoint(name="best")
        assert saved.path == tmp_path / "CKPT+best"
    restarted, restored = make(tmp_path)
    restarted.recover_if_possible()
    assert (restored.weight == 2).all()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["CKPT+best"]
