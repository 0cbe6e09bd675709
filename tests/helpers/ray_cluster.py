"""A cluster of three machines on this one, whose workers die over files of certain names."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.helpers.recipes import REPOSITORY

MACHINE = {"num_cpus": 1, "object_store_memory": 10**8}
# What the cluster's processes run as they start. Over a file with "deadly" in its name each dies;
# with "kills", "kills_machine" and "waits" the first that reads it does something, which its mark
# beside the file says: it dies, its machine does, or it waits to be killed.
HOSTILE = """
import os, signal, sys, time, soundfile

def first(file):
    try:
        os.close(os.open(file + ".read", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

class Hostile(soundfile.SoundFile):
    def __init__(self, file, *arguments, **options):
        name = os.fsdecode(file) if isinstance(file, bytes | str) else ""
        name = "" if name.endswith(".partial") else name  # which is written
        if "deadly" in name:
            os._exit(9)
        if "kills_machine" in name and first(name):
            os.kill(os.getppid(), signal.SIGKILL)  # the raylet, which started this worker
            os._exit(9)
        elif "kills" in name and first(name):
            os.kill(os.getpid(), signal.SIGKILL)
        elif "waits" in name and first(name):
            time.sleep(600)
        super().__init__(file, *arguments, **options)

soundfile.SoundFile = Hostile
"""


@contextlib.contextmanager
def ray_cluster(folder: Path) -> Iterator:
    """The cluster: a head that has no workers, and two machines with a core each."""
    from ray.cluster_utils import Cluster

    (folder / "sitecustomize.py").write_text(HOSTILE)
    environment = {
        "PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)]),
        "OMP_NUM_THREADS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # else they wait for all that runs beside them
    }
    cluster = Cluster()
    with patch.dict(os.environ, environment):
        try:
            start_machine(cluster, num_cpus=0, include_dashboard=False)
            for _ in range(2):
                start_machine(cluster)
            yield cluster
        finally:
            cluster.shutdown()


def start_machine(cluster, **options) -> None:
    """Add a machine, which Ray gives half a minute to start; where that is too little, skip."""
    try:
        cluster.add_node(**MACHINE | options)
    except Exception as error:
        if "timed out during startup" not in str(error):
            raise
        pytest.skip("Ray does not start on a machine that is so busy")
