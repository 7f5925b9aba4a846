"""Decoding ahead: order, values, errors carried to the consumer, bounded memory, no process left behind."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from eval.game.protocol import Input
from eval.game.sample import Sample
from eval.running.decoding import decoded

ROOT = Path(__file__).parents[1]


@dataclass
class Drawn:
    """Opens a picture of one colour after a while, or does not."""

    number: int
    seconds: float = 0.0
    kind: str = ""
    trace: str = ""

    def __call__(self):
        if self.trace:
            Path(self.trace, str(self.number)).touch()
        time.sleep(self.seconds)
        if self.kind == "value":
            raise ValueError("picture.jpg is damaged")
        if self.kind == "missing":
            raise FileNotFoundError("picture.jpg does not exist")
        if self.kind == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        side = 7 if self.kind == "size" else 8
        return Image.new("RGB", (side, 8), (self.number, 0, 0))


def sample(number, *rest):
    return Sample(
        f"key{number}", (8, 8), np.array([[0, 0, 4, 4]]), np.array([0]), np.array([False]), Drawn(number, *rest)
    )


PREPARE = Input(side=4).pixels


@pytest.mark.parametrize("workers", [0, 2])
def test_order_and_errors(workers):
    kinds = {3: "value", 5: "missing", 6: "size"}
    # The first picture takes longest: whoever hands out what is ready first is found out.
    samples = [sample(i, 0.2 if i == 0 else 0.0, kinds.get(i, "")) for i in range(12)]
    actual = list(decoded(samples, PREPARE, workers))
    assert [s.key for s, _ in actual] == [f"key{i}" for i in range(12)]
    for number, (_, content) in enumerate(actual):
        if number not in kinds:
            assert torch.equal(content.pixels, PREPARE(Image.new("RGB", (8, 8), (number, 0, 0))))
    errors = {n: actual[n][1] for n in kinds}
    assert isinstance(errors[3], ValueError)
    assert isinstance(errors[5], OSError)
    assert [str(errors[n]) for n in (3, 5)] == ["key3: picture.jpg is damaged", "key5: picture.jpg does not exist"]
    assert "key6" in str(errors[6])
    assert "7 x 8" in str(errors[6])


def test_no_more_pictures_in_flight_than_said(tmp_path):
    samples = [sample(i, 0.0, "", str(tmp_path)) for i in range(40)]
    stream = decoded(samples, PREPARE, workers=1, ahead=3)
    next(stream)
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) <= 4
    stream.close()
    assert not [c for c in psutil.Process().children() if "spawn_main" in " ".join(c.cmdline())]


def test_a_worker_that_dies_is_an_error_not_a_wait():
    with pytest.raises(RuntimeError, match=r"key1 or up to a few pictures before or after.*workers=0"):
        list(decoded([sample(0), sample(1, 0.0, "dies"), sample(2)], PREPARE, workers=1))


@pytest.mark.parametrize(("workers", "ahead"), [(-1, 4), (1, 0)])
def test_settings_that_cannot_be_meant(workers, ahead):
    with pytest.raises(ValueError, match="workers must be at least 0"):
        list(decoded([sample(0)], PREPARE, workers, ahead))


PROGRAM = """
import sys, time
from tests.test_loader import PREPARE, decoded, sample
if __name__ == "__main__":
    stream = decoded([sample(i) for i in range(100)], PREPARE, workers=1)
    next(stream)
    import psutil
    print(*[c.pid for c in psutil.Process().children(recursive=True)], flush=True)
    time.sleep(60)
"""


def test_workers_do_not_outlive_a_killed_consumer(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(tmp_path / "program.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as consumer:
        workers = [int(word) for word in consumer.stdout.readline().split()]
        assert workers
        consumer.kill()
        consumer.wait()
    end = time.monotonic() + 20
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, workers))


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
