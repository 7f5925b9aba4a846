"""Each of pytest's processes computes on one core: threads that wait for one another cost a third of the time."""

import os
import sys

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported; the processes of tests inherit it


@pytest.fixture(autouse=True)
def _modules_of_the_test(tmp_path_factory):
    """A module that a test wrote is gone with the test: the next one's module of that name is its own."""
    before = set(sys.modules)
    yield
    folder = str(tmp_path_factory.getbasetemp())
    for name in sys.modules.keys() - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(folder):
            del sys.modules[name]
