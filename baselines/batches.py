"""How many masked pictures pass the network at once, where nobody says it: the rule of GPNN-CAM's variations."""

from collections.abc import Iterator

from torch import Tensor

from baselines.contract import Classifier
from gpnncam.batch_size import Passes as PassesOfNetwork


class Passes(PassesOfNetwork):
    """Passes a classifier's masked pictures, one at least and `most` at most; see `gpnncam.batch_size.Passes`."""

    def __init__(self, classifier: Classifier, batch: int | None, most: int):
        super().__init__(classifier.network, batch, most, least=1)
        self.classifier = classifier

    def parts(self, rows: Tensor, pixels: Tensor) -> Iterator[Tensor]:
        """rows (N,) in parts that pass together as pictures of the size of pixels (...,h,w)."""
        return (rows[part] for part in self.rows(pixels, len(rows)))

    def at_once(self, pixels: Tensor) -> int:
        """How many pictures like pixels (1,3,h,w) pass together; a pass that finds it out is counted nowhere."""
        seen = self.classifier.images_seen
        count = super().at_once(pixels)
        self.classifier.images_seen = seen
        return count


class Batched:
    """What a method with `passes` shows of them: `batch`, which is lowered where a card's memory is too small."""

    passes: Passes

    @property
    def batch(self) -> int:
        """Pictures per forward pass, at most."""
        return self.passes.batch or self.passes.most

    @batch.setter
    def batch(self, count: int) -> None:
        self.passes.batch = count
