"""The tests with each supported version of Python: `nox -s tests`, or `nox -s tests-3.12`.

Installs the ranges of setup.py, as a user's environment does; `make test` installs the pins, and
`nox -s lowest` the lowest versions of the ranges.
"""

import nox

nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests"]


@nox.session(python=["3.10", "3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the tests, or those named after `--`."""
    session.install("-e", ".[test]")
    where = session.posargs or ["tests", "bloomnet_sb"]
    session.run(
        "python", "-m", "pytest", "-n", "auto", "--maxprocesses", "4", "--dist", "loadgroup",
        "--doctest-modules", *where,
        env={"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


# What the lowest versions could break: whatever hands something to a package or takes it from one
WITH_THE_LOWEST = [
    "tests/utils", "tests/inference", "tests/streaming", "tests/data/test_reading.py",
    "tests/pretrained", "tests/scoring/test_metrics.py", "tests/test_model.py",
]  # fmt: skip


@nox.session(python="3.11", venv_backend="uv")
def lowest(session: nox.Session) -> None:
    """Run tests with the lowest versions that setup.py names, or those named after `--`."""
    session.install("--resolution", "lowest-direct", "-e", ".[test]")
    session.run("uv", "pip", "list", external=True)
    where = session.posargs or WITH_THE_LOWEST
    session.run("python", "-m", "pytest", "-q", "-x", *where, env={"OMP_NUM_THREADS": "1"})
