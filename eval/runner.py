"""The loop: which pairs are left, decode, ask the method, observe, append the rows."""

import resource
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from eval import maps
from eval.asking import Asker, seed_for
from eval.classifier import Classifier
from eval.loader import decoded
from eval.log import Log
from eval.pointing import observe
from eval.protocol import Input
from eval.records import Rows
from eval.sample import Pair, Sample, pairs
from eval.smoothing import NONE, Smoothing


@dataclass(frozen=True)
class Plan:
    """Every pair of a data set, in its order, found from the annotations alone.

    entries: (index, sample, pairs) of every picture that has at least one pair; samples are not decoded.
    failed: (key or index, message) of pictures whose annotation could not be read.
    """

    entries: list[tuple[int, Sample, list[Pair]]]
    failed: list[tuple[str, str]]

    def askable(self, outputs: list[list[int]]) -> "Plan":
        """Without the pairs of classes that no output of the network stands for (outputs: `Classifier.outputs`)."""
        kept = [(index, sample, [p for p in asked if outputs[p.label]]) for index, sample, asked in self.entries]
        return Plan([entry for entry in kept if entry[2]], self.failed)

    def count(self, subset: str = "all") -> int:
        return sum(subset == "all" or pair.difficult for _, _, asked in self.entries for pair in asked)


def plan(dataset, on_error: str = "stop") -> Plan:
    """Read all annotations once. ValueError if the data set has no pair, or two pictures of one key.

    on_error: "stop" raises at the first annotation that cannot be read, "skip" notes it in `failed`.
    """
    entries, failed, seen = [], [], set()
    for index in range(len(dataset)):
        try:
            sample = dataset[index]
            _check_key(sample.key)
            asked = list(pairs(sample))
        except (ValueError, OSError) as error:
            if on_error == "stop":
                raise
            failed.append((f"picture {index}", str(error)))
            continue
        if sample.key in seen:
            raise ValueError(f"the data set has two pictures with the key {sample.key!r}")
        seen.add(sample.key)
        if asked:
            entries.append((index, sample, asked))
    if not entries:
        raise ValueError(f"the data set is empty: no pair in {len(dataset)} pictures")
    return Plan(entries, failed)


def _check_key(key: str) -> None:
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the picture name {key!a} is not UTF-8; rename the file") from None


def select(planned: Plan, subset: str, limit: int | None, shard: tuple[int, int] | None, rows: list[dict], classes):
    """The entries still to do: the subset's pairs in the first `limit` pictures, in the shard, without a row.

    A shard takes every n-th picture of the data set, so all finish at about the same time, and an annotation that one
    process cannot read moves no other picture to another shard. ValueError if a row was made on another
    annotation of its picture, or on a picture that is not there: the data changed under a run.
    """
    done = {(row["key"], row["label"]): row for row in rows}
    strange = {row["key"] for row in rows} - {sample.key for _, sample, _ in planned.entries}
    if strange and not planned.failed:
        raise ValueError(
            f"{len(strange)} pictures of the run's rows, {min(strange)} among them, are not in this data set; give it "
            "another dataset.name, or write to another results=DIR"
        )
    left = []
    for index, sample, asked in planned.entries:
        if limit is not None and index >= limit:
            break
        if shard is not None and index % shard[1] != shard[0] - 1:
            continue
        todo = []
        for pair in asked:
            row = done.get((sample.key, classes[pair.label]))
            if row is None:
                if subset == "all" or pair.difficult:
                    todo.append(pair)
            elif [row["width"], row["height"], row["difficult"]] != [*sample.size, pair.difficult]:
                raise ValueError(
                    f"the rows of picture {sample.key} were made on other annotations; write to another results=DIR"
                )
        if todo:
            left.append((index, sample, todo))
    return left


