"""Files in object stores and elsewhere, by fsspec: s3://, gs://, hf:// and the like."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bloomnet_sb.utils.errors import DISK_FULL, InputError

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://")
LOCAL = "file"
# Where a file that is put appears complete or not at all; elsewhere it is put beside its place
WHOLE = {"s3", "s3a", "gs", "gcs", "hf", "az", "abfs", "abfss", "adl", "oss", "memory"}
# The libraries below fsspec whose errors are no OSError
BELOW = ("aiohttp", "azure", "botocore", "gcsfs", "google", "huggingface_hub")


class Stored(NamedTuple):
    """A file of a store.

    Arguments
    ---------
    size : int
        In bytes.
    state : list
        What changes when the file does: its size, and what else the store says of it.
    """

    size: int
    state: list


def is_address(path: str | Path) -> bool:
    """Whether a path is an address of a store, with a protocol.

    Example
    -------
    >>> is_address("s3://bucket/noisy.wav"), is_address("noisy.wav")
    (True, False)
    """
    return ADDRESS.match(str(path)) is not None


class Store:
    """A folder of a store.

    Arguments
    ---------
    address : str
        Its address, such as s3://bucket/folder; or a path of this machine.

    Raises
    ------
    InputError
        If there is no such protocol, or what it needs is not installed.

    Example
    -------
    >>> store = Store("memory://bucket/folder")
    >>> store.write("deeper/a.txt", b"hello")
    >>> store.files().keys(), store.read("deeper/a.txt")
    (dict_keys(['deeper/a.txt']), b'hello')
    >>> Store("nowhere://bucket")
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: nowhere://bucket: Protocol not known: nowhere
    """

    def __init__(self, address: str):
        import fsspec  # late, as one file of this machine has no need of it

        self.address = address.rstrip("/")
        try:
            self._fs, root = fsspec.core.url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            raise InputError(f"{address}: {str(error).splitlines()[0]}") from None
        self._root = root.rstrip("/")
        protocols = self._fs.protocol
        self._protocols = {protocols} if isinstance(protocols, str) else set(protocols)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return LOCAL in self._protocols

    @property
    def place(self) -> str:
        """What is the same however the address was spelled; a path of this machine is one."""
        return self._root if self.is_local else f"{min(self._protocols)}://{self._root.lstrip('/')}"

    def address_of(self, name: str) -> str:
        """The address of a file of the folder."""
        return f"{self.address}/{name}" if name else self.address

    def is_folder(self) -> bool:
        """Whether the address is that of a folder, or what there is begins with it."""
        with _said(self.address):
            self._fs.invalidate_cache()
            return self._fs.isdir(self._root)

    def files(self) -> dict[str, Stored]:
        """The files of the folder and of those below it, by their names in it; none if there is no
        such folder."""
        with _said(self.address):
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(self._root, detail=True)
            except FileNotFoundError:
                return {}
            below = f"{self._root}/"
            return {
                path.removeprefix(below): self._stored(path, info)
                for path, info in sorted(found.items())
                if path.startswith(below)
            }

    def stored(self) -> Stored:
        """What the store says of the address itself, a file."""
        with _said(self.address):
            return self._stored(self._root, self._fs.info(self._root))

    def fetch(self, local: Path, name: str = "") -> None:
        """Copy a file of the folder to this machine; without a name, the address itself."""
        with _said(self.address_of(name)):
            local.parent.mkdir(parents=True, exist_ok=True)
            self._fs.get_file(self._path(name), str(local))

    def put(self, local: Path, name: str) -> None:
        """Copy a file of this machine into the folder; it appears when it is complete."""
        path = PurePosixPath(self._path(name))
        with _said(self.address_of(name)):
            if self._protocols & WHOLE:
                self._fs.put_file(str(local), str(path))
                return
            partial = str(path.with_name(f".{path.name}.partial"))
            self._make_folder(path.parent)
            self._fs.put_file(str(local), partial)
            self._fs.mv(partial, str(path))

    def read(self, name: str) -> bytes:
        """What a file holds."""
        with _said(self.address_of(name)):
            return self._fs.cat_file(self._path(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a small file; it appears when it is complete."""
        with TemporaryDirectory() as folder:
            (local := Path(folder) / "content").write_bytes(content)
            self.put(local, name)

    def remove(self, name: str) -> None:
        """Remove a file."""
        with _said(self.address_of(name)):
            self._fs.rm_file(self._path(name))

    def _make_folder(self, path: PurePosixPath) -> None:
        """Where there are folders; a store would look for the bucket each time."""
        if not self._protocols & WHOLE:
            self._fs.makedirs(str(path), exist_ok=True)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _stored(self, path: str, info: dict[str, Any]) -> Stored:
        # By what the store has of them: a sum, an entity tag, a commit, or when it was written
        about = [
            info.get(key) for key in ("ETag", "etag", "md5Hash", "blob_id", "mtime", "created")
        ]
        size = info.get("size") or 0  # a web server need not say it
        return Stored(size, [size, *(str(value) for value in about if value)])


def place_of(address: str) -> str:
    """Where a file is, however its address was spelled; of this machine, by whatever links.

    Example
    -------
    >>> place_of("memory:///bucket/a.wav"), place_of("file:///nowhere/a.wav")
    ('memory://bucket/a.wav', '/nowhere/a.wav')
    """
    folder, _, name = address.rstrip("/").rpartition("/")
    path = f"{_place_of_folder(folder)}/{name}" if is_address(address) else address
    return path if is_address(path) else os.path.realpath(path)


@lru_cache
def _place_of_folder(address: str) -> str:
    """Kept, as a corpus has a million files in few folders."""
    try:
        return Store(address).place
    except InputError:  # of a list, which is said when its turn comes
        return address


@contextmanager
def _said(address: str) -> Iterator[None]:
    """Have what a store refuses said in a line."""
    try:
        yield
    except Exception as error:
        is_below = type(error).__module__.split(".")[0] in BELOW
        if not (isinstance(error, OSError) or is_below) or getattr(error, "errno", 0) in DISK_FULL:
            raise
        reason = str(error).strip() or type(error).__name__
        raise InputError(f"{address}: {reason.splitlines()[0]}") from None
