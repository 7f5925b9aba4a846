"""The cost of a site of two hundred claims of all 7,013 pairs, of a claim's making and of its verification."""

import resource
import subprocess
import sys
import time

import pytest

from eval.files.places import ROOT
from tests.claim_cases import claimable, made, voc_rows
from tests.synthetic_runs import write_run

pytestmark = pytest.mark.slow
NETWORKS = ("vgg16", "resnet50", "vgg16_bn", "densenet121", "convnext_tiny")
METHODS = 40


def timed(*words) -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", *map(str, words)], cwd=ROOT, check=True)
    return time.monotonic() - begun


@pytest.fixture(scope="module")
def claims(tmp_path_factory):
    root = tmp_path_factory.mktemp("claims")
    for number in range(METHODS):
        for place, network in enumerate(NETWORKS):
            method = f"method{number:02d}"
            rows = voc_rows(0.4 + 0.01 * number, seed=100 * place + number)
            run = write_run(root / f"{method}-{network}", method, rows, model=network)
            made(claimable(run, method), root / "claims")
    return root


def test_a_site_of_two_hundred_claims(claims):
    seconds = timed("scripts.leaderboard", *sorted((claims / "claims").iterdir()), "--out", claims / "site")
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2  # of the largest child, in GB
    index = (claims / "site/index.html").stat().st_size
    print(f"site of {len(NETWORKS) * METHODS} claims: {seconds:.1f} s, {memory:.2f} GB, index {index / 1e6:.2f} MB")
    assert len([*(claims / "site").rglob("*.html")]) >= len(NETWORKS) * METHODS
    assert seconds < 30
    assert memory < 1
    assert index < 1e6


def test_making_and_verifying_cost_a_few_tables(claims):
    run = next((claims / "method00-vgg16/records").iterdir())
    place = next((claims / "claims").glob("*vgg16.method00*"))
    said = ["--author", "A. Author", "--looked-at", "nothing"]
    table = min(timed("scripts.table", "--records", run.parent) for _ in range(3))
    make = min(timed("scripts.claim", "make", run, *said, "--out", claims / f"again{n}") for n in range(3))
    verify = min(timed("scripts.claim", "verify", place) for _ in range(3))
    print(
        f"scripts.table {table:.2f} s; "
        f"make {make:.2f} s ({make / table:.2f}), verify {verify:.2f} s ({verify / table:.2f})"
    )
    assert make < 3
    assert verify < 3
