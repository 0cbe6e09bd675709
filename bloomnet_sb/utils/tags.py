"""What a recording keeps beside its sound, carried over to its result."""

import io
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import mutagen
import soundfile as sf
from mutagen.aiff import AIFF
from mutagen.apev2 import APETextValue, APEv2
from mutagen.easyid3 import EasyID3
from mutagen.easymp4 import EasyMP4Tags
from mutagen.flac import FLAC
from mutagen.id3 import COMM, ID3, TXXX, Frame, TextFrame
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4FreeForm, MP4Tags
from mutagen.wave import WAVE

from bloomnet_sb.utils.audio_formats import Encoding
from bloomnet_sb.utils.media import USUAL_NAMES, has_chapters, has_cover, media_tags
from bloomnet_sb.utils.riff import NOT_CARRIED, carry_chunks, chunks_of, speaker_mask

WAV_FORMATS, AIFF_FORMATS = ("WAV", "WAVEX", "RF64"), ("AIFF",)
# What libsndfile writes tags into, that mutagen does not
WITH_STRINGS = (*WAV_FORMATS, *AIFF_FORMATS, "CAF")
# Which names libsndfile has for what mutagen calls otherwise
STRINGS = (
    "title", "copyright", "artist", "comment", "date", "album", "license", "tracknumber", "genre",
)  # fmt: skip
WRITERS = ("encoder", "encodedby", "software", "tsse", "\u00a9too")
PICTURES = re.compile("APIC|covr|cover art|metadata_block_picture", re.IGNORECASE)
# Of MP4, those that EasyMP4 does not know
ATOMS = {"\u00a9wrt": "composer", "\u00a9lyr": "lyrics"}
# Blocks of FLAC: application, cue sheet, picture
FLAC_BLOCKS = (2, 5, 6)
# Of a WAV or AIFF file, by what they are
CHUNKS = {
    "cue ": "cue points", "smpl": "loops", "MARK": "cue points", "INST": "loops",
    "bext": "bext", "iXML": "iXML", "axml": "axml", "chna": "chna", "LIST": "", "id3 ": "",
    "ID3 ": "", "NAME": "", "AUTH": "", "ANNO": "", "(c) ": "", "COMT": "comments",
}  # fmt: skip

Tags = dict[str, list[str]]


def tags_before(source: str | Path, encoding: Encoding) -> dict[str, str]:
    """The tags of a file that are to be set before the samples of another are written.

    Arguments
    ---------
    source : str or Path
        The file.
    encoding : Encoding
        The other's.

    Returns
    -------
    dict
        By the names of soundfile's attributes; none where `tags_after` carries them over.

    Example
    -------
    >>> tags_before("tests/samples/demo/noisy_0dB.flac", Encoding("WAV", "PCM_16"))
    {}
    """
    if encoding.format not in WITH_STRINGS or _same_chunks(source, encoding):
        return {}
    tags, _ = _tags_of(source)
    return {name: ", ".join(values) for name, values in tags.items() if values and name in STRINGS}


def tags_after(source: str | Path, target: Path, encoding: Encoding) -> list[str]:
    """Carry over what a file keeps beside its sound to another that is written but for that.

    Arguments
    ---------
    source : str or Path
        The file.
    target : Path
        The other.
    encoding : Encoding
        The other's.

    Returns
    -------
    list of str
        What could not be carried over.

    Example
    -------
    >>> import shutil
    >>> target = Path(getfixture("tmpdir")) / "a.flac"
    >>> _ = shutil.copy("tests/samples/demo/noisy_0dB.flac", target)
    >>> tags_after("tests/samples/demo/clean_0dB.flac", target, Encoding("FLAC", "PCM_16"))
    []
    """
    if _same_chunks(source, encoding):
        return carry_chunks(source, target)
    tags, unreadable = _tags_of(source)
    lost = _lost_chunks(source) + (["the chapters"] if has_chapters(source) else []) + unreadable
    try:
        kept, pictures = _write_tags(source, target, tags, encoding)
    except mutagen.MutagenError:
        kept, pictures = set(), True
    lost += sorted(set(tags) - kept)
    return lost if pictures or unreadable else [*lost, "the picture"]


def _same_chunks(source: str | Path, encoding: Encoding) -> bool:
    family = WAV_FORMATS if encoding.format in WAV_FORMATS else AIFF_FORMATS
    names = {chunk.name for chunk in chunks_of(source)}
    own = {WAV_FORMATS: b"fmt ", AIFF_FORMATS: b"COMM"}[family]
    return encoding.format in family and own in names


def _lost_chunks(source: str | Path) -> list[str]:
    """What of a WAV or AIFF file other formats have no place for."""
    names = {chunk.name for chunk in chunks_of(source)} - {*NOT_CARRIED}
    called = (CHUNKS.get(name, name.strip()) for name in map(bytes.decode, names))
    lost = sorted({name for name in called if name})
    return lost + (["the speaker mask"] if speaker_mask(source) else [])


def _tags_of(source: str | Path) -> tuple[Tags, list[str]]:
    """Tags by their usual names, and "tags that cannot be read" if they cannot."""
    try:
        found = mutagen.File(source)
    except mutagen.MutagenError:
        return {}, ["tags that cannot be read"]
    ape = _ape_of(source, found)
    if found is None or not (found.tags or ape):
        return _strings_of(source), []
    # Of these mutagen's own easy forms leave out what they have no name for.
    named = found.tags or {}
    if isinstance(found.tags, ID3):
        named = _named(found.tags)
    elif isinstance(found.tags, MP4Tags):
        named = {**mutagen.File(source, easy=True).tags, **_unnamed(found.tags)}
    tags = {str(name).lower(): _texts(value) for name, value in named.items()}
    if isinstance(found.tags, APEv2):
        tags = _named_usually(tags)
    tags = {
        **_named_usually({name.lower(): _texts(text) for name, text in (ape or {}).items()}),
        **tags,
    }
    if isinstance(found, WAVE | AIFF):  # which may have two kinds of tags
        tags = {**_strings_of(source), **tags}
    # Who wrote the input did not write the result; pictures are looked for elsewhere.
    tags = {n: t for n, t in tags.items() if n not in WRITERS and not PICTURES.match(n)}
    return tags or _strings_of(source), []


