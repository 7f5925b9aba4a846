"""Heat of variations carried back to the picture that they were made from."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional


def carry_back_all(heat: Tensor, fields: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """`carry_back` of heat (K,n,H,W) through n fields (h,w,2) whose patches may differ in size."""
    alike: dict[tuple, list[int]] = {}
    for i, field in enumerate(fields):
        alike.setdefault(tuple(field.shape), []).append(i)
    parts = [carry_back(heat[:, rows], torch.stack([fields[i] for i in rows])) for rows in alike.values()]
    return cast(Tensor, sum(votes for votes, _ in parts)), cast(Tensor, sum(counts for _, counts in parts))


def carry_back(heat: Tensor, fields: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the variations' heat over the pixels of the picture, and how often each pixel was voted for.

    heat: (K,n,H,W) on the pixels of the variations. fields: (n,h,w,2) int, for each patch of a variation (by its top
    left pixel) the (row, column) of the top left pixel of the source patch that it shows. The patches' side p follows
    from h = H - p + 1; the heat at a patch's centre is spread over the p x p pixels of its source patch.
    Returns votes (K,H,W) and counts (H,W), both float64.
    """
    classes, _, height, width = heat.shape
    rows, columns = fields.shape[1:3]
    patch = height - rows + 1
    top = left = patch // 2
    inner = heat[:, :, top : top + rows, left : left + columns].reshape(classes, -1).double()
    centres = fields.to(heat.device).long() + patch // 2
    where = (centres[..., 0] * width + centres[..., 1]).reshape(-1)
    votes = inner.new_zeros(classes + 1, height * width)
    votes.index_add_(1, where, torch.cat([inner, torch.ones_like(inner[:1])]))
    votes = votes.view(1, classes + 1, height, width)
    spread = functional.avg_pool2d(votes, patch, stride=1, padding=patch // 2, count_include_pad=False)[0]
    # The centre of an even side is the pixel behind its middle: the windows of the first row and column end before it.
    spread = spread[:, spread.shape[1] - height :, spread.shape[2] - width :]
    return spread[:-1], spread[-1]
