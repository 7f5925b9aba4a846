"""Picture files as data sets name them: inside their folder, decoded as the field does, or refused by name."""

import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from eval.datasets.names import first_of, inside
from eval.files.download import sha256

# What annotators, cameras and browsers write. Pillow knows more formats; some of them start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
# Pillow's own threshold (89 million), here an error instead of a warning: a small file that claims 50,000 x 50,000
# pixels would take 7.5 GB of memory.
MAX_PIXELS = Image.MAX_IMAGE_PIXELS or 89_478_485
ORIENTATIONS = ("stored", "displayed")

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

    The content says which format it is, not the file's suffix.
    """

    root: Path
    name: str
    size: tuple[int, int] | None = None
    orientation: str = "stored"

    def __call__(self) -> Image.Image:
        """The RGB picture. ValueError or OSError names the file: no picture, truncated, too large, no known range."""
        path = inside(self.root, self.name)
        with _opened(path) as image:
            kind = image.format
            try:
                tag = orientation_of(image) if self._needs_tag(image) else 1  # loading removes it from a TIFF
                image.load()
                turned = self._turned(image, tag)
                if turned != (kind == "TIFF"):  # Pillow turns TIFF files by itself, and no others
                    image = image.transpose((TURN if turned else BACK)[tag]) if tag > 1 else image
            except BROKEN as error:
                raise ValueError(f"{path} cannot be decoded, the file is damaged or truncated: {error}") from error
            return rgb(image, kind, path)

    def header_size(self) -> tuple[int, int]:
        """(width, height) that the picture will have, from the file's header alone; errors as when it is opened."""
        path = inside(self.root, self.name)
        with _opened(path) as image:
            tag = orientation_of(image) if self._needs_tag(image) else 1
            stored, displayed = _sizes(image, tag)
            return displayed if self._turned(image, tag) else stored

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


def checked_orientation(value: str) -> str:
    """The setting; ValueError unless it is one."""
    if value not in ORIENTATIONS:
        raise ValueError(f"dataset.orientation must be {' or '.join(ORIENTATIONS)}, not {value!r}")
    return value


def orientation_remark(root: Path, names: Sequence[str], orientation: str) -> list[str]:
    """A line that counts the pictures with an EXIF orientation, or none: their boxes can be meant in two ways."""
    tagged = [name for name in names if _tagged(root, name)]
    if not tagged or orientation == "displayed":
        return []
    return [
        f"{len(tagged):,} of {len(names):,} pictures have an EXIF orientation ({first_of(tagged)}): they are read as "
        "stored, and turned only where the annotated size fits nothing else; if the annotations were drawn on pictures "
        "as viewers show them, set dataset.orientation=displayed"
    ]


def _tagged(root: Path, name: str) -> bool:
    try:
        path = inside(root, name)
        with open(path, "rb") as stream:
            head = stream.read(4096)
        # Both kinds of tag begin in a JPEG's first segments: most pictures are done after one read.
        if head.startswith(b"\xff\xd8") and b"Exif\0" not in head and b"http://ns.adobe.com/xap/" not in head:
            return False
        with _opened(path) as image:
            return orientation_of(image) > 1
    except (OSError, ValueError):
        return False  # said when the picture is opened


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


def rgb(image: Image.Image, kind: str | None, path: Path) -> Image.Image:
    """A loaded picture of a file of that kind as 8-bit RGB; ValueError where the file does not say what white is."""
    sixteen_bits = image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM"))
    if image.mode in ("F", "I") and not sixteen_bits:
        what = "floating-point numbers" if image.mode == "F" else "32-bit whole numbers"
        raise ValueError(
            f"{path} holds {what}, and no file says which of them is white (1, 255, 65535?); save it with 8 or 16 bits"
        )
    if sixteen_bits:
        # Pillow clips 16-bit grey to 255 instead of scaling it.
        image = image.convert("I")
        if 0 < int(np.asarray(image).max()) < 256:
            raise ValueError(
                f"{path} has 16 bits and no value above 255 of 65535, a black picture; save it with 8 bits"
            )
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    return image.convert("RGB")
