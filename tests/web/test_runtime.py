import io
import shutil
import tarfile
from pathlib import Path

import pytest

from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.web import runtime
from bloomnet_sb.web.runtime import ARCHIVE, LOCK, runtime_archive, write_runtime
from tests.helpers.web import archive


def npm(folder: Path, script: str) -> str:
    """A command npm that runs a script, whose last argument is where the archive goes."""
    folder.mkdir(exist_ok=True)
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_the_archive_is_fetched_once_and_then_found(tmp_path, monkeypatch):
    copy = (
        f'test "$1 $2" = "pack {LOCK["name"]}@{LOCK["version"]}" && cp {archive()} "$4"/{ARCHIVE}'
    )
    monkeypatch.setenv("PATH", npm(tmp_path / "bin", copy))
    cache = tmp_path / "cache"
    kept = runtime_archive(cache=cache)
    assert kept == cache / ARCHIVE and [path.name for path in cache.iterdir()] == [ARCHIVE]
    monkeypatch.setenv("PATH", npm(tmp_path / "bin", "exit 1"))
    assert runtime_archive(cache=cache) == kept
    # A file that was damaged is fetched anew.
    kept.write_bytes(b"half of it")
    monkeypatch.setenv("PATH", npm(tmp_path / "bin", copy))
    assert runtime_archive(cache=cache).read_bytes() == archive().read_bytes()


@pytest.mark.parametrize(
    "script, said",
    [
        ("echo 'no route to it' >&2; exit 1", "did not get onnxruntime-web .*: no route to it"),
        (f'echo other > "$4"/{ARCHIVE}', "what npm got is not onnxruntime-web .* by its SHA-512"),
        ("exit 0", "did not get onnxruntime-web .*: exit code 0"),
        ("sleep 20", "did not get onnxruntime-web .* in 0.2 s"),
    ],
)
def test_what_npm_does_not_get_is_said(tmp_path, monkeypatch, script, said):
    monkeypatch.setenv("PATH", npm(tmp_path / "bin", script))
    monkeypatch.setattr(runtime, "NPM_SECONDS", 0.2 if "sleep" in script else 60)
    with pytest.raises(InputError, match=said):
        runtime_archive(cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_without_npm_the_archive_may_be_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(
        InputError, match="npm is not installed.*npm pack onnxruntime-web@.*--runtime"
    ):
        runtime_archive(cache=tmp_path / "cache")
    assert runtime_archive(archive()) == archive()
    (tmp_path / "other.tgz").write_bytes(b"another version")
    with pytest.raises(InputError, match="other.tgz: is not onnxruntime-web .* by its SHA-512"):
        runtime_archive(tmp_path / "other.tgz")


def test_the_files_that_the_page_loads_are_unpacked(tmp_path):
    write_runtime(archive(), tmp_path / "runtime")
    assert {path.name for path in (tmp_path / "runtime").iterdir()} == set(LOCK["files"])
    with tarfile.open(archive()) as packed:
        member = packed.extractfile("package/package.json")
        assert f'"version": "{LOCK["version"]}"' in io.TextIOWrapper(member).read()
    wasm = (tmp_path / "runtime" / "ort-wasm-simd-threaded.wasm").read_bytes()
    assert wasm.startswith(b"\0asm")
