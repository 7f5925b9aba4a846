"""Decoding ahead of the network: worker processes open and resize pictures while the consumer computes."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eval.sample import Sample

AHEAD = 4  # pictures in flight per worker: enough to cover a slow one, little enough for memory


def decoded(
    samples: Iterable[Sample], prepare: Callable[[Image.Image], Tensor], workers: int = 1, ahead: int = AHEAD
) -> Iterator[tuple[Sample, Tensor | Exception]]:
    """Yields (sample, pixels (3,h,w)) in the order of `samples`; `prepare` turns a PIL picture into pixels.

    workers: processes; 0 decodes in this one. At most workers * ahead pictures are held at a time.
    A picture that cannot be decoded yields its ValueError or OSError in place of pixels, naming the key; a worker that
    dies (killed, out of memory) raises RuntimeError. Whoever stops iterating early stops the workers.
    """
    if workers < 0 or ahead < 1:
        raise ValueError(f"workers must be at least 0 and ahead at least 1, not {workers} and {ahead}")
    if workers == 0:
        for sample in samples:
            yield sample, _tensor(_decode(prepare, sample.key, sample))
        return
    # A fork of a process that runs threads (torch has them) can deadlock.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
    flying: deque = deque()
    try:
        for sample in samples:
            flying.append((sample, pool.submit(partial(_decode, prepare), sample.key, sample)))
            if len(flying) >= workers * ahead:
                yield _landed(*flying.popleft())
        while flying:
            yield _landed(*flying.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def unopened(samples: Iterable[Sample]) -> Iterator[tuple[Sample, Exception | None]]:
    """Yields (sample, None) for methods that see no picture, or the error in place of None where the picture file's
    header is not one of a picture of the annotated size: boxes on another picture would be hit or missed by chance."""
    for sample in samples:
        problem = None
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


def _end_with(consumer) -> None:
    consumer.join()
    os._exit(1)


def _decode(prepare: Callable[[Image.Image], Tensor], key: str, sample: Sample) -> np.ndarray | Exception:
    try:
        return prepare(sample.image).numpy()
    except OSError as error:
        return OSError(f"{key}: {error}")
    except ValueError as error:
        return ValueError(f"{key}: {error}")


def _landed(sample: Sample, future) -> tuple[Sample, Tensor | Exception]:
    try:
        return sample, _tensor(future.result())
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"a process that decodes pictures was killed, at {sample.key} or up to a few pictures later (out of "
            "memory?); workers=0 decodes in the main process"
        ) from error


def _tensor(result: np.ndarray | Exception) -> Tensor | Exception:
    return result if isinstance(result, Exception) else torch.from_numpy(result)
