"""Pictures of the kinds that people have them in, as tensors (3,H,W) uint8, or float in [0,1].

PIL's pictures are read by the rules of `eval/datasets/values.py`, which this package does not import, and upright;
tests/test_one_reader.py holds both to one answer.
"""

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

KINDS = (
    "a PIL image, a tensor (3,H,W) or (B,3,H,W), a numpy array (H,W,3) or (B,H,W,3), RGB, uint8 or float in [0,1], "
    "or a list of these"
)
ORIENTATION = 274  # EXIF's tag, and TIFF's
WHITE, DARK = (1 << 16) - 1, 1 << 14
SUBFILE, BITS, PHOTOMETRIC, SAMPLES, EXTRA = 254, 258, 262, 277, 338  # TIFF's
MOST = 89_478_485  # pixels of a PIL image: what data sets take


def each(picture: Any) -> tuple[list[Tensor], bool]:
    """(pictures (3,H,W), uint8 or float32 in [0,1], whether a batch was given) of whatever KINDS names; ValueError
    else."""
    if isinstance(picture, list | tuple):
        if not picture:
            raise ValueError("the list of pictures is empty")
        return [one for part in picture for one in each(part)[0]], True
    if hasattr(picture, "convert") and hasattr(picture, "size"):  # a PIL image; PIL itself is not needed for it
        picture = of_pil(picture)
    if isinstance(picture, np.ndarray):
        if picture.ndim not in (3, 4) or picture.shape[-1] != 3:
            raise ValueError(f"an array of shape {picture.shape} is no picture; a picture is {KINDS}")
        picture = torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, -3)
    if not isinstance(picture, Tensor):
        raise ValueError(f"{type(picture).__name__} is no picture; a picture is {KINDS}")
    if picture.dim() not in (3, 4) or picture.shape[-3] != 3:
        hint = ""
        if picture.dim() in (3, 4) and picture.shape[-1] == 3:
            hint = "; channels come first: picture.movedim(-1, -3)"
        elif picture.dim() in (3, 4) and picture.shape[-3] == 1:
            hint = "; a grey picture is repeated over the colours: picture.expand(3, -1, -1)"
        raise ValueError(f"a tensor of shape {tuple(picture.shape)} is no picture{hint}; a picture is {KINDS}")
    batch = picture.dim() == 4
    return [_checked(one) for one in (picture if batch else picture[None])], batch


def _checked(picture: Tensor) -> Tensor:
    picture = picture.detach().cpu()
    if picture.dtype == torch.uint8:
        return picture
    if not picture.is_floating_point():
        raise ValueError(f"a picture of {picture.dtype}; it must be uint8, or float in [0,1]")
    picture = picture.float()
    low, high = (float(value) for value in picture.aminmax())
    if not -1e-3 <= low <= high <= 1 + 1e-3:
        raise ValueError(
            f"the picture's values go from {low:.4g} to {high:.4g}; they must lie in [0, 1]; the classifier "
            "normalises them"
        )
    return picture.clamp(0, 1)


