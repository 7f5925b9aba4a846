"""The loop: decode, call the method, observe, append the rows of a picture."""

import math
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from eval.game.pointing import points_or_maps
from eval.game.protocol import Input
from eval.game.sample import Pair, Sample
from eval.game.smoothing import NONE, Smoothing
from eval.measures.map_measures import cases_of, observe
from eval.networks.classifier import Classifier
from eval.records import maps
from eval.records.rows import Rows
from eval.records.schema import check
from eval.running.decoding import Decoded, decoded, unopened
from eval.running.failures import Failures
from eval.running.hints import hint
from eval.running.log import Log
from eval.running.method_call import Caller, Method, seed_for
from eval.running.network_guard import Changed, Guard

FEW = 128  # pictures: a process takes about five seconds to start, a picture a few hundredths to decode
Entry = tuple[int, Sample, list[Pair]]


@dataclass
class Evaluation:
    """How the pairs of a run are evaluated.

    pixels: what the method is given. shown: the protocol's input where that is another one: the network's own answer in
    a row, and the unit of its price, belong to it. smoothing: of the resized maps. on_error: "stop" raises RuntimeError
    at the first picture that fails, naming it; "skip" notes it and goes on. workers: processes that decode ahead.
    batch_pictures: pictures per call of a method that takes several. save_maps: keep the heat maps beside the rows, as
    the method gave them. log: of all of it.
    """

    method: Method
    classifier: Classifier | None
    pixels: Input
    rows: Rows
    classes: Sequence[str]
    seed: int
    on_error: str = "stop"
    workers: int = 0
    batch_pictures: int = 1
    save_maps: bool = False
    log: Log | None = None
    smoothing: Smoothing = NONE
    shown: Input | None = None

    def run(self, entries: list[Entry]) -> list[tuple[str, str]]:
        """Evaluate the entries in order and append their rows; returns (key, message) of the pictures that failed.

        Rows written before an error stay. RuntimeError if rows or maps cannot be written, or if the method changes the
        network, whatever `on_error` says.
        """
        self.evaluated = 0
        with self.log or Log(total=sum(len(todo) for *_, todo in entries)) as self._log:
            self._guard = Guard(self.classifier, self._log.title or "under test")
            self._failures = Failures(self._log, [self.rows], self.on_error, self.classes)
            caller = Caller(self.method, self.batch_pictures, lambda text: self._log.note(text, terminal=True))
            group: list[tuple[Sample, list[Pair], Decoded]] = []
            with closing(self._decoded([sample for _, sample, _ in entries])) as stream:
                for (_, sample, todo), (_, content) in zip(entries, stream, strict=True):
                    if isinstance(content, Exception):
                        self._failures.note(sample, todo, content)
                        continue
                    if group and group[0][2].shape != content.shape:
                        self._evaluate(group, caller)
                        group = []
                    group.append((sample, todo, content))
                    if len(group) >= caller.size:
                        self._evaluate(group, caller)
                        group = []
                self._evaluate(group, caller)
            self._guard.check(values=True)
        return self._failures.failed

    def _decoded(self, samples: list[Sample]) -> Generator[tuple[Sample, Decoded | Exception], None, None]:
        if self.classifier is None:
            return unopened(samples)
        # A process takes seconds to start: longer than decoding a few pictures.
        return decoded(samples, self.pixels.pixels, self.workers if len(samples) >= FEW else 0)

    def _evaluate(self, group: list[tuple[Sample, list[Pair], Decoded]], caller: Caller) -> None:
        """The rows of pictures of one shape, through as many at once as the caller takes."""
        while group:
            images = [self._input(sample, content) for sample, _, content in group]
            targets = [torch.tensor([pair.label for pair in todo]) for _, todo, _ in group]
            seeds = [seed_for(self.seed, sample.key) for sample, *_ in group]
            price = Price(self.classifier, self._area(group[0][0]))
            answers = caller(images, targets, seeds)
            price.stop(len(answers))
            done, group = group[: len(answers)], group[len(answers) :]
            self._check(answers)
            outputs = self._outputs(images[: len(done)], [sample for sample, *_ in done])
            for number, ((sample, todo, content), answer) in enumerate(zip(done, answers, strict=True)):
                try:
                    if isinstance(answer, Exception):
                        raise answer
                    array = points_or_maps(answer, len(todo))
                    output = None if outputs is None else outputs[number : number + 1]
                    rows = self._rows_of(sample, todo, array, output, content.digest)
                    rows = [row | price.of(len(todo)) for row in rows]
                    check(rows, "this run")
                except Exception as error:
                    self._failures.note(sample, todo, error)
                    continue
                if self.save_maps and array.ndim == 3:
                    maps.save(self.rows.folder, sample.key, [row["label"] for row in rows], array)
                self.rows.append(rows)
                self.evaluated += len(todo)
                self._log.advance(len(todo))

    def _check(self, answers: list) -> None:
        """Whether the network is as before; a method that raised often left a hook behind for that reason alone."""
        try:
            self._guard.check()
        except Changed as changed:
            error = next((answer for answer in answers if isinstance(answer, Exception)), None)
            if error is None:
                raise
            what = f"{type(error).__name__}: {error}"
            raise Changed(f"{changed}. Before that it raised {what}{hint(what)}") from error

    def _input(self, sample: Sample, content: Decoded) -> Sample | Tensor:
        return sample if content.pixels is None else content.pixels.to(self._device)

    def _area(self, sample: Sample) -> float:
        """Pixels of the protocol's input."""
        width, height = (self.shown or self.pixels).size(*sample.size)
        return width * height

    def _outputs(self, images: list, samples: list[Sample]) -> Tensor | None:
        """(B,C) or (B,C,i,j): the network's own answers about the protocol's input."""
        if self.classifier is None:
            return None
        with torch.no_grad():
            if self.shown in (None, self.pixels):
                return self.classifier.network(self.classifier.normalise(torch.stack(images)))
            # Pictures of one shape under the method's input may have several under the protocol's.
            shown = [self.shown.pixels(sample.image).to(self._device) for sample in samples]
            return torch.cat([self.classifier.network(self.classifier.normalise(each)) for each in shown])

    def _rows_of(
        self, sample: Sample, todo: list[Pair], answer: np.ndarray, output: Tensor | None, digest: str | None
    ) -> list[dict]:
        """What is known about a picture's pairs; output: the network's for this picture, (1,C) or (1,C,i,j)."""
        regions = [sample.region(pair.label) for pair in todo]
        rows = []
        observed = observe(cases_of(answer, sample.size, regions, self.smoothing))
        for pair, region, fields in zip(todo, regions, observed, strict=True):
            row = {"key": sample.key, "label": self.classes[pair.label], "difficult": pair.difficult}
            row |= {"region": region.digest, "picture": digest, "width": sample.size[0], "height": sample.size[1]}
            row["area"] = round(region.area / (sample.size[0] * sample.size[1]), 6)
            rows.append(row | fields | self._answer_of_network(output, pair.label))
        return rows

    def _answer_of_network(self, output: Tensor | None, label: int) -> dict:
        if self.classifier is None or output is None:
            return {"score": None, "rank": None}
        score = float(self.classifier.score(output, label)[0])
        if not math.isfinite(score) or not torch.isfinite(output).all():
            raise ValueError(f"the network's output for class {self.classes[label]} is not finite (score {score})")
        return {"score": round(score, 4), "rank": self.classifier.rank(output, label)}

    @property
    def _device(self) -> torch.device | str:
        return self.classifier.device if self.classifier else "cpu"


