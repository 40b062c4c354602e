"""A Ray cluster of two nodes of one CPU each in this machine, shared by all tests that need one."""

import os

import pytest


def small(cluster, **more):
    return cluster.add_node(
        num_cpus=1, include_dashboard=False, object_store_memory=80 << 20, memory=4 << 30, **more
    )


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes; the program's own connection is to the first, which has the cluster's head."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(__import__("sys").path))
    cluster = Cluster()
    small(cluster)
    small(cluster)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
