"""Picture files as data sets name them: inside their folder, decoded as the field does, or refused by name."""

import math
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from eval.datasets.names import first_of, inside
from eval.datasets.values import DARK, WHITE, check_bands, choose_frame, deep_values, is_deep, rgb
from eval.files.download import sha256
from eval.files.words import several

# What annotators, cameras and browsers write. Pillow knows more formats; some of them start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
# Pillow's own threshold (89 million), here an error instead of a warning: a small file that claims 50,000 x 50,000
# pixels would take 7.5 GB of memory.
MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485
ORIENTATIONS = ("stored", "displayed")
LOOKED = 100  # pictures of 16 bits that are decoded to see whether they use them

# EXIF orientation -> what turns the stored pixels into the displayed picture, and what turns it back.
_T = Image.Transpose
TURN = {2: _T.FLIP_LEFT_RIGHT, 3: _T.ROTATE_180, 4: _T.FLIP_TOP_BOTTOM, 5: _T.TRANSPOSE, 6: _T.ROTATE_270,
        7: _T.TRANSVERSE, 8: _T.ROTATE_90}  # fmt: skip
BACK = TURN | {6: _T.ROTATE_90, 8: _T.ROTATE_270}
# What Pillow raises for damaged files.
BROKEN = (OSError, SyntaxError, ValueError, LookupError, TypeError, struct.error, MemoryError, ZeroDivisionError,
          Image.DecompressionBombError)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """Opens one picture file: callable and picklable, as `Sample.open` wants it.

    root, name: the file is root/name and must stay inside root.
    size: (width, height) of the annotation, or None.
    orientation: "stored": the stored pixels are used as they are, as all published pointing games do (the annotation
        tools of VOC, ImageNet and COCO ignored EXIF); only where the annotated size fits the turned picture and not
        the stored one is it turned. "displayed": the EXIF orientation always counts, as in today's annotation tools.
    white: the value of white in pictures of more than 8 bits; None: 65535 of 16 bits, and others are refused.
    frame: which picture of a file of several, from 1; None: such a file is refused.
    bands: "first": of more bands than colours the first are read; None: such a file is refused.

    The content says which format it is, not the file's suffix. What is transparent is white.
    """

    root: Path
    name: str
    size: tuple[int, int] | None = None
    orientation: str = "stored"
    white: float | None = None
    frame: int | None = None
    bands: str | None = None

    def __call__(self) -> Image.Image:
        """The RGB picture. ValueError or OSError names the file: no picture, truncated, too large, no known range."""
        path = inside(self.root, self.name)
        with self._opened(path) as image:
            kind = image.format
            try:
                tag = orientation_of(image) if self._needs_tag(image) else 1  # loading removes it from a TIFF
                deep = deep_values(image, lambda: self._opened(path))
                turned = self._turned(image, tag)
            except BROKEN as error:
                raise ValueError(f"{path} cannot be decoded, the file is damaged or truncated: {error}") from error
            image = rgb(image, deep, kind, self.white, path)
            if turned != (kind == "TIFF"):  # Pillow turns TIFF files by itself, and no others
                image = image.transpose((TURN if turned else BACK)[tag]) if tag > 1 else image
            return image

    def header_size(self) -> tuple[int, int]:
        """(width, height) that the picture will have, from the file's header alone; errors as when it is opened."""
        path = inside(self.root, self.name)
        with self._opened(path) as image:
            tag = orientation_of(image) if self._needs_tag(image) else 1
            stored, displayed = _sizes(image, tag)
            return displayed if self._turned(image, tag) else stored

    def highest(self) -> int | None:
        """The highest value of a 16-bit picture; None for any other, or where the setting says what white is."""
        path = inside(self.root, self.name)
        with self._opened(path) as image:
            deep = deep_values(image, lambda: self._opened(path)) if self.white is None else None
            return None if deep is None or deep.dtype.kind == "f" else int(deep.max())

    def _opened(self, path: Path) -> Image.Image:
        image = _opened(path)
        try:
            choose_frame(image, self.frame, path)
            check_bands(image, self.bands, path)
        except (EOFError, *BROKEN) as error:
            image.close()
            if str(path) in str(error):
                raise
            raise ValueError(f"{path} cannot be decoded, the file is damaged or truncated: {error}") from error
        return image

    def _needs_tag(self, image: Image.Image) -> bool:
        # Reading EXIF costs as much as opening a file, and hardly ever counts.
        return self.orientation == "displayed" or image.format == "TIFF" or self.size not in (None, image.size)

    def digest(self) -> str:
        """Sixteen hex digits of the file's bytes (SHA-256)."""
        return sha256(inside(self.root, self.name))[:16]

    def _turned(self, image: Image.Image, tag: int) -> bool:
        stored, displayed = _sizes(image, tag)
        return self.orientation == "displayed" or (self.size not in (None, stored) and self.size == displayed)


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of an opened, not yet loaded picture, 1 to 8; 1, as stored, without a readable tag."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode the picture to look behind its pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged tags, which are none
            tag = image.getexif().get(ExifTags.Base.Orientation, 1)
    except BROKEN:
        return 1
    return tag if isinstance(tag, int) and tag in TURN else 1


