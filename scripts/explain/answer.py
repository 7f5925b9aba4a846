"""`python -m scripts.explain`: what its words mean, the figures and the numbers that it writes."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from eval.game.sample import Sample
from scripts.explain.explained import Explainer
from scripts.explain.network import is_setting, names_in
from scripts.explain.pictures import photograph, photos_of, scene


def explain_photograph(arguments: argparse.Namespace) -> None:
    """Draw the figures and write the numbers of `python -m scripts.explain`; ValueError says what cannot be meant, or,
    of several photographs, which ones failed."""
    named = [text for text in arguments.given if "=" not in text or Path(text).exists()]
    photos = [photo for text in named for photo in photos_of(Path(text))]
    settings = [text for text in arguments.given if text not in named]
    # An option of many words takes the settings behind it, too.
    for option in ("method", "layers", "classes_asked", "mean", "std"):
        words = getattr(arguments, option) or []
        settings += [word for word in words if is_setting(word)]
        if words:
            setattr(arguments, option, [word for word in words if not is_setting(word)])
    if len(photos) > 1 and arguments.out and arguments.out.suffix:
        raise ValueError(f"--out {arguments.out} is one file for {len(photos)} photographs; name a folder")
    with contextlib.redirect_stdout(sys.stderr) if arguments.json == "-" else contextlib.nullcontext():
        settings = [f"dataset={'folder' if photos else 'demo'}", *settings]
        explainer = Explainer(
            arguments.model, arguments.method, arguments.layers, arguments.mean, arguments.std,
            names_in(arguments.classes), settings,
        )  # fmt: skip
        samples: list[Callable[[], Sample]] = [partial(photograph, photo, explainer.cfg.dataset) for photo in photos]
        samples = samples or [partial(scene, arguments.scene)]
        if len(samples) == 1:  # a mistake in its name need not wait for the network
            samples = [partial(_same, samples[0]())]
        explainer.classifier  # noqa: B018 - what is wrong with it is said once, not for each photograph
        answers, failed = [], []
        for make, photo, figure in zip(samples, photos or [None], _figures(photos, arguments.out), strict=True):
            try:
                answer = explainer(make(), arguments.classes_asked, arguments.top, print)
                figure = figure or Path(f"{Path(answer.picture).stem}-explained.png")
                answer.save(figure)
            except (ValueError, OSError) as error:
                if len(samples) == 1:
                    raise
                failed.append(str(error))
                continue
            answers.append(replace(answer, picture=str(photo or answer.picture)).report(arguments.model))
            print(figure)
    content = answers if len(samples) > 1 else answers[0]
    if arguments.json == "-":
        print(json.dumps(content))
    elif arguments.json:
        Path(arguments.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(arguments.json)
    if failed:
        raise ValueError(f"{len(failed)} of {len(samples)} photographs have no figure: {'; '.join(failed)}")


def _same(sample: Sample) -> Sample:
    return sample


def _figures(photos: Sequence[Path], out: Path | None) -> list[Path | None]:
    """Where each figure goes; None: here, by the sample's name. Photographs of one name get their folder's name too."""
    if len(photos) < 2:
        return [out]
    if out:
        out.mkdir(parents=True, exist_ok=True)
    stems = [photo.stem for photo in photos]
    if len(set(stems)) < len(stems):
        stems = [f"{photo.absolute().parent.name}-{photo.name.replace('.', '-')}" for photo in photos]
    return [(out or Path()) / f"{stem}-explained.png" for stem in stems]
