"""Writes what the project knows of a data set without having it: a line a pair, a mark a pair, or a digest of all.

The result is printed as an entry of eval/datasets/known/index.yaml. Digests of picture files are taken from a folder of
originals, which may hold only some of them.

  python -m scripts.claim known dataset=pascal dataset.root=VOCdevkit --file voc2007_test.parquet --originals DIR
  python -m scripts.claim known dataset=imagenet dataset.root=DIR --marks ilsvrc_val.parquet      two bytes a pair
  python -m scripts.claim known dataset=coco dataset.root=DIR                                     the digest alone
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.command import Command, command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("settings", nargs="+", metavar="NAME=VALUE", help="as of run.py")
    parser.add_argument("--file", metavar="NAME", help="write a line a pair there")
    parser.add_argument("--marks", metavar="NAME", help="write a mark a pair there, see eval/datasets/known")
    parser.add_argument("--originals", type=Path, metavar="DIR", help="original pictures, KEY.jpg each")


def act(arguments: argparse.Namespace) -> None:
    import yaml

    from eval.datasets import known
    from eval.files.download import sha256
    from eval.running.config import instantiate, load
    from eval.running.identity import PLACES
    from eval.running.settings import plain

    cfg = load(arguments.settings)
    dataset = instantiate(cfg.dataset.build)
    found: dict[tuple[str, str], known.Pair] = {}
    for index in range(len(dataset)):
        sample = dataset[index]
        path = arguments.originals and arguments.originals / f"{sample.key}.jpg"
        picture = sha256(path)[:16] if path and path.is_file() else None
        found |= known.pairs_of(sample, dataset.classes, picture)
    lines = known.texts((*pair, *each.size, each.difficult, each.region.digest) for pair, each in found.items())
    build = {name: value for name, value in plain(cfg.dataset.build).items() if value is not None}
    build = {name: value for name, value in build.items() if name not in PLACES.get(build["_target_"], ())}
    entry = {"name": cfg.dataset.name, "called": cfg.dataset.name, "build": build, "default": {}}
    entry |= {"pairs": len(found), "digest": known.digest(lines)}
    if arguments.file:
        entry |= {"file": arguments.file}
        write(known.FOLDER / arguments.file, found)
    if arguments.marks:
        entry |= {"marks": arguments.marks}
        write_marks(known.FOLDER / arguments.marks, [known.mark(line) for line in lines])
    print(yaml.safe_dump([entry], sort_keys=False), end="")


def write(path: Path, pairs: dict) -> None:
    """The pairs as `eval.datasets.known` reads them."""
    import pyarrow as pa
    from pyarrow import parquet

    lines = sorted(pairs.items())
    columns = {
        "key": pa.array([key for (key, _), _ in lines]),
        "label": pa.array([label for (_, label), _ in lines]),
        "difficult": pa.array([pair.difficult for _, pair in lines]),
        "width": pa.array([pair.size[0] for _, pair in lines], pa.int16()),
        "height": pa.array([pair.size[1] for _, pair in lines], pa.int16()),
        "boxes": pa.array([pair.region.boxes.ravel().tolist() for _, pair in lines], pa.list_(pa.int16())),
        "region": pa.array([bytes.fromhex(pair.region.digest) for _, pair in lines], pa.binary(8)),
        "picture": pa.array([pair.picture for _, pair in lines], pa.string()),
    }
    parquet.write_table(pa.table(columns), path, compression="zstd", compression_level=19)


def write_marks(path: Path, marks: list[int]) -> None:
    """The marks as `eval.datasets.known` reads them: steps from one to the next larger one, bytes of a place together,
    which is what packs them."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    steps = pa.table({"step": pa.array(np.diff(sorted(marks), prepend=0), pa.int32())})
    parquet.write_table(
        steps, path, compression="zstd", compression_level=19, use_dictionary=False,
        column_encoding={"step": "BYTE_STREAM_SPLIT"},
    )  # fmt: skip


main = command(Command("scripts.claim known", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
