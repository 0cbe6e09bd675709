"""All that is wrong with a corpus, said at once and not file by file, run by run."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bloomnet_sb.utils.csv_files import read_csv
from bloomnet_sb.utils.errors import InputError

logger = logging.getLogger(__name__)


class Faults:
    """Gathers what is wrong with a corpus while it is looked through.

    Arguments
    ---------
    corpus : str
        What the report calls it.

    Example
    -------
    >>> faults = Faults("a corpus")
    >>> for name in ("a.wav", "b.wav"):
    ...     with faults.noted():
    ...         raise InputError(f"{name}: no such file")
    >>> faults.refuse_any()
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: a corpus: 2 faults, each named in the report above; ...
    """

    def __init__(self, corpus: str):
        self.corpus = corpus
        self.found: list[str] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note an `InputError` in place of raising it."""
        try:
            yield
        except InputError as error:
            self.found.append(str(error))

    def rows(
        self, path: str | Path, needed: Sequence[str], known: Sequence[str] = ()
    ) -> Iterator[tuple[str, dict[str, str]]]:
        """The lines of a CSV file that say what is needed; the others are noted.

        Arguments
        ---------
        path, needed, known
            See `bloomnet_sb.utils.csv_files.read_csv`.

        Yields
        ------
        (str, dict)
            What a fault of the line calls it, and what the line says.
        """
        with self.noted():
            for number, row in read_csv(path, needed, known):
                line = f"{path}, line {number}"
                if all(row[name] for name in needed):
                    yield line, row
                else:
                    self.found.append(f"{line}: needs a {' and a '.join(needed)}, found {row}")

    def refuse_any(self) -> None:
        """Report the faults, if there are any.

        Raises
        ------
        InputError
            With the one fault that there is. Of several, all are logged, each with a line of its
            own, and the error names their number and the first.
        """
        if len(self.found) > 1:
            logger.error("\n  ".join([f"{self.corpus}: {len(self.found)} faults", *self.found]))
            raise InputError(
                f"{self.corpus}: {len(self.found)} faults, each named in the report above; the "
                f"first: {self.found[0]}"
            )
        if self.found:
            raise InputError(self.found[0])