def of_pil(image: Any) -> np.ndarray:
    """(H,W,3) uint8 of a PIL image as one sees it: turned by its EXIF tag, deep values scaled, what is transparent on
    white. ValueError where several pictures can be meant or nobody says what white is."""
    name = str(getattr(image, "filename", "") or "the picture")
    if image.width * image.height > MOST:
        raise ValueError(f"{name} is {image.width} x {image.height}: more than {MOST:,} pixels are refused")
    tags = getattr(image, "tag_v2", {})
    _check_layout(image, tags, name)
    raw = _rawmode(image)  # before the tag is read: for it PIL decodes a PNG
    # PIL turns TIFF files by itself when they are loaded, and drops their tag.
    tag = 1 if image.format == "TIFF" else image.getexif().get(ORIENTATION, 1)
    image.load()
    alpha = None
    if image.mode[:1] in ("I", "F"):
        values = _sixteen(image, tags, name)[..., None]
        key = image.info.get("transparency")
        alpha = None if key is None else np.where(np.asarray(image)[..., None] == key, 0, 255)
        colours = values.repeat(3, axis=2)
    else:
        if ";16" in raw and np.asarray(image)[..., :3].max(initial=0) == 0:
            raise ValueError(f"{name} has 16 bits and no value above 255 of 65535, a black picture; give 8 bits")
        if ";16" in raw and (top := int(np.asarray(image)[..., :3].max(initial=0)) * 256 + 255) < DARK:
            warnings.warn(_dark(name, top), stacklevel=2)
        try:
            clear = image.has_transparency_data
            colours = np.asarray(image.convert("RGBA" if clear else "RGB"))
        except ValueError as error:
            raise ValueError(f"{name} holds {image.mode} values, which are not read: {error}; convert it") from error
        if clear:
            colours, alpha = colours[..., :3], colours[..., 3:]
    if alpha is not None:
        share = alpha.astype(np.uint32)
        colours = ((colours * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)
    return np.array(_upright(colours, tag))


def _check_layout(image: Any, tags: Any, name: str) -> None:
    """ValueError where a file holds several pictures, or more bands than colours."""
    if image.format != "MPO" and getattr(image, "is_animated", False):
        place, several = image.tell(), 0
        for number in range(image.n_frames):
            image.seek(number)
            several += not (image.format == "TIFF" and getattr(image, "tag_v2", {}).get(SUBFILE, 0) & 5)
        image.seek(place)
        if several > 1:
            raise ValueError(
                f"{name} holds {several} pictures, and one is meant: image.seek(N), counted from 0, then image.copy()"
            )
    if image.format == "TIFF":
        extra = tags.get(EXTRA, ())
        extra = extra if isinstance(extra, tuple) else (extra,)
        alpha = 1 if extra[:1] in ((1,), (2,), (999,)) or (not extra and image.mode == "RGBA") else 0
        colours = {2: 3, 5: 4, 6: 3, 8: 3}.get(tags.get(PHOTOMETRIC, 1), 1)
        if tags.get(SAMPLES, 1) > colours + alpha:
            raise ValueError(f"{name} has {tags[SAMPLES]} bands; give three of them as a picture")


def _rawmode(image: Any) -> str:
    args = image.tile[0].args if getattr(image, "tile", None) else ""
    raw = args[0] if isinstance(args, tuple) and args else args
    return raw if isinstance(raw, str) else ""


def _sixteen(image: Any, tags: Any, name: str) -> np.ndarray:
    """(H,W) uint8 of a grey PIL image of more than 8 bits, as `eval/datasets/values.py` has it without settings."""
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        what = "floating-point numbers" if image.mode == "F" else "32-bit whole numbers"
        raise ValueError(
            f"{name} holds {what}, and nothing says which of them is white (1, 255, 65535?); give an array or a tensor "
            "of floats in [0, 1], or 8 or 16 bits"
        )
    values = np.asarray(image.convert("I"))
    limit = (1 << 12) - 1 if tags.get(BITS, (16,)) in (12, (12,)) else WHITE
    if image.format == "TIFF" and tags.get(PHOTOMETRIC, 1) == 0:
        values = limit - values
    top = int(values.max(initial=0))
    if 0 < top < 256 and limit == WHITE:
        raise ValueError(f"{name} has 16 bits and no value above 255 of 65535, a black picture; give 8 bits")
    if 0 < top < DARK and limit == WHITE:
        warnings.warn(_dark(name, top), stacklevel=3)
    return (values // 256 if limit == WHITE else values * 255 // limit).astype(np.uint8)


def _dark(name: str, top: int) -> str:
    return (
        f"{name} has 16 bits and no value above {top:,} of {WHITE:,}: it is read as dark as that; if white is another "
        "value, give an array divided by it"
    )


def _upright(pixels: np.ndarray, tag: int) -> np.ndarray:
    """(H,W,3) turned as an EXIF orientation (1 to 8) says."""
    if tag in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if tag in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if tag in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """(K,h,w) float64 -> (K,*size), bilinear, flat beyond the outermost cells' centres. As a + w (b - a): what is flat
    stays so to the last bit, and its highest point is where it begins."""
    for axis, count in ((1, size[0]), (2, size[1])):
        length = maps.shape[axis]
        place = ((torch.arange(count, dtype=maps.dtype) + 0.5) * (length / count) - 0.5).clamp(0, length - 1)
        first = place.long()
        below, above = maps.index_select(axis, first), maps.index_select(axis, (first + 1).clamp(max=length - 1))
        share = (place - first).view([-1 if axis == each_axis else 1 for each_axis in range(3)])
        maps = below + share * (above - below)
    return maps


def resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(3,H,W) uint8, or float in [0,1] -> (3,*size) float32 in [0,1], the aspect ignored; bilinear, averaging where it
    shrinks. A colour at a time: a picture of fifty million pixels takes 200 MB beside itself."""
    scale = 255 if picture.dtype == torch.uint8 else 1
    if tuple(picture.shape[1:]) == size:
        return picture.float() / scale
    colours = [
        functional.interpolate(
            (one.float() / scale)[None, None], size, mode="bilinear", align_corners=False, antialias=True
        )[0, 0]
        for one in picture
    ]
    return torch.stack(colours).clamp(0, 1)
