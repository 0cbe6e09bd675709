"""Listening to recordings of one's own: each is read through once, before it is trained on."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.audio_files import read_audio
from bloomnet_sb.utils.audio_formats import AudioInfo
from bloomnet_sb.utils.errors import InputError

LISTENED_TO = 2**20  # frames at once
HEARD = "listened_to.txt"  # beside manifests of which every file was read through


class Listener:
    """Gives the header of a file that was read through, or that was found good before.

    Arguments
    ---------
    header : callable
        Gives the header of a file.
    known : mapping
        The files that were found good, with their lengths in samples.
    sounds : callable
        Whether samples [time, channels] sound as training reads them.

    Raises
    ------
    InputError
        Where it is called with a file that is damaged, or silent from beginning to end.

    Example
    -------
    >>> from bloomnet_sb.utils.audio_files import audio_info
    >>> Listener(audio_info, {}, mean_sounds)(Path("tests/samples/demo/noisy_0dB.flac")).samplerate
    16000
    """

    def __init__(self, header: Callable, known: Mapping[str, int], sounds: Callable):
        self.header = header
        # Paths from another working folder name the same files.
        self.known = {os.path.abspath(file): frames for file, frames in known.items()}
        self.sounds = sounds

    def __call__(self, path: Path) -> AudioInfo:
        info = self.header(path)
        if self.known.get(os.path.abspath(path)) == info.frames:
            return info
        starts = range(0, info.frames, LISTENED_TO)
        # All of them, as training reads them: one may be damaged.
        if not any([self.sounds(read_audio(path, start, LISTENED_TO)) for start in starts]):
            raise InputError(f"{path}: silent from beginning to end")
        return info


def mean_sounds(samples: np.ndarray) -> bool:
    """Whether the mean of the channels of samples [time, channels] is a sound.

    Channels may cancel out in it, and an offset is none.

    Example
    -------
    >>> mean_sounds(np.array([[1.0, -1.0], [0.5, -0.5]]))
    False
    """
    return bool(np.ptp(samples.mean(1)) > 0)


def first_sounds(samples: np.ndarray) -> bool:
    """Whether the first channel of samples [time, channels] is not silent.

    Example
    -------
    >>> first_sounds(np.array([[0.0, 1.0], [0.0, 0.5]]))
    False
    """
    return bool(samples[:, 0].any())


def note_heard(save_folder: str | Path, root: Path) -> None:
    """Note that every file of the manifests in a folder was read through, in a corpus.

    Example
    -------
    >>> folder = getfixture("tmpdir")
    >>> note_heard(folder, Path("/here"))
    >>> were_heard(folder, Path("/here")), were_heard(folder, Path("/there"))
    (True, False)
    >>> forget_heard(folder)
    >>> were_heard(folder, Path("/here"))
    False
    """
    with written_whole(Path(save_folder) / HEARD) as unfinished:
        unfinished.write_text(_heard_in(root), encoding="utf-8")


def were_heard(save_folder: str | Path, root: Path) -> bool:
    """Whether the files of these manifests were read through in this corpus, not in another one."""
    heard = Path(save_folder) / HEARD
    return heard.exists() and heard.read_text(encoding="utf-8") == _heard_in(root)


def forget_heard(save_folder: str | Path) -> None:
    """Take back what `note_heard` noted, if it did."""
    (Path(save_folder) / HEARD).unlink(missing_ok=True)


def _heard_in(root: Path) -> str:
    return f"Every file of the manifests here was read through, in {os.path.abspath(root)}\n"
