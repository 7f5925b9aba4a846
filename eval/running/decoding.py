"""Decoding ahead of the network: worker processes open and resize pictures while the consumer computes."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eval.game.sample import Sample

AHEAD = 4  # pictures in flight per worker: enough to cover a slow one, little enough for memory


@dataclass(frozen=True, eq=False)
class Decoded:
    """pixels: (3,h,w) as `prepare` makes them, None for a method that reads none. digest: of the picture file."""

    pixels: Tensor | None = None
    digest: str | None = None

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of the pixels."""
        return None if self.pixels is None else tuple(self.pixels.shape)


def decoded(
    samples: Iterable[Sample], prepare: Callable[[Image.Image], Tensor], workers: int = 1, ahead: int = AHEAD
) -> Generator[tuple[Sample, Decoded | Exception], None, None]:
    """Yields (sample, decoded) in the order of `samples`; `prepare` turns a PIL picture into pixels (3,h,w).

    workers: processes; 0 decodes in this one. At most workers * ahead pictures are held at a time.
    A picture that cannot be decoded yields its ValueError or OSError in place of pixels, naming the key; a worker that
    dies (killed, out of memory) raises RuntimeError. Whoever stops iterating early stops the workers.
    """
    if workers < 0 or ahead < 1:
        raise ValueError(f"workers must be at least 0 and ahead at least 1, not {workers} and {ahead}")
    if workers == 0:
        for sample in samples:
            yield sample, _tensor(_decode(prepare, sample))
        return
    # A fork of a process that runs threads (torch has them) can deadlock.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
    flying: deque = deque()
    try:
        for sample in samples:
            with _killed(sample.key):
                flying.append((sample, pool.submit(_decode, prepare, sample)))
            if len(flying) >= workers * ahead:
                yield _landed(*flying.popleft())
        while flying:
            yield _landed(*flying.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def unopened(samples: Iterable[Sample]) -> Generator[tuple[Sample, Decoded | Exception], None, None]:
    """Yields (sample, nothing decoded) for methods that read no picture; an error in its place where the file
    is no picture of the annotated size: boxes on another picture would be hit or missed by chance."""
    for sample in samples:
        problem: Decoded | Exception = Decoded()
        try:
            sample.check_size()
        except (OSError, ValueError) as error:
            problem = error.with_traceback(None)  # it says all there is
        yield sample, problem


def _begin() -> None:
    # The workers share the machine with the network; one thread each is what `workers` counts.
    torch.set_num_threads(1)
    # Ctrl-C reaches every process of the terminal; the consumer alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A worker waits for work on a pipe that it holds open itself, so it would outlive a consumer that was killed.
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(consumer: Any) -> None:
    consumer.join()
    os._exit(1)


def _decode(prepare: Callable[[Image.Image], Tensor], sample: Sample) -> tuple[np.ndarray, str | None] | Exception:
    try:
        return prepare(sample.image).numpy(), sample.file_digest
    except OSError as error:
        return OSError(f"{sample.key}: {error}")
    except ValueError as error:
        return ValueError(f"{sample.key}: {error}")


def _landed(sample: Sample, future: Future) -> tuple[Sample, Decoded | Exception]:
    with _killed(sample.key):
        return sample, _tensor(future.result())


@contextmanager
def _killed(key: str) -> Iterator[None]:
    """Asking a pool with a dead process for work, or for an answer, raises the same error: in words."""
    try:
        yield
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"a process that decodes pictures was killed, at {key} or up to a few pictures before or after (out of "
            "memory?); workers=0 decodes in the main process"
        ) from error


def _tensor(result: tuple[np.ndarray, str | None] | Exception) -> Decoded | Exception:
    return result if isinstance(result, Exception) else Decoded(torch.from_numpy(result[0]), result[1])