@dataclass
class Evaluation:
    """How the pairs of a run are evaluated.

    source: what the network sees. smoothing: of the resized maps. on_error: "stop" raises RuntimeError at the first
    picture that fails, naming it; "skip" notes it and goes on. workers: processes that decode ahead. batch_pictures:
    pictures per call of a method that takes several. save_maps: keep the heat maps beside the rows, as the method gave
    them. log: told about all of it.
    """

    method: Callable
    classifier: Classifier | None
    source: Input
    rows: Rows
    classes: list[str]
    seed: int
    on_error: str = "stop"
    workers: int = 0
    batch_pictures: int = 1
    save_maps: bool = False
    log: Log | None = None
    smoothing: Smoothing = NONE

    def run(self, entries: list[tuple[int, Sample, list[Pair]]]) -> list[tuple[str, str]]:
        """Evaluate the entries in order and append their rows; returns (key, message) of the pictures that failed.

        Rows written before an error stay. RuntimeError if rows or maps cannot be written, whatever `on_error` says.
        """
        self.failed: list[tuple[str, str]] = []
        with self.log or Log(total=sum(len(asked) for *_, asked in entries)) as self._log:
            asker = Asker(self.method, self.batch_pictures, self._tell)
            group: list[tuple[Sample, list[Pair], Tensor | None]] = []
            with closing(self._decoded([sample for _, sample, _ in entries])) as stream:
                for (_, sample, asked), (_, pixels) in zip(entries, stream, strict=True):
                    if isinstance(pixels, Exception):
                        self._fail(sample, asked, pixels)
                        continue
                    if group and pixels is not None and pixels.shape != group[0][2].shape:
                        self._evaluate(group, asker)
                        group = []
                    group.append((sample, asked, pixels))
                    if len(group) >= asker.size:
                        self._evaluate(group, asker)
                        group = []
                self._evaluate(group, asker)
        return self.failed

    def _decoded(self, samples: list[Sample]):
        if self.classifier is None:
            return ((sample, None) for sample in samples)
        # A process takes seconds to start: longer than decoding a few pictures.
        return decoded(samples, self.source.pixels, self.workers if len(samples) >= FEW else 0)

    def _evaluate(self, group: list, asker: Asker) -> None:
        """The rows of pictures of one shape, asked about together as far as the asker can."""
        while group:
            images = [sample if pixels is None else pixels.to(self._device) for sample, _, pixels in group]
            targets = [torch.tensor([pair.label for pair in asked]) for _, asked, _ in group]
            seeds = [seed_for(self.seed, sample.key) for sample, *_ in group]
            seen = self.classifier.images_seen if self.classifier else 0
            started = time.perf_counter()
            answers = asker(images, targets, seeds)
            if self.classifier and self._device.type == "cuda":
                _synchronize()
            done, group = group[: len(answers)], group[len(answers) :]
            # What pictures cost together they share evenly, and so do a picture's classes: sums are over pictures.
            seconds = (time.perf_counter() - started) / len(done)
            forwards = (self.classifier.images_seen - seen) / len(done) if self.classifier else 0
            outputs = None
            if self.classifier:
                with torch.no_grad():
                    outputs = self.classifier.network(self.classifier.normalise(torch.stack(images[: len(done)])))
            for number, ((sample, asked, _), answer) in enumerate(zip(done, answers, strict=True)):
                try:
                    if isinstance(answer, Exception):
                        raise answer
                    new = self._rows_of(
                        sample, asked, answer, outputs[number : number + 1] if self.classifier else None
                    )
                except Exception as error:
                    self._fail(sample, asked, error)
                    continue
                cost = {"forwards": forwards / len(asked), "seconds": round(seconds / len(asked), 6)}
                new = [row | cost | {"memory_mb": _peak_memory(self.classifier)} for row in new]
                if self.save_maps and torch.as_tensor(answer).dim() == 3:
                    maps.save(self.rows.folder, sample.key, [row["label"] for row in new], torch.as_tensor(answer))
                self.rows.append(new)
                self._log.advance(len(asked))

    def _rows_of(self, sample: Sample, asked: list[Pair], answer, output: Tensor | None) -> list[dict]:
        """What is known about a picture's pairs; output: the network's for this picture, (1,C) or (1,C,i,j)."""
        regions = [sample.region(pair.label) for pair in asked]
        rows = []
        observed = observe(answer, sample.size, regions, self.smoothing)
        for pair, region, fields in zip(asked, regions, observed, strict=True):
            row = {"key": sample.key, "label": self.classes[pair.label], "difficult": pair.difficult} | fields
            row["area"] = round(region.area / (sample.size[0] * sample.size[1]), 6)
            row["width"], row["height"] = sample.size
            row["score"] = row["rank"] = None
            if self.classifier:
                row["score"] = round(float(self.classifier.score(output, pair.label)[0]), 4)
                row["rank"] = self.classifier.rank(output, pair.label)
            rows.append(row)
        return rows

    @property
    def _device(self) -> torch.device:
        return self.classifier.device

    def _tell(self, text: str) -> None:
        self._log.note(text, terminal=True)

    def _fail(self, sample: Sample, asked: list[Pair], error: Exception) -> None:
        what = str(error).strip().removeprefix(f"{sample.key}: ")
        if not isinstance(error, (ValueError, OSError, LookupError)) or not what:
            what = f"{type(error).__name__}: {what}"
        about = f"{self._log.title}: " if self._log.title else ""
        message = f"{about}picture {sample.key} ({', '.join(self.classes[pair.label] for pair in asked)}): {what}"
        # An error that a decoding process has sent was not raised here: it says all there is.
        self._log.note(message, error if error.__traceback__ else None)
        if self.on_error == "stop":
            more = f" (traceback in {self._log.path})" if self._log.path and error.__traceback__ else ""
            raise RuntimeError(message + more) from error
        self.rows.fail(sample.key, message)
        self.failed.append((sample.key, message))
        self._log.advance(len(asked))


FEW = 128  # pictures: a process takes about five seconds to start, a picture a few hundredths to decode


def _synchronize() -> None:
    try:
        torch.cuda.synchronize()
    except RuntimeError as error:
        # After such an error every call fails, so that skipping would go through all pictures.
        raise RuntimeError(f"the GPU has failed and this process cannot use it any more: {error}") from error


TIMING = ("seconds", "memory_mb")  # the fields of a row that differ between two equal runs


def _peak_memory(classifier: Classifier | None) -> int:
    if classifier and classifier.device.type == "cuda":
        return torch.cuda.max_memory_allocated() >> 20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
