"""Picture files as data sets name them: found inside their folder, decoded as the field does, or refused by name."""

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image, ImageOps

from eval.files.download import sha256

# What annotators, cameras and browsers write. Pillow knows more formats; some of them start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")
# Pillow's own threshold (89 million), here an error instead of a warning: a small file that claims 50,000 x 50,000
# pixels would take 7.5 GB of memory.
MAX_PIXELS = Image.MAX_IMAGE_PIXELS


def folder(path: str | Path | None, what: str, remedy: str) -> Path:
    """The existing folder `path`, resolved; FileNotFoundError that says what was looked for and how to get it."""
    if path is None:
        raise FileNotFoundError(f"{what} is not configured; {remedy}")
    found = Path(path).expanduser()
    if not found.is_dir():
        raise FileNotFoundError(f"{what}: there is no folder {found.absolute()}; {remedy}")
    return found.resolve()


def file(path: Path, what: str, remedy: str) -> Path:
    """The existing file `path`; FileNotFoundError that says what was looked for and how to get it."""
    if not path.is_file():
        raise FileNotFoundError(f"{what}: there is no file {path.absolute()}; {remedy}")
    return path


def text(path: Path) -> str:
    """A text file in UTF-8 (with or without byte order mark); ValueError names it where it is not."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from error


def inside(root: Path, name: str) -> Path:
    """The path of `name` (relative, "/" between folders) under the resolved folder `root`.

    ValueError where it leads out of `root`: absolute, with "..", or through a symbolic link. Whoever writes an
    annotation chooses names, and no annotation may make the suite read files elsewhere.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"the file name {name!a} in {root} is not UTF-8; rename the file") from None
    relative = PurePosixPath(name)
    if not name or "\0" in name or relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"the file name {name!r} does not stay inside {root}")
    path = root / relative
    if not path.resolve().is_relative_to(root):
        raise ValueError(f"{path} is a link that leads out of {root}")
    return path


def missing(root: Path, names: Iterable[str]) -> list[str]:
    """Those of `names` that are no file under `root`; one directory scan for plain names, not one look-up per file."""
    present = set(os.listdir(root))
    return [n for n in names if (n not in present if "/" not in n else not inside(root, n).is_file())]


@dataclass(frozen=True)
class Picture:
    """Opens one picture file: callable and picklable, as `Sample.open` wants it.

    root, name: the file is root/name and must stay inside root.
    size: (width, height) of the annotation, or None.

    The stored pixels are used as they are, as all published pointing games do: neither the file's suffix nor its
    EXIF orientation counts (annotation tools of VOC, ImageNet and COCO ignored it). Only where the annotated size fits
    the rotated picture and not the stored one is the orientation applied.
    """

    root: Path
    name: str
    size: tuple[int, int] | None = None

    def __call__(self) -> Image.Image:
        """The RGB picture. ValueError or OSError names the file: no picture, truncated, too large."""
        path = inside(self.root, self.name)
        with _opened(path) as image:
            try:
                image.load()
                if self.size is not None and image.size != self.size:
                    turned = ImageOps.exif_transpose(image)
                    image = turned if turned.size == self.size else image
                return _rgb(image)
            except (OSError, SyntaxError, ValueError, IndexError, MemoryError, Image.DecompressionBombError) as error:
                raise ValueError(f"{path} cannot be decoded, the file is damaged or truncated: {error}") from error

    def digest(self) -> str:
        """Sixteen hex digits of the file's bytes (SHA-256)."""
        return sha256(inside(self.root, self.name))[:16]


def stored_size(root: Path, name: str) -> tuple[int, int]:
    """(width, height) from the file's header alone."""
    with _opened(inside(root, name)) as image:
        return image.size


def _opened(path: Path) -> Image.Image:
    if not path.is_file():
        raise FileNotFoundError(f"the picture {path} does not exist")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} claims more than {MAX_PIXELS:,} pixels and is refused: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} is no picture in a known format ({', '.join(FORMATS)}): {error}") from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise ValueError(f"{path} is {image.width} x {image.height}: more than {MAX_PIXELS:,} pixels are refused")
    return image


def _rgb(image: Image.Image) -> Image.Image:
    # Pillow clips 16-bit grey to 255 instead of scaling it.
    if image.mode.startswith("I;16") or image.mode == "I":
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return image.convert("RGB")
