"""Where pretrained folders are: on the disk, in the package, on the Hugging Face hub."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomnet_sb.utils.errors import InputError

if TYPE_CHECKING:
    from speechbrain.utils.fetching import FetchConfig, LocalStrategy

HPARAMS_FILE = "hyperparams.yaml"
WEIGHTS_FILE = "model.safetensors"
INSTALLED = Path(__file__).parent


def installed_names() -> list[str]:
    """The names of the networks that came with the package.

    Example
    -------
    >>> all((INSTALLED / name).is_dir() for name in installed_names())
    True
    """
    return sorted(path.parent.name for path in INSTALLED.glob(f"*/{HPARAMS_FILE}"))


def fetch_pretrained(
    source: Any,
    hparams_file: str = HPARAMS_FILE,
    revision: str | None = None,
    savedir: str | Path | None = None,
    local_strategy: "LocalStrategy | None" = None,
    fetch_config: "FetchConfig | None" = None,
) -> tuple[Path, Path]:
    """The two files of a pretrained folder that a network is made of.

    Arguments
    ---------
    source, hparams_file, revision, savedir, local_strategy, fetch_config
        As `bloomnet_sb.inference.base.BloomInterface.from_hparams`.

    Returns
    -------
    (Path, Path)
        Where hyperparams.yaml and model.safetensors are.

    Raises
    ------
    InputError
        If there is no such source or file, the file is a link out of the folder, or an argument
        cannot be.

    Example
    -------
    >>> fetch_pretrained("convtasnet-16k")[1].name
    'model.safetensors'
    """
    names = (hparams_file, WEIGHTS_FILE)
    named = isinstance(hparams_file, str) and hparams_file not in ("", ".", "..")
    if not named or Path(hparams_file).name != hparams_file:
        raise InputError(
            f"hparams_file is {hparams_file!r}, but must be the name of a file of the pretrained "
            "folder, without a path"
        )
    place, kind = _place(source)
    folder = None if kind == "HUGGING_FACE" else _folder(place)
    if folder is None and kind != "LOCAL":
        repo_id, revision = _id_and_revision(place, kind, revision)
        from bloomnet_sb.pretrained.hub import fetch_from_hub  # takes seconds: it imports torch

        paths = fetch_from_hub(repo_id, names, revision, savedir, local_strategy, fetch_config)
    elif folder is None:
        raise InputError(f"{place}: no such folder")
    elif (pinned := revision or getattr(fetch_config, "revision", None)) is not None:
        raise InputError(f"{place}: a folder, which has no revision {pinned!r}")
    else:
        paths = [_file_of(folder, place, name) for name in names]
    return paths[0], paths[1]


def _place(source: Any) -> tuple[str, str | None]:
    """A source as text, and where SpeechBrain's `FetchSource` says that it is, if it is one."""
    kind = getattr(getattr(source, "FetchFrom", None), "name", None)
    place = source.path if kind else source
    if not isinstance(place, str | Path) or kind == "URI":
        raise InputError(
            f"source is {source!r}, but must be a folder, a name of `bloomnet list`, a Hugging "
            "Face id such as name/model, or SpeechBrain's FetchSource of a folder or an id"
        )
    return str(place), kind


def _folder(place: str) -> Path | None:
    """The folder of that path, or of the installed network of that name."""
    # Those of os.path: a path may be too long to be asked for, or below a hidden folder.
    folder = Path(place)
    if place in installed_names() and not os.path.exists(folder):
        folder = INSTALLED / place
    return folder if os.path.isdir(folder) else None


def _file_of(folder: Path, place: str, filename: str) -> Path:
    if not os.path.isfile(folder / filename):
        raise InputError(f"{place}: a pretrained folder without {filename}")
    if (folder / filename).resolve().parent != folder.resolve():
        raise InputError(f"{place}: {filename} is a link to a file outside of the folder")
    return folder / filename


def _id_and_revision(place: str, kind: str | None, revision: str | None) -> tuple[str, str | None]:
    """The parts of name/model or name/model@revision."""
    repo_id, at, written = place.partition("@")
    taken = kind is None and os.path.exists(place)
    if taken or Path(place).is_absolute() or repo_id.count("/") != 1:
        raise InputError(
            f"{place}: neither a folder, nor a name of `bloomnet list`, nor a Hugging Face id "
            "such as name/model"
        )
    if at and not written:
        raise InputError(f"{place}: no revision follows the @")
    if written and revision is not None:
        raise InputError(f"{place}: has a revision, but revision is {revision!r}")
    return repo_id, written or revision
