"""Corpora in stores: files and shards are copied here, enhanced, and their results put there."""

import hashlib
import json
import posixpath
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory, mkdtemp
from typing import NamedTuple

from bloomnet_sb.corpus.lists import is_list, read_addresses
from bloomnet_sb.corpus.parts import Part, enhance_parts, parts_of_shards
from bloomnet_sb.corpus.shards import check_found, is_shard
from bloomnet_sb.corpus.tasks import Task, groups_of_size, run_here
from bloomnet_sb.inference.choice import Choice
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.inference.many_files import enhance_many
from bloomnet_sb.inference.places import name_results, refusal
from bloomnet_sb.inference.report import REPORT, absolute, is_result, read_report
from bloomnet_sb.inference.workers import Run
from bloomnet_sb.utils.audio_formats import MEDIA_SUFFIXES, READABLE_SUFFIXES, AudioInfo
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.folders import LeftOut
from bloomnet_sb.utils.stores import Store, place_of

# So much is copied here at once, and done again at most after a kill
GROUP_BYTES, GROUP_FILES = 32 * 10**6, 256
# What a file of a store is taken for by its name, before it was read
LIKELY = AudioInfo(16000, 16000, 1)


class Item(NamedTuple):
    """A file of a store.

    Arguments
    ---------
    address : str
        Its address, or a path of this machine.
    place : str
        The place of its folder below that which was named, "" for that itself.
    state : list
        What changes when it does.
    size : int
        In bytes.
    """

    address: str
    place: str
    state: list
    size: int

    @property
    def named(self) -> tuple[Path, Path]:
        """Its name and its place."""
        return Path(posixpath.basename(self.address)), Path(self.place)


class Listed(NamedTuple):
    """What is to be enhanced: recordings, or shards; and what was beside them."""

    files: list[Item]
    shards: list[Item]
    left_out: list[LeftOut]


def list_items(inputs: Iterable[str], output: str) -> Listed:
    """Find files and shards by their suffixes: folders and lists of them, in stores and here.

    Arguments
    ---------
    inputs : iterable of str
        What a user named.
    output : str
        The folder of the results, which is not looked into.

    Raises
    ------
    InputError
        If one names nothing, is the folder of the results, cannot be read, or there are both files
        and shards.

    Example
    -------
    >>> listed = list_items(["tests/samples/demo"], "memory://out")
    >>> len(listed.files), posixpath.basename(listed.files[0].address)
    (4, 'clean_0dB.flac')
    """
    files: dict[str, Item] = {}
    shards: dict[str, Item] = {}
    left_out: list[LeftOut] = []
    for address in inputs:
        found = _items_of(address, output)
        if not found:
            raise InputError(f"{address}: holds no file")
        for item in found:
            suffix = PurePosixPath(item.address).suffix.lower()
            name = posixpath.basename(item.address)
            if is_shard(Path(name)):
                shards[item.address] = item
            elif suffix in (*READABLE_SUFFIXES, *MEDIA_SUFFIXES) and not name.startswith("._"):
                files[item.address] = item
            else:
                left_out.append(LeftOut(Path(item.address), "no audio"))
    check_found(files, shards, output)
    return Listed(list(files.values()), list(shards.values()), left_out)


def _items_of(address: str, output: str) -> list[Item]:
    store = Store(address)
    if store.is_folder():
        if place_of(store.address) == place_of(output):
            raise InputError(f"{output}: where the files are; name another folder for the results")
        results = f"{place_of(output)}/"
        root = f"{place_of(store.address)}/"
        return [
            Item(store.address_of(name), posixpath.dirname(name), about.state, about.size)
            for name, about in store.files().items()
            if not f"{root}{name}".startswith(results)
        ]
    if not is_list(Path(posixpath.basename(address))):
        about = store.stored()
        return [Item(address, "", about.state, about.size)]
    with TemporaryDirectory() as folder:
        store.fetch(copy := Path(folder) / posixpath.basename(address))
        return [_item(*entry) for entry in read_addresses(copy, address)]


def _item(address: str, place: str) -> Item:
    try:
        about = Store(address).stored()
    except InputError:  # which is said when its turn comes
        return Item(address, place, [], 0)
    return Item(address, place, about.state, about.size)


