"""Enhancing a corpus from stores or into one: what is left to do, its report, and its tables."""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tqdm import tqdm

from bloomnet_sb.corpus.leftovers import by_part, complete_parts, left_over
from bloomnet_sb.corpus.lists import is_list, names_addresses
from bloomnet_sb.corpus.on_ray import ray_engine
from bloomnet_sb.corpus.ray_workers import RayOptions
from bloomnet_sb.corpus.report_tables import CSV, HTML, Joined, write_tables
from bloomnet_sb.corpus.shares import WHOLE, Share, report_name
from bloomnet_sb.corpus.stored import (
    Item,
    StoredTask,
    check_results,
    list_items,
    named_results,
    tasks_of_files,
    tasks_of_packed,
    tasks_of_shards,
)
from bloomnet_sb.corpus.tasks import RunTasks, run_in_processes
from bloomnet_sb.inference.choice import Choice
from bloomnet_sb.inference.many_files import Summary
from bloomnet_sb.inference.places import refusal
from bloomnet_sb.inference.report import (
    absolute,
    carried_over,
    entries_of,
    first_entries,
    is_result,
    lines_of,
    own_entries_of,
    results_before,
    seen_from_here,
)
from bloomnet_sb.utils.atomic_files import made_and_locked
from bloomnet_sb.utils.errors import InputError, check_positive
from bloomnet_sb.utils.folders import LeftOut
from bloomnet_sb.utils.stores import Store, Stored, is_address

# A store has no lines to be added to: what was done since is put as a piece of the report, so often
PIECE_SECONDS = 30.0


def in_stores(inputs: Iterable[str], output: str) -> bool:
    """Whether an input, one that a list names, or the output has an address.

    Example
    -------
    >>> in_stores(["s3://bucket/in"], "out"), in_stores(["in"], "out")
    (True, False)
    """
    return any(map(is_address, (*inputs, output))) or any(map(_lists_addresses, inputs))


def _lists_addresses(path: str) -> bool:
    return is_list(Path(path)) and names_addresses(Path(path))


def enhance_stored(
    inputs: Sequence[str],
    output: str,
    choice: Choice,
    processes: int = 1,
    force: bool = False,
    to_shards: bool = False,
    shard_mb: int = 500,
    share: Share = WHOLE,
    ray: RayOptions | None = None,
) -> tuple[Summary, list[LeftOut], list[str]]:
    """Enhance files, folders, lists or shards of stores, or into one.

    As `enhance_corpus` does it; a group of files, or a shard, is copied to this machine, or on Ray
    to that of a worker, and its results are put into the folder when they are done. A kill loses
    what is in work, and what was done since the report was last put, half a minute.

    Arguments
    ---------
    inputs : sequence of str
        Addresses, or paths.
    output : str
        The folder of the results.
    choice, processes, force, to_shards, shard_mb, share, ray
        As `enhance_corpus` takes them.

    Returns
    -------
    (Summary, list of LeftOut, list of str)
        What became of it, what was no recording, and what a user should know of it.

    Raises
    ------
    InputError
        As `enhance_corpus`, or if a store cannot be used, a result would be written over an input
        or another result.

    Example
    -------
    >>> choice = Choice("convtasnet-16k", blocks=1)
    >>> files = ["tests/samples/demo/noisy_0dB.flac"]
    >>> enhance_stored(files, "memory://enhanced", choice)[0].enhanced
    1
    >>> Store("memory://enhanced").files().keys()
    dict_keys(['noisy_0dB.flac', 'report.csv', 'report.html', 'report.jsonl'])
    """
    check_positive(shard_mb=shard_mb, processes=processes)
    store = Store(output)
    listed = list_items(inputs, store.address)
    shards, files = _of(share, listed.shards), _of(share, listed.files)
    tasks = tasks_of_shards(shards, store.address, to_shards)
    if is_packed := bool(to_shards and files):
        tasks = tasks_of_packed(files, store.address, shard_mb, share.packed)
    named = [] if tasks else named_results(files)
    results = named or [(task.items[0], task.part) for task in tasks]
    check_results(results, [*listed.shards, *listed.files], store.address)
    enhancer = choice.load()
    choice.check(enhancer)
    head = choice.head(enhancer)
    report = _Report(store, report_name(share))
    with ExitStack() as stack:
        here = Path(output) if store.is_local and not is_address(output) else None
        if here is not None:
            stack.enter_context(made_and_locked(here, "" if share == WHOLE else share.report))
        past = _Past(store.address, store.files(), report.read_own(), head, force)
        plan = past.plan_parts(tasks, is_packed) if tasks else past.plan_files(named)
        beginning = first_entries(head, listed.left_out, plan.begun)
        report.begin([*beginning, *past.carried(plan)])
        report.add(plan.refused)
        run_tasks: RunTasks
        if ray is not None:
            run_tasks = stack.enter_context(ray_engine(ray, head, here)).run_tasks
        else:
            run_tasks = run_in_processes(enhancer, processes)
        done = run_tasks(plan.tasks, choice)
        made = list(plan.refused)
        for _, entries in tqdm(done, unit="part", total=len(plan.tasks), disable=None):
            report.add(entries)
            made += entries
        report.end()
        complete = {entry["part"] for entry in [*plan.kept, *made] if "complete" in entry}
        if len(complete) == len(tasks):
            past.remove(plan.left_over, store)
    lines = [str(write_stored_tables(store.address).totals)] if share == WHOLE else []
    before = sum(map(is_result, plan.kept))
    errors = [entry["error"] for entry in [*plan.kept, *made] if entry.get("error")]
    return Summary(sum(map(is_result, made)), before, errors), listed.left_out, lines


