"""Memory that forward passes on a CPU share."""

import json
import os
import platform
import subprocess
import sys

import pytest

from eval.files.places import ROOT

PASSES = """
import json, resource, sys
import torch
from torch import nn
from eval.networks.memory import keep_memory
kept = keep_memory() if sys.argv[1] == "keep" else None
torch.manual_seed(0)
network = nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1) for _ in range(4)), nn.AdaptiveAvgPool2d(1))
pixels = torch.rand(4, 8, 224, 224)
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
with torch.no_grad():
    for _ in range(3):
        answer = network(pixels)
    before = faults()
    for _ in range(10):
        answer = network(pixels)
print(json.dumps([kept, faults() - before, answer.sum().item()]))
"""


def passes(how, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", PASSES, how], cwd=ROOT, env=clean | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_pages_are_fetched_once_and_nothing_else_changes():
    (_, fetched, usual), (kept, again, actual) = passes("as it is"), passes("keep")
    assert kept is True
    assert again < fetched / 20
    assert actual == usual


def test_a_user_s_own_settings_of_the_allocator_stand():
    assert passes("keep", MALLOC_ARENA_MAX="2")[0] is False
    assert passes("keep", GLIBC_TUNABLES="glibc.malloc.trim_threshold=131072")[0] is False


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_what_it_saves_is_measured(capsys):
    from scripts.maintain.benchmark.passes import main

    assert main(["--network", "mobilenet_v2", "--side", "64", "--pictures", "1", "3", "--repeat", "1"]) == 0
    returned, kept, head, _, *rows = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["memory"] for line in (returned, kept)] == ["returned", "kept"]
    assert [cell.strip() for cell in head.split("|")[1:-1]] == ["network", "memory", "1", "3"]
    for record, row in zip((returned, kept), rows, strict=True):
        ms = json.loads(record)["ms"]
        assert [float(cell) for cell in row.split("|")[3:5]] == pytest.approx([ms["1"], ms["3"]], abs=0.06)
        assert min(ms.values()) > 0