@dataclass
class StoredTask(Task):
    """Files or a shard that are copied here; the result is what the report has of them.

    Arguments
    ---------
    items : list of Item
        The files, or the shard.
    output : str
        The address of the folder of the results.
    results : list of str
        For files: the names of their results in it.
    part : str
        For a shard, or files that become one: its name, a folder or a .tar file.
    first : int
        For files that become a shard: the number of the first.
    taken : frozenset of str
        For a folder: names of files that are another's, and are not overwritten.

    Example
    -------
    >>> item = Item("s3://bucket/a.wav", "", [], 1)
    >>> StoredTask([item], "s3://out", ["a.wav"]).failed("a worker died over it")[0]["output"]
    's3://out/a.wav'
    """

    items: list[Item]
    output: str
    results: Sequence[str] = ()
    part: str = ""
    first: int = 0
    taken: frozenset[str] = frozenset()

    def state(self) -> list:
        """What changes when its files do."""
        about = [[absolute(item.address), item.place, item.state] for item in self.items]
        return [hashlib.sha256(json.dumps(about).encode()).hexdigest()]

    def prepare(self) -> None:
        """Copy the files here."""
        self._here = Path(mkdtemp(prefix="bloomnet-"))
        self._lost: dict[int, str] = {}
        for number, item in enumerate(self.items):
            try:
                Store(item.address).fetch(self._local(number))
            except InputError as error:
                self._lost[number] = str(error)

    def run(self, enhancer: BloomEnhancer, choice: Choice, run: Run) -> list[dict]:
        """Enhance them; the entries of the report here."""
        out = self._here / "out"
        there = [number for number in range(len(self.items)) if number not in self._lost]
        if self.part:
            parts = self._parts(out, there)
            tasks = {"enhancer": enhancer, "run_tasks": run_here(enhancer, run)}
            enhance_parts(parts, out, choice, **tasks)  # type: ignore[arg-type]
        else:
            pairs = [(self._local(number), out / self.results[number]) for number in there]
            enhance_many(pairs, out, choice, enhancer=enhancer, run=run)
        entries = read_report(out / REPORT)
        self._complete = any("complete" in entry for entry in entries)
        return [entry for entry in entries if "output" in entry]

    def finish(self, result: list[dict]) -> list[dict]:
        """Put the results into their folder; the report's entries."""
        out, store = self._here / "out", Store(self.output)
        put: set[str] = set()
        entries = [self._lost_entry(number, error) for number, error in self._lost.items()]
        for entry in result:
            number = self._number_of(entry["input"])
            name = Path(entry["output"]).relative_to(out).as_posix()
            here = str(self._local(number)) if number is not None else ""
            try:
                if is_result(entry) and name in self.taken:
                    entry["error"] = refusal(entry["output"])
                elif is_result(entry) and name not in put:
                    store.put(out / name, name)
                    put.add(name)
            except InputError as error:
                entry["error"], self._complete = str(error), False
            if number is not None:
                item = self.items[number]
                for key in ("input", "error"):
                    entry[key] = entry[key] and entry[key].replace(here, item.address)
                entry["state"] = item.state
            for key in ("output", "part", "error"):
                if entry.get(key):
                    entry[key] = entry[key].replace(str(out), self.output)
            entries.append(entry)
        # One that was listed may come another time; where another is named, the state changes.
        passing = any(self.items[number].state for number in self._lost)
        if self.part and self._complete and not passing:
            entries.append({"part": f"{self.output}/{self.part}", "complete": self.state()})
        shutil.rmtree(self._here, ignore_errors=True)
        return entries

    def failed(self, reason: str) -> list[dict]:
        """Each file with the reason."""
        return [self._lost_entry(n, f"{i.address}: {reason}") for n, i in enumerate(self.items)]

    def _local(self, number: int) -> Path:
        return self._here / "in" / str(number) / posixpath.basename(self.items[number].address)

    def _number_of(self, path: str) -> int | None:
        """Which of the files a path here is, or is in."""
        try:
            return int(Path(path).relative_to(self._here / "in").parts[0])
        except ValueError:
            return None

    def _parts(self, out: Path, there: list[int]) -> list[Part]:
        packed = self.part.endswith(".tar")
        if is_shard(Path(self.items[0].address)):
            return parts_of_shards([self._local(number) for number in there], out, packed)
        files = [(self._local(number), Path(self.items[number].place)) for number in there]
        return [Part(out / self.part, None, files, self.first)] if files else []

    def _lost_entry(self, number: int, error: str) -> dict:
        item, name = self.items[number], self.part or self.results[number]
        about = {"input": item.address, "output": f"{self.output}/{name}", "state": item.state}
        about |= {"part": f"{self.output}/{self.part}"} if self.part else {}
        return about | {"error": error, "notes": []}


