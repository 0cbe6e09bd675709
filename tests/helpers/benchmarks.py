"""What the benchmarks say of themselves."""

import json
from functools import cache

from tests.helpers.recipes import REPOSITORY, run_python


@cache
def benchmark_helps() -> dict[str, str]:
    """What `--help` of each benchmark says, by its name; none of them may import torch for it."""
    code = (
        "import contextlib, io, json, pathlib, runpy, sys\n"
        "sys.modules['torch'] = None\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "helps = {}\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).glob('*.py')):\n"
        "    if '__main__' not in path.read_text():\n"
        "        continue\n"
        "    sys.argv[1:] = ['--help']\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as said:\n"
        "        with contextlib.suppress(SystemExit):\n"
        "            runpy.run_path(str(path), run_name='__main__')\n"
        "    helps[path.stem] = said.getvalue()\n"
        "print(json.dumps(helps))\n"
    )
    result = run_python("-c", code, REPOSITORY / "benchmarks", COLUMNS="200")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)
