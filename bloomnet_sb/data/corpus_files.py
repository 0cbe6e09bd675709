"""The audio files of a corpus, and what a network can use of them."""

from collections.abc import Iterable
from pathlib import Path

from bloomnet_sb.data.faults import Faults
from bloomnet_sb.utils.audio_files import audio_info
from bloomnet_sb.utils.audio_formats import AudioInfo
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.folders import list_audio, log_left_out, summary_of
from bloomnet_sb.utils.resampling import check_rate


def corpus_root(data_folder: str | Path) -> Path:
    """The folder that a user named as that of the data.

    Arguments
    ---------
    data_folder : str or Path
        The folder.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    InputError
        If there is no such folder.

    Example
    -------
    >>> corpus_root("tests/samples").name
    'samples'
    """
    root = Path(data_folder)
    if not root.is_dir():
        raise InputError(f"data_folder {data_folder}: no such folder")
    return root


def find_audio(root: Path, folder: str, origin: str) -> list[Path]:
    """The audio files in a folder of a corpus.

    Arguments
    ---------
    root : Path
        The corpus.
    folder : str
        The folder's place in it.
    origin : str
        Where the corpus can be had, for the error.

    Returns
    -------
    list of Path
        The files in it and in the folders below it, linked ones too, in order of name. What is left
        out is logged.

    Raises
    ------
    InputError
        If there is no such folder, or no audio file in it.

    Example
    -------
    >>> [path.name for path in find_audio(Path("tests/samples"), "demo", "")][:2]
    ['clean_0dB.flac', 'clean_5dB.flac']
    """
    if not (root / folder).is_dir():
        raise InputError(f"data_folder {root} has no folder {folder} ({origin})")
    listing = list_audio(root / folder, media=False)
    if not listing.files:
        found = summary_of(listing.left_out)
        raise InputError(
            f"{root / folder} holds no audio file ({origin})" + (f"; {found}" if found else "")
        )
    log_left_out(root / folder, listing.left_out)
    return listing.files


def usable_info(path: Path, sample_rate: int, allow_upsampling: bool = False) -> AudioInfo:
    """The header of an audio file that must have no lower rate than a network.

    Arguments
    ---------
    path : Path
        The file.
    sample_rate : int
        The network's, in Hz.
    allow_upsampling : bool
        Whether the file may have a lower one.

    Returns
    -------
    AudioInfo
        See `bloomnet_sb.utils.audio_files.audio_info`.

    Raises
    ------
    InputError
        If it cannot be read, or has a rate that is no audio's or too low.

    Example
    -------
    >>> usable_info(Path("tests/samples/demo/clean_0dB.flac"), 16000).samplerate
    16000
    """
    info = audio_info(path, header_only=True)
    _check_rates(path, info.samplerate, sample_rate, allow_upsampling)
    return info


def mono_info(path: Path, sample_rate: int, allow_upsampling: bool = False) -> AudioInfo:
    """The header of an audio file that must have one channel, too; else see `usable_info`.

    Raises
    ------
    InputError
        If it has more channels, or as `usable_info`.

    Example
    -------
    >>> mono_info(Path("tests/samples/demo/clean_0dB.flac"), 16000).channels
    1
    """
    info = audio_info(path, header_only=True)
    if info.channels != 1:
        raise InputError(f"{path}: {info.channels} channels, but 1 is needed")
    _check_rates(path, info.samplerate, sample_rate, allow_upsampling)
    return info


def _check_rates(path: Path, rate: int, sample_rate: int, allow_upsampling: bool) -> None:
    check_rate(path, rate, sample_rate)
    check_upsampling(path, rate, sample_rate, allow_upsampling)


def check_upsampling(
    name: str | Path, rate: int, sample_rate: int, allow_upsampling: bool = False
) -> None:
    """Refuse what has a lower rate than the network, which lacks its upper frequencies.

    Arguments
    ---------
    name : str or Path
        Of the file, for the message.
    rate, sample_rate : int
        The file's and the network's, in Hz.
    allow_upsampling : bool
        Whether it may have a lower one.

    Raises
    ------
    InputError
        If it has, and may not.

    Example
    -------
    >>> check_upsampling("a.wav", 8000, 16000, allow_upsampling=True)
    """
    if rate < sample_rate and not allow_upsampling:
        raise InputError(
            f"{name}: {rate} Hz, which is below the network's {sample_rate} Hz; to have it "
            "upsampled, set allow_upsampling to True"
        )


def by_stem(files: Iterable[Path], faults: Faults) -> dict[str, Path]:
    """Files by their names without suffix, which are their ids in a manifest.

    Arguments
    ---------
    files : iterable of Path
        The files.
    faults : Faults
        Where those are noted that have the name of another.

    Returns
    -------
    dict
        Name to file.

    Example
    -------
    >>> list(by_stem([Path("musan/rain.wav")], Faults("noise")))
    ['rain']
    """
    found: dict[str, Path] = {}
    for file in files:
        if found.setdefault(file.stem, file) != file:
            faults.found.append(f"{file}: has the name of {found[file.stem]}; names are ids")
    return found
