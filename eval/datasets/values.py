"""The values of an opened picture as 8-bit RGB: deep ones scaled, transparent ones laid on white, others refused.

`gpnncam/pictures.py`, which imports nothing of this room, reads PIL's pictures by the same rules;
tests/test_one_reader.py holds both to one answer.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eval.files.words import several

# TIFF's tags.
SUBFILE, BITS, PHOTOMETRIC, SAMPLES, PLANAR, EXTRA, FORMAT = 254, 258, 262, 277, 284, 338, 339
COLOURS = {2: 3, 5: 4, 6: 3, 8: 3}  # samples of a pixel by photometric interpretation; of others 1
# Cameras and scanners leave 10 to 14 bits in files of 16; what stays below is named as possibly meant so.
DARK = 1 << 14
WHITE = (1 << 16) - 1
MULTI = "dataset.frame=N reads the N-th, counted from 1"


def choose_frame(image: Image.Image, frame: int | None, path: Path) -> None:
    """Turns to the frame that the setting names; ValueError where a file has several and none is named."""
    frames = _frames(image)
    if frame is None and len(frames) > 1:
        raise ValueError(f"{path} holds {len(frames)} pictures, and one is meant; {MULTI}")
    if frame is not None and frame > len(frames):
        raise ValueError(f"{path} holds {several(len(frames), 'picture')}, no number {frame}")
    if frames:
        image.seek(frames[(frame or 1) - 1])


def _frames(image: Image.Image) -> list[int]:
    """The frames of a file that are pictures: without a TIFF's thumbnails and masks. A phone's pair (MPO) counts as its
    first: the other is a preview or a map of brightness."""
    if image.format == "MPO" or not getattr(image, "is_animated", False):
        return [0]
    frames = list(range(getattr(image, "n_frames", 1)))
    if image.format != "TIFF":
        return frames
    full = []
    for number in frames:
        image.seek(number)
        full += [] if _tag(image, SUBFILE, 0) & 5 else [number]
    return full or [0]


def check_bands(image: Image.Image, bands: str | None, path: Path) -> None:
    """ValueError for what Pillow reads as another picture: bands beyond the colours, signed or scattered values."""
    if image.format != "TIFF":
        return
    extra = _tag(image, EXTRA, ())
    extra = extra if isinstance(extra, tuple) else (extra,)
    alpha = 1 if extra[:1] in ((1,), (2,), (999,)) or (not extra and image.mode == "RGBA") else 0
    count, colours = _tag(image, SAMPLES, 1), COLOURS.get(_tag(image, PHOTOMETRIC, 1), 1)
    if count > colours + alpha and bands is None:
        raise ValueError(
            f"{path} has {count} bands, and {colours + alpha} are read as colours; save three of them as a picture, or "
            "take the first by dataset.bands=first"
        )
    depth, signed = max(_all(image, BITS, 8)), 2 in _all(image, FORMAT, 1)
    if depth == 8 and signed:
        raise ValueError(f"{path} holds signed numbers of 8 bits, and no file says which is black; save it unsigned")
    if depth == 16 and count > 1 and _tag(image, PLANAR, 1) == 2:
        raise ValueError(f"{path} holds 16 bits in separate planes, which are not read; save it with pixels together")


def _tag(image: Image.Image, number: int, usual: Any) -> Any:
    return getattr(image, "tag_v2", {}).get(number, usual)


def _all(image: Image.Image, number: int, usual: int) -> tuple[int, ...]:
    value = _tag(image, number, usual)
    return value if isinstance(value, tuple) else (value,)


def deep_values(image: Any, again: Callable[[], Any]) -> np.ndarray | None:
    """Loads a picture. (H,W,C) of its colours where they have more than 8 bits, None else.

    again: opens the file once more. Of 16-bit colours Pillow keeps the upper halves; the lower come from a second
    reading in the other order of bytes.
    """
    if image.mode[:1] in ("I", "F"):
        image.load()
        values = np.asarray(image if image.mode in ("I", "F") else image.convert("I"))
        inverted = image.format == "TIFF" and _tag(image, PHOTOMETRIC, 1) == 0
        return (_limit(image, values) - values if inverted else values)[..., None]
    raw = _rawmode(image)
    kind, deep, order = raw.partition(";16")
    if not deep or kind not in ("LA", "RGB", "RGBA", "RGBX", "CMYK"):
        image.load()
        return None
    with again() as other:
        turned = "RGBA" if kind == "LA" else f"{kind};16{'L' if order == 'B' else 'B'}"
        other.tile = [
            part._replace(args=turned if isinstance(part.args, str) else (turned, *part.args[1:]))
            for part in other.tile
        ]
        low = np.asarray(other, np.int32)
    high = np.asarray(image, np.int32)
    if kind == "LA":  # the four bytes of a pixel: grey, high and low, and alpha
        return (low[..., 0] * 256 + low[..., 1])[..., None]
    return (high * 256 + low)[..., : 4 if kind == "CMYK" else 3]


def is_deep(image: Image.Image) -> bool:
    """Whether an opened, not yet loaded picture has whole numbers of more than 8 bits."""
    return image.mode[:1] == "I" or ";16" in _rawmode(image)


def _rawmode(image: Any) -> str:
    args = image.tile[0].args if getattr(image, "tile", None) else ""
    raw = args[0] if isinstance(args, tuple) and args else args
    return raw if isinstance(raw, str) else ""


def _limit(image: Image.Image, values: np.ndarray) -> float:
    """White where nobody names it; in whole numbers of 12 bits 4095."""
    if _all(image, BITS, 16) == (12,):
        return (1 << 12) - 1
    return WHITE if values.dtype.kind in "iu" else 1.0


def rgb(image: Image.Image, deep: np.ndarray | None, kind: str | None, white: float | None, path: Path) -> Image.Image:
    """A loaded picture as 8-bit RGB, on white where it is transparent.

    deep: as from `deep_values`. kind: the file's format. white: the value of white in deep pictures, None: 65535 of 16
    bits. ValueError names the file: no white is known, or the values contradict it.
    """
    if deep is None:
        return on_white(image, path)
    colours = np.asarray(eight_bits(image, deep, kind, white, path))
    if deep.shape[2] == 4:
        return Image.merge("CMYK", [Image.fromarray(colours[..., place]) for place in range(4)]).convert("RGB")
    colours = np.broadcast_to(colours, (*colours.shape[:2], 3))
    key = image.info.get("transparency")
    if image.mode == "RGBA":
        alpha = np.asarray(image)[..., 3:]
    elif key is not None:
        alpha = np.where((deep == key).all(2, keepdims=True), 0, 255).astype(np.uint8)
    else:
        return Image.fromarray(np.ascontiguousarray(colours))
    return Image.fromarray(mixed(colours, alpha))


def eight_bits(image: Image.Image, deep: np.ndarray, kind: str | None, white: float | None, path: Path) -> np.ndarray:
    """(H,W,C) uint8 of deep values."""
    sixteen = image.mode not in ("I", "F") or (image.mode == "I" and kind in ("PNG", "PPM"))
    low, high = float(deep.min()), float(deep.max())
    if white is not None:
        if not (low >= 0 and high <= white * 1.001):  # also where one is no number
            raise ValueError(f"{path} has values from {low:g} to {high:g}, dataset.white={white:g} says 0 to {white:g}")
        return (np.clip(deep / white, 0, 1) * 255).round().astype(np.uint8)
    if not sixteen:
        what = "floating-point numbers" if image.mode == "F" else "32-bit whole numbers"
        raise ValueError(
            f"{path} holds {what}, and no file says which of them is white (1, 255, 65535?); save it with 8 or 16 "
            "bits, or set dataset.white=VALUE"
        )
    limit = _limit(image, deep)
    if 0 < high < 256 and limit == WHITE:
        raise ValueError(
            f"{path} has 16 bits and no value above 255 of 65535, a black picture; save it with 8 bits, or set "
            "dataset.white=255"
        )
    return (deep // 256 if limit == WHITE else deep * 255 // limit).astype(np.uint8)


def on_white(image: Image.Image, path: Path) -> Image.Image:
    """An 8-bit picture of any mode as RGB; what is transparent in it is white."""
    try:
        if not image.has_transparency_data:
            return image.convert("RGB")
        values = np.asarray(image.convert("RGBA"))
    except ValueError as error:
        raise ValueError(f"{path} holds {image.mode} values, which are not read: {error}; save it as RGB") from error
    return Image.fromarray(mixed(values[..., :3], values[..., 3:]))


def mixed(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(H,W,3) uint8 of colours with alpha (H,W,1) laid on white."""
    share = alpha.astype(np.uint32)
    return ((colours * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)