class Price:
    """What a call costs: wall time, passes of the network, the call's own peak of GPU memory.

    area: pixels of the protocol's input; a pass of a picture of another size counts by its share of them.
    """

    def __init__(self, classifier: Classifier | None, area: float):
        self.classifier, self.area = classifier, area
        self.seen = classifier.area_seen if classifier else 0
        self.cuda = classifier.device if classifier and classifier.device.type == "cuda" else None
        if self.cuda:
            torch.cuda.reset_peak_memory_stats(self.cuda)
            self.held = torch.cuda.memory_allocated(self.cuda)
        self.started = time.perf_counter()

    def stop(self, pictures: int) -> None:
        """The price of `pictures` pictures; those that were called together share it evenly."""
        if self.cuda:
            _synchronize(self.cuda)
        self.seconds = (time.perf_counter() - self.started) / pictures
        self.forwards = (self.classifier.area_seen - self.seen) / self.area / pictures if self.classifier else 0
        # A process's peak on a CPU includes what ran in it before, so no row holds it.
        peak = torch.cuda.max_memory_allocated(self.cuda) - self.held if self.cuda else None
        self.memory_mb = None if peak is None else round(peak / 2**20, 1)

    def of(self, classes: int) -> dict:
        """The fields of each of a picture's rows: its classes share the price, so sums are over pictures."""
        return {
            "seconds": round(self.seconds / classes, 6),
            "forwards": self.forwards / classes,
            "memory_mb": self.memory_mb,
        }


def _synchronize(device: torch.device) -> None:
    try:
        torch.cuda.synchronize(device)
    except RuntimeError as error:
        # After such an error every call fails: skipping would go through all pictures.
        raise RuntimeError(f"the GPU has failed and this process cannot use it any more: {error}") from error
