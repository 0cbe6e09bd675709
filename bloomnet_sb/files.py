"""Files that appear complete or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it becomes `path` when the block ends well.

    Arguments
    ---------
    path : str or Path
        The file to be.

    Yields
    ------
    Path
        Where to write. Whatever is there is removed if the block raises.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "results.md"
    >>> with written_whole(path) as partial:
    ...     _ = partial.write_text("a table")
    >>> path.read_text()
    'a table'
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
