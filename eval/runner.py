"""The loop: which pairs are left, decode, ask the method, observe, append the rows."""

import hashlib
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from tqdm import tqdm

from eval.classifier import Classifier
from eval.pointing import observe
from eval.protocol import Input
from eval.records import Rows
from eval.sample import Pair, Sample, pairs


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


def select(planned: Plan, subset: str, limit: int | None, shard: tuple[int, int] | None, rows: list[dict], classes):
    """The entries still to do: the subset's pairs in the first `limit` pictures, in the shard, without a row.

    A shard takes every n-th picture, so all finish at about the same time. ValueError if a row was made on another
    annotation of its picture: the data changed under a run.
    """
    done = {(row["key"], row["label"]): row for row in rows}
    left = []
    for number, (index, sample, asked) in enumerate(planned.entries):
        if limit is not None and index >= limit:
            break
        if shard is not None and number % shard[1] != shard[0] - 1:
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


def seed_for(seed: int, key: str) -> int:
    """A picture's own seed: order, shard, batch and resume cannot change what is drawn for it."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{key}".encode()).digest()[:8], "big") >> 1


def ask(method: Callable, image, targets, seed: int):
    """Call the method with torch's global generator seeded, and leave the generator as it was."""
    # Not torch.manual_seed: it visits every kind of device, which costs a millisecond a picture.
    generators = [torch.default_generator, *(torch.cuda.default_generators if torch.cuda.is_initialized() else ())]
    before = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        return method(image, targets)
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


def evaluate_pairs(
    entries: list[tuple[int, Sample, list[Pair]]],
    method: Callable,
    classifier: Classifier | None,
    source: Input,
    rows: Rows,
    classes,
    seed: int,
    on_error: str = "stop",
    title: str = "",
    decode: Callable | None = None,
) -> list[tuple[str, str]]:
    """Evaluate the entries in order and append their rows; returns (key, message) of the pictures that failed.

    on_error: "stop" raises RuntimeError at the first picture that fails, naming it; "skip" notes it and goes on. Rows
    written before stay either way. decode: yields (sample, pixels (3,h,w) or the exception) for the samples, in order.
    """
    failed = []
    samples = [sample for _, sample, _ in entries]
    stream = (
        ((sample, None) for sample in samples) if classifier is None else (decode or _decode)(samples, source.pixels)
    )
    total = sum(len(asked) for _, _, asked in entries)
    with tqdm(total=total, desc=title, unit="pair", disable=None, dynamic_ncols=True) as bar:
        for (_, sample, asked), (_, pixels) in zip(entries, stream, strict=True):
            try:
                if isinstance(pixels, Exception):
                    raise pixels
                if classifier is not None:
                    pixels = pixels.to(classifier.device)
                rows.append(evaluate(sample, asked, method, classifier, pixels, seed, classes))
            except (ValueError, OSError, LookupError) as error:
                message = f"picture {sample.key} ({', '.join(classes[pair.label] for pair in asked)}): {error}"
                if on_error == "stop":
                    raise RuntimeError(message) from error
                rows.fail(sample.key, message)
                failed.append((sample.key, message))
            bar.update(len(asked))
    return failed


def _decode(samples: Iterable[Sample], prepare: Callable) -> Iterable[tuple[Sample, torch.Tensor | Exception]]:
    for sample in samples:
        try:
            yield sample, prepare(sample.image)
        except (ValueError, OSError) as error:
            yield sample, error


def evaluate(
    sample: Sample, asked: list[Pair], method, classifier: Classifier | None, pixels, seed: int, classes
) -> list[dict]:
    """The rows of one picture; pixels (3,h,w) on the classifier's device; a blind method has neither."""
    targets = torch.tensor([pair.label for pair in asked])
    regions = [sample.region(pair.label) for pair in asked]
    before = classifier.images_seen if classifier else 0
    started = time.perf_counter()
    result = ask(method, sample if classifier is None else pixels, targets, seed_for(seed, sample.key))
    if classifier and classifier.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    forwards = classifier.images_seen - before if classifier else 0
    seen = observe(result, sample.size, regions)
    output = None
    if classifier:
        with torch.no_grad():
            output = classifier.network(classifier.normalise(pixels))
    rows = []
    for pair, region, fields in zip(asked, regions, seen, strict=True):
        row = {"key": sample.key, "label": classes[pair.label], "difficult": pair.difficult} | fields
        row["area"] = round(region.area / (sample.size[0] * sample.size[1]), 6)
        row["width"], row["height"] = sample.size
        row["score"] = round(float(classifier.score(output, pair.label)[0]), 4) if classifier else None
        row["rank"] = classifier.rank(output, pair.label) if classifier else None
        # A picture's cost is shared by its classes, so that sums over rows are sums over pictures.
        row["forwards"] = forwards / len(asked)
        row["seconds"] = round(seconds / len(asked), 6)
        row["memory_mb"] = _peak_memory(classifier)
        rows.append(row)
    return rows


TIMING = ("seconds", "memory_mb")  # the fields of a row that differ between two equal runs


def _peak_memory(classifier: Classifier | None) -> int:
    if classifier and classifier.device.type == "cuda":
        return torch.cuda.max_memory_allocated() >> 20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
