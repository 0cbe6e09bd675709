"""LibriMix's mixtures of two or three speakers to manifests."""

from functools import partial
from pathlib import Path

from bloomnet_sb.data.corpus_files import by_stem, corpus_root, find_audio, mono_info
from bloomnet_sb.data.faults import Faults
from bloomnet_sb.data.manifests import check_manifests, write_manifest
from bloomnet_sb.data.mixtures import mixture_entries
from bloomnet_sb.utils.errors import InputError, check_positive

RATE_FOLDERS = {8000: "wav8k", 16000: "wav16k"}
CHOICES = {
    "mode": ("min", "max"),
    "mixture": ("mix_clean", "mix_both"),
    "num_sources": (2, 3),
    "train_split": ("train-100", "train-360"),
}
ORIGIN = "LibriMix is made by the scripts at https://github.com/JorisCos/LibriMix"


def prepare_librimix(
    data_folder: str,
    save_folder: str,
    sample_rate: int = 8000,
    mode: str = "min",
    mixture: str = "mix_clean",
    num_sources: int = 2,
    train_split: str = "train-100",
    skip_prep: bool = False,
    allow_upsampling: bool = False,
) -> None:
    """Write the manifests mix_{train,valid,test}.json of LibriMix (arXiv 2005.11262).

    Their entries are those of `bloomnet_sb.data.mixtures.mixture_entries`; paths in a manifest are
    relative to {data_root}, which stands for `data_folder`.

    Arguments
    ---------
    data_folder : str
        The folder that holds Libri2Mix/ (Libri3Mix/ for three sources), or that folder itself, as
        LibriMix's scripts make it.
    save_folder : str
        Where the manifests go.
    sample_rate : int
        The network's, in Hz. Of wav8k/ and wav16k/, the one of this rate is used, else the next
        higher, which is resampled when it is read, else the next lower.
    mode : str
        "min": mixtures end with their shortest source. "max": with their longest.
    mixture : str
        "mix_clean": the sources' sum. "mix_both": with noise.
    num_sources : int
        2 or 3.
    train_split : str
        "train-100" or "train-360".
    skip_prep : bool
        Use the manifests that are there; only the rates in them are looked at.
    allow_upsampling : bool
        Whether mixtures of a lower rate than the network's are taken.

    Raises
    ------
    InputError
        Naming an option that cannot be, folders that are missing or empty, sources that are
        missing or shorter or longer than their mixture, or files that are no audio, have several
        channels or too low a rate.

    Example
    -------
    >>> import numpy as np
    >>> import soundfile as sf
    >>> tmpdir = Path(getfixture("tmpdir"))
    >>> for split in ("train-100", "dev", "test"):
    ...     for part in ("mix_clean", "s1", "s2"):
    ...         folder = tmpdir / "Libri2Mix" / "wav8k" / "min" / split / part
    ...         folder.mkdir(parents=True)
    ...         sf.write(folder / "an-id.wav", np.ones(800), 8000)
    >>> prepare_librimix(str(tmpdir), str(tmpdir / "manifests"))
    >>> sorted(path.name for path in (tmpdir / "manifests").iterdir())
    ['mix_test.json', 'mix_train.json', 'mix_valid.json']
    """
    if skip_prep:
        check_manifests(save_folder, sample_rate, allow_upsampling)
        return
    check_positive(sample_rate=sample_rate)
    _check_choices(mode=mode, mixture=mixture, num_sources=num_sources, train_split=train_split)
    root = corpus_root(data_folder)
    name = f"Libri{num_sources}Mix"
    place = "" if root.absolute().name == name else f"{name}/"
    place += _rate_folder(root / place, sample_rate)
    info_of = partial(mono_info, sample_rate=sample_rate, allow_upsampling=allow_upsampling)
    faults, manifests = Faults(f"data_folder {root}"), {}
    for split, part in {"train": train_split, "valid": "dev", "test": "test"}.items():
        folder = f"{place}/{mode}/{part}"
        parts = [root / folder / f"s{number}" for number in range(1, num_sources + 1)]

        def sources_of(mix: Path, parts: list[Path] = parts) -> list[Path]:
            return [part / mix.name for part in parts]

        with faults.noted():
            mixtures = by_stem(find_audio(root, f"{folder}/{mixture}", ORIGIN), faults)
            manifests[split] = mixture_entries(root, mixtures, sources_of, info_of, faults)
    faults.refuse_any()
    for split, manifest in manifests.items():
        write_manifest(save_folder, f"mix_{split}", manifest)


def _check_choices(**options: str | int) -> None:
    for name, value in options.items():
        if value not in CHOICES[name]:
            accepted = ", ".join(map(str, CHOICES[name]))
            raise InputError(f"{name} is {value!r}, but must be one of {accepted}")


def _rate_folder(mixtures: Path, sample_rate: int) -> str:
    """Of the folders that are there, that of the next rate from the network's on, or the highest.

    Where none is there, the one that should be.
    """
    wanted = sorted(RATE_FOLDERS, key=lambda rate: (rate < sample_rate, abs(rate - sample_rate)))
    there = [rate for rate in wanted if (mixtures / RATE_FOLDERS[rate]).is_dir()]
    return RATE_FOLDERS[(there or wanted)[0]]
