"""Where pretrained folders are: on the disk, in the package, on the Hugging Face hub."""

from pathlib import Path

from bloomnet_sb.utils.errors import InputError

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


def fetch_from(source: str, filename: str, savedir: str | None = None) -> Path:
    """A file of a pretrained folder.

    Arguments
    ---------
    source, savedir : str
        As `BloomInterface.from_hparams`.
    filename : str
        Its name, without a path.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    InputError
        If there is no such source or file, or the file is a link out of the folder.

    Example
    -------
    >>> fetch_from("convtasnet-16k", WEIGHTS_FILE).name
    'model.safetensors'
    """
    if Path(filename).name != filename:
        raise InputError(
            f"{filename}: a file of a pretrained folder is to be in it, without a path"
        )
    folder = Path(source)
    if str(source) in installed_names() and not folder.exists():
        folder = INSTALLED / source
    if folder.is_dir():
        if not (folder / filename).is_file():
            raise InputError(f"{source}: a pretrained folder without {filename}")
        if (folder / filename).resolve().parent != folder.resolve():
            raise InputError(f"{source}: {filename} is a link to a file outside of the folder")
        return folder / filename
    if folder.exists() or folder.is_absolute() or str(source).count("/") != 1:
        raise InputError(
            f"{source}: neither a folder, nor a name of `bloomnet list`, nor a Hugging Face id "
            "such as name/model"
        )
    from speechbrain.utils.fetching import fetch  # takes seconds: it imports torch

    try:
        # Not what another source left in savedir
        return fetch(filename, str(source), savedir=savedir, overwrite=savedir is not None)
    except Exception as error:  # the hub's client has a dozen kinds; all mean that there is none
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(
            f"{source}: no such folder, and {filename} could not be fetched from the Hugging Face "
            f"hub ({reason})"
        ) from error
