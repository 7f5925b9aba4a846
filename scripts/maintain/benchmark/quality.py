"""How good variations are: measures of Granot et al. and of this project, fast search against exact on equal seeds.

All in steps of 1/255 unless said otherwise; a patch is 7 x 7 RGB, the distance of two the root mean square over its 147
values.
- coherence: mean distance of a variation's patches to their nearest patch of the picture (lower: no new texture)
- completeness: mean distance of the picture's patches to their nearest patch of the variation (lower: nothing lost)
- wasserstein: sliced Wasserstein-2 distance between the two sets of patches, root mean square over 128 directions
- gradient: mean square difference of neighbouring pixels, variation / picture (below 1: blur; above: seams)
- diversity: standard deviation over the variations, mean over pixels (0: all alike)
"""

from collections.abc import Iterator

import numpy as np
import torch

from gpnncam import patchmatch, variations
from gpnncam.levels import unfold
from gpnncam.patches import to_rows

MEASURES = ("coherence", "completeness", "wasserstein", "gradient", "diversity")


def _nearest(query: np.ndarray, keys: np.ndarray) -> float:
    """Mean distance of the patches of query (h, w, 3) to their nearest patch of keys."""
    field = np.zeros((query.shape[0] - 6, query.shape[1] - 6), np.int32)
    scores = np.zeros(field.shape, np.int32)
    patchmatch.exact(to_rows(query), to_rows(keys), None, field, scores)
    return float(np.sqrt(scores / 147).mean())


def _energy(image: np.ndarray) -> float:
    return float((np.diff(image, axis=0) ** 2).mean() + (np.diff(image, axis=1) ** 2).mean())


def measure(original: torch.Tensor, made: torch.Tensor) -> dict[str, float]:
    """The measures of variations made (n, 3, H, W) of the picture original (3, H, W), both in [0, 1]."""
    to_numpy = lambda x: np.rint(255 * x.movedim(-3, -1).double().cpu().numpy())  # noqa: E731
    original, made = to_numpy(original), to_numpy(made)
    directions = np.random.default_rng(0).standard_normal((3 * 7 * 7, 128))
    directions /= np.linalg.norm(directions, axis=0)
    projected = np.sort(unfold(original) @ directions, axis=0)
    values = {name: [] for name in MEASURES[:4]}
    for image in made:
        values["coherence"].append(_nearest(image, original))
        values["completeness"].append(_nearest(original, image))
        values["wasserstein"].append(float(np.sqrt(((np.sort(unfold(image) @ directions, 0) - projected) ** 2).mean())))
        values["gradient"].append(_energy(image) / max(_energy(original), 1e-9))
    return {k: float(np.mean(v)) for k, v in values.items()} | {"diversity": float(made.std(0).mean())}


def quality(chosen: list[tuple[str, torch.Tensor]], n: int, settings: dict) -> Iterator[dict]:
    """One record per picture and search, then their means, the ratio fast / exact, and pictures without diversity."""
    results = {"fast": [], "exact": []}
    for name, image in chosen:
        for search, rows in results.items():
            rows.append(measure(image, variations(image, n, 0, search=search, **settings).pixels))
            yield {"picture": name, "side": image.shape[-1], "n": n, "search": search} | _rounded(rows[-1])
    means = {k: {m: float(np.mean([row[m] for row in rows])) for m in MEASURES} for k, rows in results.items()}
    for search, mean in means.items():
        alike = sum(row["diversity"] == 0 for row in results[search])
        yield {"mean of": len(chosen), "search": search} | _rounded(mean) | {"zero_diversity": alike} | settings
    yield {"ratio": "fast / exact"} | _rounded({m: means["fast"][m] / max(means["exact"][m], 1e-9) for m in MEASURES})


def _rounded(record: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in record.items()}
