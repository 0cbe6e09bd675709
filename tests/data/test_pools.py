import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from bloomnet_sb.data import PoolDataset, fill_pool, pools
from bloomnet_sb.data.draws import Draw
from bloomnet_sb.data.pools import pool_files, refresh
from bloomnet_sb.utils.errors import InputError
from tests.helpers.forked import fork_server

RATE = 16000


class ToyDraws:
    """Draws that cost nothing: speech with a peak, a softer target, and a noise."""

    sample_rate = RATE
    frames = 4000

    def fingerprint(self):
        return "toys"

    def __call__(self, rng):
        heard, noise = rng.normal(size=(2, self.frames)).astype(np.float32)
        heard[100] = 60
        return Draw(heard, 0.5 * heard, noise)


@pytest.fixture(autouse=True)
def _small_files(monkeypatch):
    monkeypatch.setattr(pools, "MOST_BYTES", 5 * 3 * 4000 * 2 + 10)


def numbers(folder):
    return [int(path.stem.split("-")[1]) for path in pool_files(folder)]


def dataset(folder, **options):
    settings = {"segment_seconds": 0.1, "batch_size": 3, "batches": 5, "seed": 0}
    return PoolDataset(str(folder), RATE, **{**settings, **options})


def noises(batches):
    return [batch["noise"] for batch in batches]


def assert_equal(some, others):
    assert len(some) == len(others)
    assert all(torch.equal(*pair) for pair in zip(some, others, strict=True))


def test_a_pool_holds_what_was_drawn(tmp_path):
    fill_pool(tmp_path, ToyDraws(), files=2, seed=7)
    stored = np.load(pool_files(tmp_path)[1])
    assert stored.shape == (5, 3, 4000)
    assert stored.dtype == np.int16
    rng = np.random.default_rng([7, 1])
    for heard, target, noise in stored / 32767:
        draw = ToyDraws()(rng)
        scale = heard[100] / draw.heard[100]
        np.testing.assert_allclose(heard, scale * draw.heard, atol=2e-5)
        np.testing.assert_allclose(target, scale * draw.target, atol=2e-5)
        assert np.sqrt(np.mean(noise**2)) == pytest.approx(0.05, rel=1e-3)
        assert np.abs(heard).max() < 1


def test_filling_keeps_what_is_there_and_no_number_of_workers_changes_it(tmp_path):
    fill_pool(tmp_path / "one", ToyDraws(), files=3, seed=0)
    first, second, third = pool_files(tmp_path / "one")
    before, kept = second.read_bytes(), first.stat().st_mtime_ns
    second.unlink()
    time.sleep(0.01)
    fill_pool(tmp_path / "one", ToyDraws(), files=3, seed=0)
    assert second.read_bytes() == before
    assert first.stat().st_mtime_ns == kept
    fill_pool(tmp_path / "two", ToyDraws(), files=1, seed=0, first=2)
    assert pool_files(tmp_path / "two")[0].read_bytes() == third.read_bytes()


def test_several_workers_fill_a_pool(tmp_path, monkeypatch):
    monkeypatch.undo()  # workers have a module of their own
    monkeypatch.setattr(pools, "worker_context", lambda module: fork_server())
    fill_pool(tmp_path / "two", ToyDraws(), files=2, seed=0, workers=2)
    fill_pool(tmp_path / "one", ToyDraws(), files=2, seed=0)
    for one, two in zip(pool_files(tmp_path / "one"), pool_files(tmp_path / "two"), strict=True):
        assert one.read_bytes() == two.read_bytes()
        assert one.stat().st_size <= 40e6


def test_a_pool_of_other_draws_is_used_with_a_warning(tmp_path, monkeypatch, caplog):
    fill_pool(tmp_path, ToyDraws(), files=1, seed=0)
    fill_pool(tmp_path, ToyDraws(), files=1, seed=0)
    assert not caplog.records
    monkeypatch.setattr(ToyDraws, "fingerprint", lambda self: "others")
    fill_pool(tmp_path, ToyDraws(), files=1, seed=0)
    [warning] = caplog.messages
    assert warning.startswith(f"{tmp_path} was drawn with other settings, or from other files")
    caplog.clear()
    about = tmp_path / "pool.json"
    about.write_text('{"sample_rate": 16000, "samples": 4000, "seed": 0}')  # of an earlier version
    fill_pool(tmp_path, ToyDraws(), files=1, seed=0)
    assert not caplog.records


