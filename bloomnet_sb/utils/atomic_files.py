"""Files that appear complete or not at all, and folders of one process only."""

import errno
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from weakref import WeakValueDictionary

from bloomnet_sb.utils.errors import InputError

logger = logging.getLogger(__name__)

MOST_NAME_BYTES = 200
# By which a folder is known for what it is
LAST = ("manifest.json", "hyperparams.yaml")

# Those that this process holds
_locks: WeakValueDictionary[Path, IO] = WeakValueDictionary()


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it becomes `path` when the block ends well.

    Arguments
    ---------
    path : str or Path
        The file to be. Where it is a link, the link stays, and what it leads to is written.

    Yields
    ------
    Path
        Where to write. Whatever is there is removed if the block raises.

    Raises
    ------
    InputError
        If another process is writing the same file, or its folder may not be written to.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "results.md"
    >>> with written_whole(path) as partial:
    ...     _ = partial.write_text("a table")
    >>> path.read_text()
    'a table'
    """
    path = Path(os.path.realpath(path))
    partial = path.with_name(f".{_short(path.name)}.partial")
    with _alone(partial, path):
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _short(name: str) -> str:
    """A name that leaves room in the 255 bytes that file systems give to one."""
    raw = os.fsencode(name)
    return name if len(raw) <= MOST_NAME_BYTES else hashlib.sha256(raw).hexdigest()


@contextmanager
def _alone(partial: Path, path: Path) -> Iterator[None]:
    """See that no other process writes to a file meanwhile, where there are such locks."""
    try:
        lock = open(partial, "ab")  # noqa: SIM115 (closed by the next statement)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    with lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise InputError(f"{path}: is being written by another process") from None
        yield


@contextmanager
def folder_written_whole(folder: str | Path) -> Iterator[Path]:
    """Give a folder to write to, whose files are those of `folder` when the block ends well.

    One that is there stays the folder it is, which may be a mount, or where a shell stands.

    Arguments
    ---------
    folder : str or Path
        The folder to be; it must not exist, or be empty.

    Yields
    ------
    Path
        Where to write. It is removed if the block raises.

    Raises
    ------
    InputError
        If there is something in its place, or none can be made there.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir")) / "exported"
    >>> with folder_written_whole(folder) as partial:
    ...     _ = (partial / "manifest.json").write_text("{}")
    >>> [path.name for path in folder.iterdir()]
    ['manifest.json']
    """
    folder = Path(os.path.realpath(folder))
    with _said_of(folder):
        check_new_folder(folder)
        is_there = folder.is_dir()
        folder.parent.mkdir(parents=True, exist_ok=True)
        where = folder if is_there else folder.parent
        unfinished = TemporaryDirectory(dir=where, prefix=f".{folder.name}.")
    with unfinished as temporary:
        partial = Path(temporary)
        yield partial
        if is_there:
            for path in sorted(partial.iterdir(), key=lambda path: path.name in LAST):
                path.rename(folder / path.name)
        else:
            partial.chmod(0o755)
            partial.rename(folder)
            partial.mkdir()  # for the context to remove


@contextmanager
def turn_in(folder: str | Path) -> Iterator[None]:
    """Wait until nobody else, process or thread, has a turn in a folder; have one in the block.

    Where there are no such locks, nobody waits.

    Arguments
    ---------
    folder : str or Path
        The folder; it gets a file .turn.

    Example
    -------
    >>> with turn_in(getfixture("tmpdir")):
    ...     pass
    """
    with open(Path(folder) / ".turn", "ab") as lock:
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def check_new_folder(folder: Path) -> None:
    """Refuse a folder that holds something, and what is no folder, as that of what is written.

    Raises
    ------
    InputError
        If it is one.

    Example
    -------
    >>> check_new_folder(Path("converted"))
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; what is written goes to a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty; what is written goes to a new folder")


def lock_folder(folder: str | Path, name: str = "") -> IO:
    """Keep other processes from locking a folder, until this one ends, however it ends.

    Where there are no POSIX locks (Windows), nothing is kept from anybody.

    Arguments
    ---------
    folder : str or Path
        The folder; it gets a file .lock.
    name : str
        Of what in it is locked, where several processes share it. Default: all of it.

    Returns
    -------
    file
        What holds the lock: until it is closed, or the process ends.

    Raises
    ------
    InputError
        If another process holds it.

    Example
    -------
    >>> with lock_folder(getfixture("tmpdir")) as lock:
    ...     Path(lock.name).name
    '.lock'
    """
    path = (Path(folder) / f".lock{name and '-'}{name}").resolve()
    # A second handle, when closed, would let go the lock of the first.
    if path in _locks and not _locks[path].closed:
        return _locks[path]
    lock = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (outlives this)
    try:
        import fcntl

        # Unlike those of flock, these are not passed on to forked workers, which may live longer.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return lock
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            logger.warning("%s: the file system has no locks (%s)", folder, error.strerror)
            return lock
        lock.seek(0)
        owner = lock.read().strip()
        lock.close()
        what = f"{folder}{name and ', '}{name}"
        raise InputError(f"{what}: in use by process {owner}; wait, or take another") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    _locks[path] = lock
    return lock


def made_and_locked(folder: str | Path, name: str = "") -> IO:
    """Make a folder where there is none, and lock it, see `lock_folder`.

    Raises
    ------
    InputError
        If it cannot be written, or another process holds it.

    Example
    -------
    >>> with made_and_locked(Path(getfixture("tmpdir")) / "out") as lock:
    ...     Path(lock.name).name
    '.lock'
    """
    make_folder(folder)
    with _said_of(folder):
        return lock_folder(folder, name)


def make_folder(folder: str | Path) -> None:
    """Make a folder, and those above it, where there is none.

    Raises
    ------
    InputError
        If it cannot be made, as where a file is in the way.

    Example
    -------
    >>> make_folder(Path(getfixture("tmpdir")) / "above" / "below")
    """
    with _said_of(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)


@contextmanager
def _said_of(folder: str | Path) -> Iterator[None]:
    """Say in one line which folder cannot be written, and why."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
