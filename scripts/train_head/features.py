"""Pooled features of pictures, kept on the disk chunk by chunk: what was computed is never computed again."""

import hashlib
import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from eval.datasets.pictures import Picture
from eval.files.journal import make_folder, replace
from eval.game.protocol import Input
from eval.networks.classifier import Classifier
from eval.networks.head import last_layer, pooled
from eval.records.provenance import weights_digest

CHUNK, BATCH = 64, 16  # pictures a file, pictures a pass


def features(classifier: Classifier, pixels: Input, pictures: list[Picture], cache: Path) -> np.ndarray:
    """(N,F) float32: what the network's last layer reads of each picture.

    A chunk's file under `cache` bears the digests of its pictures' files; its folder's name those of network and input.
    """
    layer = last_layer(classifier.network, classifier.side)
    known = [weights_digest(classifier.network), layer, classifier.normalisation, asdict(pixels)]
    folder = cache / hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]
    make_folder(folder)
    kept: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as chunk:
            kept |= dict(zip(chunk["digests"].tolist(), chunk["features"], strict=True))
    digests = [picture.digest() for picture in pictures]
    todo = {digest: picture for digest, picture in zip(digests, pictures, strict=True) if digest not in kept}
    left = list(todo.items())
    with tqdm(total=len(pictures), initial=len(pictures) - len(left), desc="pictures", mininterval=1) as bar:
        for start in range(0, len(left), CHUNK):
            part = left[start : start + CHUNK]
            batches = [[picture for _, picture in part[i : i + BATCH]] for i in range(0, len(part), BATCH)]
            values = np.concatenate([_of_batch(classifier, layer, pixels, each) for each in batches])
            names, stored = [digest for digest, _ in part], io.BytesIO()
            np.savez(stored, digests=np.array(names), features=values)
            replace(folder / f"{names[0]}.npz", stored.getvalue())
            kept |= dict(zip(names, values, strict=True))
            bar.update(len(part))
    return np.stack([kept[digest] for digest in digests])


def _of_batch(classifier: Classifier, layer: str, pixels: Input, pictures: list[Picture]) -> np.ndarray:
    images = torch.stack([pixels.pixels(picture()) for picture in pictures]).to(classifier.device)
    images = classifier.normalise(images)
    with torch.inference_mode(), pooled(classifier.network, layer) as seen:
        classifier.network(images.contiguous(memory_format=torch.channels_last))
        return seen().float().cpu().numpy()