def write_stored_tables(address: str) -> Joined:
    """Write report.csv and report.html of the reports in a folder of a store, see `write_tables`.

    Arguments
    ---------
    address : str
        The folder.

    Returns
    -------
    Joined
        What the reports say.

    Raises
    ------
    InputError
        As `write_tables`, or if the store cannot be used.

    Example
    -------
    >>> Store("memory://reports").write("report.jsonl", b'{"blocks": 1}\\n')
    >>> write_stored_tables("memory://reports").totals.enhanced
    0
    """
    store = Store(address)
    with TemporaryDirectory() as folder:
        for name in store.files():
            if name in (CSV, HTML):
                store.fetch(Path(folder) / name, name)
            elif name.startswith("report") and name.endswith(".jsonl"):
                lines = lines_of(_Report(store, name).read())
                (Path(folder) / name).write_text(lines, encoding="utf-8")
        try:
            joined = write_tables(folder)
        except InputError as error:
            raise InputError(str(error).replace(folder, address)) from None
        for name in (CSV, HTML):
            store.put(Path(folder) / name, name)
    return joined


class _Plan(NamedTuple):
    """What is to be done, what was, and what may not be."""

    begun: list[str]  # of the tasks alone: what is begun is known as a result
    kept: list[dict]
    refused: list[dict]
    tasks: list[StoredTask]
    left_over: set[str] = set()  # of shards of runs before, see `leftovers.left_over`


