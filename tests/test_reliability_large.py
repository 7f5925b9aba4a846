"""The cost of `scripts.reliability` over thirty runs of seven thousand rows."""

import resource
import subprocess
import sys
import time

import pytest

from eval.files.places import ROOT
from tests.synthetic_runs import rows, write_run

pytestmark = pytest.mark.slow
MEASURES = ("hit", "energy", "pixel_ap", "iou_best", "iou_area", "gini", "entropy")


def test_thirty_runs_of_seven_thousand_rows(tmp_path):
    for number in range(10):
        for place, network in enumerate(("vgg16", "resnet50", "convnext_tiny")):
            write_run(tmp_path, f"method{number}", rows(3506, 0.4 + 0.03 * number, 10 * place + number), model=network)
    begun = time.monotonic()
    told = subprocess.run(
        [sys.executable, "-m", "scripts.reliability", "--records", tmp_path / "records", "--measures", *MEASURES],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    seconds = time.monotonic() - begun
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2  # in GB
    print(f"30 runs: {seconds:.1f} s, {memory:.2f} GB")
    assert all(measure in told for measure in MEASURES)
    assert seconds < 20
    assert memory < 1