def tasks_of_shards(shards: Iterable[Item], output: str, packed: bool) -> list[StoredTask]:
    """A task for each shard.

    Raises
    ------
    InputError
        If two have one name.

    Example
    -------
    >>> tasks_of_shards([Item("s3://in/a.tar", "", [], 1)], "s3://out", packed=False)[0].part
    'a'
    """
    tasks: dict[str, StoredTask] = {}
    for item in shards:
        stem = PurePosixPath(item.address).stem
        part = f"{stem}.tar" if packed else stem
        if part in tasks:
            raise InputError(f"{output}/{part}: would be the result of two shards")
        tasks[part] = StoredTask([item], output, part=part)
    return list(tasks.values())


def tasks_of_packed(
    files: Iterable[Item], output: str, shard_mb: int, name: str
) -> list[StoredTask]:
    """Tasks of files that become shards of about one size, see `parts_of_files`.

    Example
    -------
    >>> tasks_of_packed([Item("s3://in/a.wav", "", [], 1)], "s3://out", 500, "enhanced")[0].part
    'enhanced-000000.tar'
    """
    tasks: list[StoredTask] = []
    for group in _groups(files, shard_mb * 10**6):
        first = tasks[-1].first + len(tasks[-1].items) if tasks else 0
        part = f"{name}-{len(tasks):06d}.tar"
        tasks.append(StoredTask(group, output, part=part, first=first))
    return tasks


def tasks_of_files(pairs: Iterable[tuple[Item, str]], output: str) -> list[StoredTask]:
    """Tasks of files with the names of their results, each of what is copied at once.

    Example
    -------
    >>> items = [Item(f"s3://in/{n}.wav", "", [], 2 * 10**7) for n in range(3)]
    >>> len(tasks_of_files([(item, item.address[-5:]) for item in items], "s3://out"))
    3
    """
    names = {item.address: name for item, name in pairs}
    items = [item for item, _ in pairs]
    return [
        StoredTask(group, output, [names[item.address] for item in group])
        for group in _groups(items, GROUP_BYTES, GROUP_FILES)
    ]


def named_results(files: Sequence[Item]) -> list[tuple[Item, str]]:
    """Each file with the name of its result in the folder of the results, by its suffix.

    Example
    -------
    >>> item = Item("s3://in/deeper/call.m4a", "deeper", [], 1)
    >>> named_results([item])[0][1]
    'deeper/call.flac'
    """
    named = name_results((item.named for item in files), Path(), lambda path: LIKELY)
    return [(item, name.as_posix()) for item, (_, name) in zip(files, named, strict=True)]


def check_results(results: Iterable[tuple[Item, str]], inputs: Iterable[Item], output: str) -> None:
    """Refuse to write over an input, however it is named, or two results to one place.

    Arguments
    ---------
    results : iterable of (Item, str)
        What is enhanced, with the names of the results.
    inputs : iterable of Item
        All inputs.
    output : str
        The folder of the results.

    Raises
    ------
    InputError
        Naming the first such result.

    Example
    -------
    >>> item = Item("s3://in/a.wav", "", [], 1)
    >>> check_results([(item, "a.wav")], [item], "s3://out")
    """
    places = {place_of(item.address) for item in inputs}
    taken: dict[str, str] = {}
    for item, name in results:
        address = f"{output}/{name}"
        place = place_of(address)
        if place in places:
            raise InputError(f"{address}: is an input; its result would be written over it")
        if (first := taken.setdefault(place, item.address)) != item.address:
            raise InputError(f"{address}: would be the result of both {first} and {item.address}")


def _groups(items: Iterable[Item], most_bytes: int, most: int | None = None) -> list[list[Item]]:
    return groups_of_size(((item, item.size) for item in items), most_bytes, most)