def _sizes(image: Image.Image, tag: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The stored and the displayed (width, height)."""
    swapped = image.size[::-1] if tag >= 5 else image.size
    return (swapped, image.size) if image.format == "TIFF" else (image.size, swapped)


def checked_reading(
    orientation: str = "stored", white: float | None = None, frame: int | None = None, bands: str | None = None
) -> dict[str, Any]:
    """The settings of a data set that say how its picture files are read, as arguments of `Picture`; ValueError names
    the one that cannot be meant."""
    if orientation not in ORIENTATIONS:
        raise ValueError(f"dataset.orientation must be {' or '.join(ORIENTATIONS)}, not {orientation!r}")
    if white is not None and (type(white) not in (int, float) or not 0 < white < math.inf):
        raise ValueError(f"dataset.white must be the value of white, a number above 0, not {white!r}")
    if frame is not None and (type(frame) is not int or frame < 1):
        raise ValueError(f"dataset.frame must be a whole number of at least 1, not {frame!r}")
    if bands not in (None, "first"):
        raise ValueError(f"dataset.bands must be first, not {bands!r}")
    return {"orientation": orientation, "white": white, "frame": frame, "bands": bands}


def picture_remarks(pictures: Sequence[Picture]) -> list[str]:
    """Lines that count the pictures whose file can be meant in two ways: turned, transparent, dark of 16 bits."""
    kinds = [_kinds(picture) for picture in pictures]
    tagged, clear, deep = (
        [picture for picture, of_it in zip(pictures, kinds, strict=True) if kind in of_it]
        for kind in ("tagged", "clear", "deep")
    )
    lines = []
    if tagged and tagged[0].orientation == "stored":
        lines.append(
            f"{_count(tagged, pictures)} have an EXIF orientation ({_named(tagged)}): they are read as stored, and "
            "turned only where the annotated size fits nothing else; if the annotations were drawn on pictures as "
            "viewers show them, set dataset.orientation=displayed"
        )
    if clear:
        lines.append(
            f"{_count(clear, pictures)} have transparency ({_named(clear)}): what is transparent is read as white"
        )
    step = -(-len(deep) // LOOKED) or 1
    highest = {picture.name: top for picture in deep[::step] if (top := _highest(picture)) and 255 < top < DARK}
    if highest:
        name, top = max(highest.items(), key=lambda item: item[1])
        meant = next((1 << bits) - 1 for bits in (10, 12, 14) if top < 1 << bits)
        looked = f"{len(deep[::step]):,} looked at of {len(deep):,}"
        lines.append(
            f"{several(len(highest), 'picture of 16 bits has', 'pictures of 16 bits have')} no value above {top:,} of "
            f"{WHITE:,} ({name}; {looked}) and look as dark as that; if white is another "
            f"value there, set it: dataset.white={meant}"
        )
    return lines


def _count(some: Sequence[Picture], pictures: Sequence[Picture]) -> str:
    return f"{len(some):,} of {len(pictures):,} pictures"


def _named(pictures: Sequence[Picture]) -> str:
    return first_of([picture.name for picture in pictures])


def _kinds(picture: Picture) -> set[str]:
    """Which of "tagged", "clear" and "deep" a file's header says; none of a file that cannot be read."""
    try:
        path = inside(picture.root, picture.name)
        with open(path, "rb") as stream:
            head = stream.read(4096)
        # Both kinds of tag begin in a JPEG's first segments: most pictures are done after one read.
        if head.startswith(b"\xff\xd8") and b"Exif\0" not in head and b"http://ns.adobe.com/xap/" not in head:
            return set()
        with _opened(path) as image:
            tagged, clear, deep = orientation_of(image) > 1, image.has_transparency_data, is_deep(image)
            return {kind for kind, it in (("tagged", tagged), ("clear", clear), ("deep", deep)) if it}
    except (OSError, ValueError):
        return set()  # said when the picture is opened


def _highest(picture: Picture) -> int | None:
    try:
        return picture.highest()
    except BROKEN:
        return None  # said when the picture is opened


def stored_size(root: Path, name: str) -> tuple[int, int]:
    """(width, height) from the file's header alone."""
    with _opened(inside(root, name)) as image:
        return image.size


def _opened(path: Path) -> Image.Image:
    if not path.is_file():
        raise FileNotFoundError(f"the picture {path} does not exist")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is an error below
            image = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} claims more than {MAX_PIXELS:,} pixels and is refused: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} is no picture in a known format ({', '.join(FORMATS)}): {error}") from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise ValueError(f"{path} is {image.width} x {image.height}: more than {MAX_PIXELS:,} pixels are refused")
    return image
