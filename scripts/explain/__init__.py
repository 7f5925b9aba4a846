"""Explains photographs: `python -m scripts.explain`, and from Python `from scripts.explain import explain`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the command's --help needs no torch
    from scripts.explain.explained import Explained


def explain(
    photo: Any,
    model: str = "resnet50",
    methods: Sequence[str | Callable] | str | Callable = ("gradcam", "gpnncam"),
    classes: Sequence[str | int] | str | int | None = None,
    top: int = 1,
    *,
    settings: Sequence[str] = (),
    layers: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
) -> Explained | list[Explained]:
    """What `python -m scripts.explain` answers about a photograph; `.save(path)` alone writes a file.

    Args:
        photo: a picture file, a folder, a PIL image, an array (H,W,3) or tensor (3,H,W), uint8 or float in [0,1], a
            batch or a list of these. Of a folder, a batch and a list a list is returned.
        model: a name in conf/model, torchvision:ARCH, timm:ARCH, or module:callable.
        methods: names in conf/method, module:function, or callables (docs/howto/method.md).
        classes: of the network's outputs, by name or number.
        top: without `classes`, how many of those that score highest.
        settings: of run.py, such as "model.checkpoint=weights.pth".
        layers: of a network that is not one of conf/model, deep to shallow.
        mean: of its normalisation, red, green, blue in [0,1].
        std: alike.
        names: of its outputs.

    Returns:
        An `Explained` with names, scores, points and maps, or a list of them.

    Raises:
        ValueError: names an argument that cannot be meant.
        FileNotFoundError: there is no such picture.

    >>> from scripts.explain.pictures import scene
    >>> answer = explain(scene(3).image, methods="gradcam", settings=["dataset=demo"])
    >>> answer.names
    ['crown']
    """
    from scripts.explain.explained import Explainer
    from scripts.explain.pictures import samples_of

    several = [methods] if isinstance(methods, str) or callable(methods) else methods
    asked = [classes] if isinstance(classes, str | int) else classes
    explainer = Explainer(model, several, layers, mean, std, names, ["dataset=folder", *settings])
    samples, listed = samples_of(photo, explainer.cfg.dataset)
    answers = [explainer(make(), asked, top) for make in samples]
    return answers if listed else answers[0]
