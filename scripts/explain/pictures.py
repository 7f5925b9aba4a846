"""What is explained: photographs without annotations, of files, folders or arrays, and the built-in scenes."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from PIL import Image

from eval.datasets.demo import Demo
from eval.datasets.names import PICTURES, listed
from eval.datasets.pictures import Picture, checked_reading, picture_remarks
from eval.game.sample import Sample
from gpnncam.pictures import each


def samples_of(photo: Any, settings: DictConfig) -> tuple[list[Callable[[], Sample]], bool]:
    """(what makes each sample, whether several were given) of a file, a folder, an array or PIL image (see
    `gpnncam.pictures.KINDS`), or a list of these. A float array is rounded to 256 values a colour."""
    if isinstance(photo, str | Path):
        path = Path(photo).expanduser()
        return [partial(photograph, one, settings) for one in photos_of(path)], path.is_dir()
    if isinstance(photo, Sequence):
        parts = [part for one in photo for part in samples_of(one, settings)[0]]
        return [partial(_numbered, make, number) for number, make in enumerate(parts, 1)], True
    pictures, several = each(photo)
    arrays = [one.movedim(0, -1).numpy() for one in pictures]
    arrays = [one if one.dtype == np.uint8 else (one * 255).round().astype(np.uint8) for one in arrays]
    makes: list[Callable[[], Sample]] = [partial(_bare, "picture", Image.fromarray(one)) for one in arrays]
    return ([partial(_numbered, make, number) for number, make in enumerate(makes, 1)] if several else makes), several


def _numbered(make: Callable[[], Sample], number: int) -> Sample:
    """A picture without a name, among several, bears its number."""
    sample = make()
    return _bare(f"picture-{number}", sample.image) if sample.key == "picture" else sample


def _bare(key: str, image: Image.Image) -> Sample:
    none = np.empty(0, dtype=int)
    return Sample(key, image.size, none.reshape(0, 4), none, none.astype(bool), lambda: image)


def photos_of(path: Path) -> list[Path]:
    """The picture files that a path of the command line means: itself, or those of a folder, by name."""
    path = path.expanduser()
    if not path.is_dir():
        return [path]
    files = listed(path, PICTURES)[0]
    if not files:
        raise ValueError(f"{path} is a folder without pictures ({', '.join(PICTURES)})")
    return [path / name for name in files]


def photograph(path: Path, settings: DictConfig | None = None) -> Sample:
    """A picture file without annotations, upright as its EXIF orientation says: a photograph as one sees it. settings:
    of dataset=folder, of which white, frame and bands count."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no picture {path}")
    how = {name: settings.get(name) for name in ("white", "frame", "bands")} if settings is not None else {}
    place = path.resolve()
    picture = Picture(place.parent, place.name, None, **checked_reading("displayed", **how))
    image = picture()
    for remark in picture_remarks([picture]):
        print(remark)
    return _bare(path.name, image)


def scene(number: int) -> Sample:
    """A built-in scene, of the pictures that `dataset=demo` evaluates."""
    scenes = Demo()
    if not 0 <= number < len(scenes):
        raise ValueError(f"--scene must be a whole number from 0 to {len(scenes) - 1}, not {number}")
    return scenes[number]