def _ape_of(source: str | Path, found: mutagen.FileType | None) -> APEv2 | None:
    """The APE tags that some programs write behind MP3, where mutagen looks for ID3."""
    if isinstance(found, MP3):
        with suppress(mutagen.MutagenError):
            return APEv2(source)
    return None


def _named_usually(tags: Tags) -> Tags:
    return {USUAL_NAMES.get(name, name): texts for name, texts in tags.items()}


def _unnamed(atoms: MP4Tags) -> dict:
    """The atoms for which `EasyMP4Tags` has no name."""
    known = _Asked()
    for name, get in EasyMP4Tags.Get.items():
        with suppress(KeyError):
            get(known, name)
    names = {atom: ATOMS.get(atom, atom.rpartition(":")[2]) for atom in {*atoms} - known.names}
    return {name: atoms[atom] for atom, name in names.items()}


class _Asked(dict):
    """A mapping that holds nothing and notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __missing__(self, name: str) -> None:
        self.names.add(name)
        raise KeyError(name)


def _named(frames: ID3) -> Tags:
    """The texts of ID3 frames by the names of `EasyID3`, or by the frames' own if it has none."""
    tags: Tags = {}
    for frame in frames.values():
        for name, texts in _names_of(frame).items():
            tags.setdefault(name, []).extend(texts)
    return tags


def _names_of(frame: Frame) -> Tags:
    if frame.HashKey.startswith("COMM::"):  # one without a description
        return {"comment": _texts(frame)}
    alone, file = ID3(), io.BytesIO()
    alone.add(frame)
    alone.save(file, v1=0)
    file.seek(0)
    texts = _texts(frame)
    return dict(EasyID3(file)) or {frame.HashKey if texts else frame.FrameID: texts}


def _strings_of(source: str | Path) -> Tags:
    try:
        with sf.SoundFile(os.fsencode(source)) as file:
            strings = file.copy_metadata()
    except (sf.SoundFileError, TypeError):  # what PyAV reads
        strings = media_tags(source)
    return {name: [text] for name, text in strings.items() if name not in WRITERS}


def _texts(value: object) -> list[str]:
    if isinstance(value, Frame):
        return list(map(str, value)) if isinstance(value, TextFrame) else []
    if isinstance(value, APETextValue):
        return list(value)
    values = value if isinstance(value, list) else [value]
    return [text for text in map(_text, values) if text is not None]


def _text(item: object) -> str | None:
    """What a value of a tag says; None for what is no text, or a flag for players."""
    if isinstance(item, MP4FreeForm):
        return bytes(item).decode(errors="replace")
    return str(item) if isinstance(item, str | int) and not isinstance(item, bool) else None


def _has_picture(source: str | Path, found: mutagen.FileType | None) -> bool:
    if found is None:
        return has_cover(source)
    names = map(str, found.tags.keys() if found.tags else ())
    return bool(getattr(found, "pictures", None)) or any(map(PICTURES.match, names))


def _write_tags(
    source: str | Path, target: Path, tags: Tags, encoding: Encoding
) -> tuple[set[str], bool]:
    """Write tags by mutagen; which are written, and whether pictures are, if there are any."""
    full = mutagen.File(source)
    if encoding.format in WITH_STRINGS:
        return set(_strings_of(target)), not _has_picture(source, full)
    written = mutagen.File(target)
    if isinstance(written, MP3) and (ape := _ape_of(source, full)):
        ape.save(target)
    both_id3 = isinstance(written, MP3) and full is not None and isinstance(full.tags, ID3)
    if both_id3 or (type(full) is type(written) and full is not None):
        if full.tags or getattr(full, "pictures", None):
            _copy_tags(full, written)
            written.save()
        return set(tags), True
    kept = _write_easily(target, tags) if written is not None and tags else set()
    return kept, not _has_picture(source, full)


def _write_easily(target: Path, tags: Tags) -> set[str]:
    written = mutagen.File(target, easy=True)
    if written.tags is None:
        written.add_tags()
    kept = set()
    for name, texts in tags.items():
        if not texts:  # what is no text
            continue
        try:
            written[name] = texts
        except (KeyError, ValueError):  # one for which ID3 has no usual name
            continue
        kept.add(name)
    written.save()
    rest = {name: texts for name, texts in tags.items() if texts and name not in kept}
    full = mutagen.File(target)
    if not rest or not isinstance(full.tags, ID3):
        return kept
    for name, texts in rest.items():
        if name == "comment":
            full.tags.add(COMM(encoding=3, lang="XXX", desc="", text=texts))
        else:
            full.tags.add(TXXX(encoding=3, desc=name, text=texts))
    full.save()
    return kept | set(rest)


def _copy_tags(full: Any, written: Any) -> None:
    """Between two files whose tags are of one class of mutagen's, which has no types for files."""
    if written.tags is None:
        written.add_tags()
    if isinstance(full.tags, ID3):
        for frame in full.tags.values():
            written.tags.add(frame)
        return
    comments = [(name, text) for name, text in full.tags or [] if name.lower() not in WRITERS]
    written.tags[:] = comments
    if isinstance(full, FLAC):
        written.metadata_blocks += [b for b in full.metadata_blocks if b.code in FLAC_BLOCKS]
