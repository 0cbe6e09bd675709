"""Splitting recordings into those for training, validation and test."""

import hashlib
import os
import re
from collections.abc import Mapping

SPLITS = ("train", "valid", "test")
FEWEST = 3  # groups, or files, of which each split gets one

# How folders of corpora are called: train-clean-100, trainset_28spk_wav, dev, val, eval
WORDS = {
    "train": "train|training",
    "valid": "val|valid|validation|dev|development",
    "test": "test|testing|eval|evaluation",
}


def split_by_group(group_of: Mapping[str, str]) -> dict[str, str]:
    """Split names so that a group, such as a speaker's, is in one split.

    By a hash of the groups' names: about a tenth of the groups each are for test and validation, at
    least one and at most a fifth. What is added to many groups moves few.

    Arguments
    ---------
    group_of : mapping
        Name to group; of three groups or more.

    Returns
    -------
    dict
        Name to "train", "valid" or "test".

    Example
    -------
    >>> split_by_group({"a/1": "a", "a/2": "a", "b/1": "b", "c/1": "c"})
    {'a/1': 'train', 'a/2': 'train', 'b/1': 'valid', 'c/1': 'test'}
    """
    order = sorted(set(group_of.values()), key=_place)
    most = max(len(order) // 5, 1)
    test = [group for group in order if _place(group) < 0.1][:most] or order[:1]
    rest = order[len(test) :]
    valid = [group for group in rest if _place(group) < 0.2][:most] or rest[:1]
    split_of = {**dict.fromkeys(test, "test"), **dict.fromkeys(valid, "valid")}
    return {name: split_of.get(group, "train") for name, group in group_of.items()}


def named_split(folder: str) -> str | None:
    """The split that a folder is named after.

    Arguments
    ---------
    folder : str
        Its name.

    Returns
    -------
    str or None
        "train", "valid" or "test", if the name is a word for it, or begins with one that no letter
        follows, but maybe "set"; else None.

    Example
    -------
    >>> [named_split(folder) for folder in ("trainset_28spk", "Dev", "eval", "Devon")]
    ['train', 'valid', 'test', None]
    """
    for split, words in WORDS.items():
        if re.match(rf"({words})(set)?(?![^\W\d_])", folder, re.IGNORECASE):
            return split
    return None


def _place(name: str) -> float:
    """A number from 0 to 1 that a name decides."""
    return int(hashlib.sha256(os.fsencode(name)).hexdigest(), 16) / 2**256
