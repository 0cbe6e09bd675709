"""The tests with each supported version of Python: `nox`, or `nox -s tests-3.12`.

Installs the ranges of setup.py, as a user's environment does; `make test` installs the pins.
"""

import nox

nox.options.reuse_existing_virtualenvs = True


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
