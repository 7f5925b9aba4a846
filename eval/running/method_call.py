"""Calling a method: seeded by picture, several pictures at once where it can, fewer of them when memory runs out."""

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


class Method(Protocol):
    """An attribution method: (3,h,w) RGB in [0,1] and (K,) class indices -> maps (K,H,W) or points (K,2) x, y.

    A blind method (`blind: true`) gets the sample in place of pixels. Maps may have any grid; larger = more important.
    """

    def __call__(self, image: Any, targets: Tensor, /) -> Any:
        """Maps (K,h,w), or points (K,2), of the targets (K,)."""
        ...


def seed_for(seed: int, key: str) -> int:
    """A picture's own seed: order, shard, batch and resume cannot change what is drawn for it."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{key}".encode()).digest()[:8], "big") >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """In the block torch's, numpy's and Python's global generators draw from `seed`; afterwards they are as before."""
    # Not torch.manual_seed: it visits every kind of device, which costs a millisecond a picture.
    generators = [torch.default_generator, *(torch.cuda.default_generators if torch.cuda.is_initialized() else ())]
    before = [generator.get_state() for generator in generators]
    others = random.getstate(), np.random.get_state()  # noqa: NPY002 - a user's method may draw from numpy's old generator
    try:
        for generator in generators:
            generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)
        random.setstate(others[0])
        np.random.set_state(others[1])  # noqa: NPY002


def call(method: Callable, image: Any, targets: Tensor, seed: int) -> Any:
    """method(image, targets), seeded, on copies: whatever it writes into, the caller's picture stays as it was."""
    with seeded(seed):
        try:
            return method(_own(image), targets.clone())
        except SystemExit as error:
            raise RuntimeError(f"the method ended the program (sys.exit({error.code!r}))") from error


def out_of_memory(error: BaseException) -> bool:
    """Whether a card had no room: torch's own error, or that of a library of NVIDIA's that asked for its work space."""
    return isinstance(error, torch.OutOfMemoryError) or "_STATUS_ALLOC_FAILED" in str(error)


def _own(image: Any) -> Any:
    return image.clone() if isinstance(image, Tensor) else image


class Caller:
    """Calls a method for one picture after another, or for `size` of them at once.

    A method may offer many(images (B,3,H,W), targets: B tensors (K,), seeds: B ints) -> B maps (K,h,w): for each
    picture what a call with that picture alone gives, but for rounding, with everything random drawn from its seed.
    size: pictures per call, 1 for a method without `many`. It is halved whenever a call runs out of GPU memory, and
    stays so; at 1 the method's own `batch` (passes at once within a picture) is halved, if it has one.
    say: called with a line about it.
    """

    def __init__(self, method: Callable, size: int = 1, say: Callable[[str], None] = lambda text: None):
        self.method = method
        self.size = size if hasattr(method, "many") else 1
        self.say = say

    def __call__(self, images: list, targets: list[Tensor], seeds: list[int]) -> list:
        """The answers about the first `size` of the pictures: maps, or the exception that one raised alone.

        images: tensors (3,H,W) of one shape, or samples for a blind method.
        """
        while True:
            count = min(self.size, len(images))
            try:
                if count == 1:
                    return [call(self.method, images[0], targets[0], seeds[0])]
                return self._many(images[:count], targets[:count], seeds[:count])
            except Exception as error:
                if not out_of_memory(error):
                    if count == 1:
                        return [error]
                    # A call with each picture alone shows which one failed.
                    return [self([images[i]], [targets[i]], [seeds[i]])[0] for i in range(count)]
                if not self._shrink(count):
                    return [RuntimeError(f"out of GPU memory even with one picture at a time: {error}")]
            # Outside of the `except`, whose error holds the frames of the failed call and their memory.
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()

    def _many(self, images: Sequence[Tensor], targets: Sequence[Tensor], seeds: Sequence[int]) -> list:
        stack = torch.stack(list(images))  # a copy already
        answers = call(lambda own, _: self.method.many(own, targets, seeds), stack, targets[0], seeds[0])  # type: ignore[attr-defined]
        if len(answers) != len(images):
            raise ValueError(f"many() returned {len(answers)} answers about {len(images)} pictures")
        return list(answers)

    def _shrink(self, count: int) -> bool:
        if count > 1:
            self.size = count // 2
            self.say(f"out of GPU memory with {count} pictures at once: going on with {self.size}")
            return True
        inner = getattr(self.method, "batch", None)
        if isinstance(inner, int) and inner > 1:
            self.method.batch = inner // 2  # type: ignore[attr-defined]
            self.say(f"out of GPU memory with method.build.batch={inner}: going on with {inner // 2}")
            return True
        return False