class _Past:
    """What runs before have left in the folder of the results."""

    def __init__(
        self, output: str, there: dict[str, Stored], before: list[dict], head: dict, force: bool
    ):
        self._output, self._force = output, force
        self._there = {absolute(f"{output}/{name}") for name in there}
        self._own = results_before(before)
        self._all, self._head = before, head
        self._before = before[1:] if before and before[0] == head else []

    def carried(self, plan: _Plan) -> list[dict]:
        """What the report keeps of that of the run before, see `carried_over`."""
        # The report forgets the files of what is left over at once: those are in other shards.
        again = {*plan.begun, *plan.left_over, *(entry["output"] for entry in plan.refused)}
        there = self._there.__contains__
        return carried_over(self._all, self._head, set(map(absolute, again)), there)

    def plan_files(self, named: Sequence[tuple[Item, str]]) -> _Plan:
        """Of files: those are kept that have not changed and whose results are there."""
        done = {
            (absolute(entry["input"]), absolute(entry["output"]), *entry["state"]): entry
            for entry in self._before
            if is_result(entry) and "part" not in entry and self._holds(entry["output"])
        }
        begun, kept, refused, left = [], [], [], []
        for item, name in named:
            address = f"{self._output}/{name}"
            key = (absolute(item.address), absolute(address), *item.state)
            if key in done:
                kept.append(done[key])
            elif self._is_anothers(address):
                about = {"input": item.address, "output": address, "state": item.state}
                refused.append(about | {"error": refusal(address), "notes": []})
            else:
                begun.append(address)
                left.append((item, name))
        return _Plan(begun, kept, refused, tasks_of_files(left, self._output))

    def plan_parts(self, tasks: Sequence[StoredTask], packed: bool) -> _Plan:
        """Of shards, or of files that are packed into some: those are kept that are complete."""
        states = {absolute(f"{self._output}/{task.part}"): task.state() for task in tasks}
        complete = complete_parts(self._before, states, self._holds, self._force)
        others = by_part([] if self._force else self._there - self._own, self._output)
        root = f"{absolute(self._output)}/"
        begun, refused, left = [], [], []
        for task in tasks:
            address = f"{self._output}/{task.part}"
            place = absolute(address)
            if place in complete:
                continue
            if self._is_anothers(address):
                about = {"input": task.items[0].address, "output": address, "state": []}
                about |= {"part": address, "error": refusal(address), "notes": []}
                refused.append(about)
            else:
                begun.append(address)
                taken = frozenset(path.removeprefix(root) for path in others[place])
                left.append(replace(task, taken=taken))
        kept = [e for e in self._before if "part" in e and absolute(e["part"]) in complete]
        places = (absolute(f"{self._output}/{task.part}") for task in tasks if packed)
        return _Plan(begun, kept, refused, left, left_over(places, self._own, self._all))

    def remove(self, shards: set[str], store: Store) -> None:
        """Remove those of the shards that runs before have made."""
        for place in shards & self._own & self._there:
            store.remove(place.removeprefix(f"{absolute(self._output)}/"))

    def _holds(self, address: str) -> bool:
        return absolute(address) in self._there

    def _is_anothers(self, address: str) -> bool:
        return self._holds(address) and absolute(address) not in self._own and not self._force


def _parsed(content: bytes) -> list[dict]:
    return entries_of(content.decode())


class _Report:
    """report.jsonl in a store, with pieces beside it while a run is at work."""

    def __init__(self, store: Store, name: str):
        self._store, self._name = store, name
        self._lines: list[str] = []
        self._waiting: list[str] = []
        self._count, self._put = 0, time.monotonic()

    def read_own(self) -> list[dict]:
        """As `read`; a file of its name that is none of a run before is refused."""
        return self._entries(partial(own_entries_of, self._store.address_of(self._name)))

    def read(self) -> list[dict]:
        """Its entries, those of pieces too."""
        return self._entries(_parsed)

    def _entries(self, parse: Callable[[bytes], list[dict]]) -> list[dict]:
        names = [name for name in self._store.files() if name == self._name or self._is_piece(name)]
        entries: list[dict] = []
        for name in sorted(names):
            content = self._store.read(name)
            entries += parse(content) if name == self._name else _parsed(content)
        return seen_from_here(entries)

    def begin(self, entries: list[dict]) -> None:
        """Write it anew."""
        self._lines = [lines_of(entries)]
        self.end()

    def add(self, entries: list[dict]) -> None:
        """Add entries, which are put with those of half a minute."""
        self._waiting.append(lines_of(entries))
        if time.monotonic() - self._put > PIECE_SECONDS:
            self._count += 1
            text = "".join(self._waiting)
            self._store.write(f"{self._name}.{self._count:06d}", text.encode())
            self._lines, self._waiting = [*self._lines, text], []
            self._put = time.monotonic()

    def end(self) -> None:
        """Put all in one."""
        self._lines += self._waiting
        self._waiting, self._put = [], time.monotonic()
        self._store.write(self._name, "".join(self._lines).encode())
        for name in filter(self._is_piece, self._store.files()):
            self._store.remove(name)

    def _is_piece(self, name: str) -> bool:
        return re.fullmatch(rf"{re.escape(self._name)}\.[0-9]+", name) is not None


def _of(share: Share, items: Sequence[Item]) -> list[Item]:
    """Those of a share; by their names, as files of this machine are shared."""
    return [item for item in items if share.of([item.named])]
