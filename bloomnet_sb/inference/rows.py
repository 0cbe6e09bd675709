"""Recordings as the rows of a table: for `datasets.Dataset.map` and Ray's `map_batches`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bloomnet_sb.utils.errors import InputError

# Hugging Face's column, and the two that Ray's read_audio gives
AUDIO = "audio"
AMPLITUDE, SAMPLE_RATE = "amplitude", "sample_rate"

# What enhances samples [time] or [channels, time] of a rate in Hz
Enhance = Callable[[np.ndarray, int], np.ndarray]


def enhance_rows(rows: Mapping[str, Any], enhance: Enhance) -> dict[str, Any]:
    """A row, or a batch of rows, with its recordings enhanced; other columns are as they were.

    Arguments
    ---------
    rows : mapping of str to any
        With a column "audio" of mappings with "array" and "sampling_rate", one or a list of them
        (Hugging Face); or with the columns "amplitude" and "sample_rate", of one row or of several
        (Ray).
    enhance : callable
        Enhances samples [time] or [channels, time] of a rate in Hz.

    Returns
    -------
    dict
        The same columns.

    Raises
    ------
    InputError
        If there are no such columns.

    Example
    -------
    >>> row = {"audio": {"array": np.ones(3), "sampling_rate": 16000}, "text": "a"}
    >>> enhance_rows(row, lambda samples, rate: 0.5 * samples)
    {'audio': {'array': array([0.5, 0.5, 0.5]...), 'sampling_rate': 16000}, 'text': 'a'}
    """
    if AUDIO in rows:
        audio = rows[AUDIO]
        if isinstance(audio, Sequence | np.ndarray):
            enhanced: Any = [_enhanced(one, enhance) for one in audio]
        else:
            enhanced = _enhanced(audio, enhance)
        return {**rows, AUDIO: enhanced}
    if AMPLITUDE in rows and SAMPLE_RATE in rows:
        if np.ndim(rows[SAMPLE_RATE]) == 0:
            result = enhance(_samples(rows[AMPLITUDE]), int(rows[SAMPLE_RATE]))
        else:
            pairs = zip(rows[AMPLITUDE], rows[SAMPLE_RATE], strict=True)
            result = _column([enhance(_samples(one), int(rate)) for one, rate in pairs])
        return {**rows, AMPLITUDE: result}
    raise InputError(
        f"columns {', '.join(map(str, rows)) or 'none'}, but must have {AUDIO}, of mappings with "
        f"array and sampling_rate, or {AMPLITUDE} and {SAMPLE_RATE}"
    )


def _enhanced(audio: Any, enhance: Enhance) -> dict[str, Any]:
    """Of what has "array" and "sampling_rate", as a dict or as Hugging Face's decoder."""
    try:
        samples, rate = audio["array"], audio["sampling_rate"]
    except (KeyError, TypeError, IndexError):
        raise InputError(
            f"{AUDIO} is {type(audio).__name__}, but must have array and sampling_rate"
        ) from None
    return {"array": enhance(_samples(samples), int(rate)), "sampling_rate": rate}


def _samples(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)


def _column(arrays: list[np.ndarray]) -> np.ndarray:
    """Arrays of one shape as one; of several shapes, as what NumPy has for those."""
    if len({array.shape for array in arrays}) == 1:
        return np.stack(arrays)
    column = np.empty(len(arrays), dtype=object)
    column[:] = arrays
    return column
