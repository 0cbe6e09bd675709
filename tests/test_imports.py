"""The order of the house: what a module imports stands below it, or in its own room."""

import ast
from pathlib import Path

import pytest

import bloomnet_sb

PACKAGE = Path(bloomnet_sb.__file__).parent
# From the bottom up. A room is a folder or, by its name, a module.
ROOMS = [
    "utils", "nn", "data", "separators", "model", "scoring", "streaming", "pretrained", "inference",
    "corpus", "page", "web", "training", "cli", "__main__",
]  # fmt: skip
# Above all of them: exports, and imports nothing before it is asked for it.
ROOF = "__init__"
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(name: str) -> str:
    """The room of a module, by its name without "bloomnet_sb."; the roof for the package."""
    return name.split(".")[0] or ROOF


def imported(path: Path) -> set[str]:
    """What a file imports of this package, inside functions too, without "bloomnet_sb."."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: a relative import"
            # `from bloomnet_sb import x`: x may be a room, or what the package exports.
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= whole if node.module == "bloomnet_sb" else {node.module or ""}
    ours = [name for name in names if name.partition(".")[0] == "bloomnet_sb"]
    names = {name.partition(".")[2] for name in ours}
    return {name if room_of(name) in ROOMS else "" for name in names}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    place = path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
    if place == ROOF:
        return
    assert room_of(place) in ROOMS, "a room that is not in the list"
    allowed = ROOMS[: ROOMS.index(room_of(place)) + 1]
    upward = {name for name in imported(path) if room_of(name) not in allowed}
    if room_of(place) in ("cli", "__main__"):
        upward -= {""}  # the version
    assert not upward, f"{place} imports what stands above it"


def test_every_room_is_there():
    rooms = {room_of(".".join(path.relative_to(PACKAGE).with_suffix("").parts)) for path in MODULES}
    assert rooms == {*ROOMS, ROOF}


def test_imports_inside_functions_and_of_whole_rooms_are_seen(tmp_path):
    code = (
        "import os, bloomnet_sb.model\n"
        "from bloomnet_sb import streaming, BloomNet\n"
        "def later():\n    from bloomnet_sb.training.brain import BlockwiseBrain\n"
    )
    (tmp_path / "module.py").write_text(code)
    assert imported(tmp_path / "module.py") == {"model", "streaming", "", "training.brain"}
