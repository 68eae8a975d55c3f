"""Fixtures, and the logs of all members in the report of a failed test."""
import os

import pytest

import harness
import real_etcd


def pytest_sessionstart(session):
    if not os.access(harness.BINARY, os.X_OK):
        pytest.exit(f"there is no {harness.BINARY}: run `make build` first", returncode=2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for member in harness.MEMBERS:
            report.sections.append((f"log of {member.name}", member.log_tail()))


@pytest.fixture
def make_cluster():
    """A factory of clusters that end with the test: make_cluster(3, start=False, ...)."""
    made = []

    def make(count=3, start=True, **options):
        cluster = harness.Cluster(count, **options)
        made.append(cluster)
        return cluster.start() if start else cluster
    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
def cluster(make_cluster):
    """Three members with small timings and a leader, for this test alone."""
    return make_cluster()


@pytest.fixture(scope="module")
def shared():
    """Three members for a whole file of tests that leave them as they were."""
    with harness.Cluster(3) as cluster:
        yield cluster.start()


@pytest.fixture(scope="module")
def single():
    """A cluster of one for a whole file."""
    with harness.Cluster(1) as cluster:
        yield cluster.start()[0]


@pytest.fixture(scope="module")
def store():
    """Three members that speak etcd's API, for a whole file; tests choose names of their own."""
    with real_etcd.make_store(3) as made:
        yield made.start()