def test_refreshing_goes_on_with_the_numbers(tmp_path):
    fill_pool(tmp_path, ToyDraws(), files=3, seed=0)
    refresh(tmp_path, ToyDraws(), files=2, seed=0)
    assert numbers(tmp_path) == [2, 3, 4]
    fill_pool(tmp_path, ToyDraws(), files=4, seed=0)
    assert numbers(tmp_path) == [2, 3, 4, 5]


def test_a_reader_keeps_its_epoch_while_the_pool_is_drawn_anew(tmp_path):
    fill_pool(tmp_path, ToyDraws(), files=2, seed=0)
    expected = noises(dataset(tmp_path))
    read = iter(dataset(tmp_path))
    first = next(read)["noise"]
    refresh(tmp_path, ToyDraws(), files=2, seed=0)
    assert_equal([first, *noises(read)], expected)
    assert not torch.equal(noises(dataset(tmp_path))[0], expected[0])


def test_batches(tmp_path):
    fill_pool(tmp_path, ToyDraws(), files=2, seed=0)
    read = dataset(tmp_path, segment_seconds=0.25, batch_size=4)
    for batch in read:
        assert {signal.shape for signal in batch.values()} == {(4, 4000)}
        assert {signal.dtype for signal in batch.values()} == {torch.float32}
        torch.testing.assert_close(batch["target"], 0.5 * batch["heard"], atol=1e-2, rtol=0)
        for key in ("heard", "noise"):
            torch.testing.assert_close(
                batch[key].square().mean(1), torch.ones(4), atol=1e-3, rtol=0
            )


def test_an_epoch_goes_on_where_it_was_with_any_number_of_workers(tmp_path):
    fill_pool(tmp_path, ToyDraws(), files=2, seed=0)
    read = dataset(tmp_path)
    read.set_epoch(3)
    whole = noises(read)
    assert len(whole) == len(read) == 5
    for workers in (0, 2):
        read.go_on_after(0)
        assert_equal(noises(DataLoader(read, batch_size=None, num_workers=workers)), whole)
        read.go_on_after(2)
        assert_equal(noises(DataLoader(read, batch_size=None, num_workers=workers)), whole[2:])
    read.go_on_after(0)
    read.set_epoch(4)
    assert not torch.equal(noises(read)[0], whole[0])


def test_processes_take_turns_in_the_batches(tmp_path):
    fill_pool(tmp_path, ToyDraws(), files=2, seed=0)
    readers = [dataset(tmp_path, batches=3) for _ in range(2)]
    for rank, reader in enumerate(readers):
        reader.share(rank, 2)
    of_both = zip(*(noises(reader) for reader in readers), strict=True)
    assert_equal(
        [batch for pair in of_both for batch in pair], noises(dataset(tmp_path, batches=6))
    )


def test_silent_draws_are_borne(tmp_path, monkeypatch):
    silence = np.zeros(4000, dtype=np.float32)
    monkeypatch.setattr(ToyDraws, "__call__", lambda self, rng: Draw(silence, silence, silence))
    fill_pool(tmp_path, ToyDraws(), files=1, seed=0)
    for batch in dataset(tmp_path):
        assert not any(signal.any() for signal in batch.values())


def test_faults_are_named(tmp_path):
    with pytest.raises(InputError, match="no pool of draws"):
        dataset(tmp_path)
    with pytest.raises(InputError, match="no pool to refresh"):
        refresh(tmp_path, ToyDraws(), files=1, seed=0)
    fill_pool(tmp_path, ToyDraws(), files=1, seed=0)
    with pytest.raises(InputError, match="draws of 0.25 s at 16000 Hz, but 1.0 s"):
        dataset(tmp_path, segment_seconds=1.0)
    with pytest.raises(InputError, match="'seed': 0.*but.*'seed': 1.* is to be drawn"):
        fill_pool(tmp_path, ToyDraws(), files=1, seed=1)
    pool_files(tmp_path)[0].write_bytes(b"no array")
    with pytest.raises(InputError, match=r"draws-000000.npy: no file of a pool"):
        next(iter(dataset(tmp_path)))
    pool_files(tmp_path)[0].unlink()
    with pytest.raises(InputError, match="no draws there"):
        next(iter(dataset(tmp_path)))
