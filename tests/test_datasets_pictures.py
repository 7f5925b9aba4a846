"""Picture files in all the ways people have them: decoded as the field does, or refused by name."""

import io
import os
import pickle
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from eval.datasets.names import inside, located
from eval.datasets.pictures import MAX_PIXELS, Picture


def colours(width=32, height=24):
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8)).resize((width, height), Image.Resampling.NEAREST)


def near(image, expected, tolerance=12):
    difference = np.abs(np.asarray(image, int) - np.asarray(expected.convert("RGB"), int))
    return image.mode == "RGB" and image.size == expected.size and difference.mean() < tolerance


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "P", "RGBA", "1", "LA"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_modes_and_formats(tmp_path, form, mode):
    image = colours().convert(mode)
    try:
        image.save(
            tmp_path / "p.jpg", format=form, **{"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(form, {})
        )
    except (OSError, ValueError):
        pytest.skip(f"{form} has no {mode}")
    # A wrong suffix is common (ImageNet has a PNG called .JPEG); the content counts.
    assert near(Picture(tmp_path, "p.jpg")(), image)


def test_the_first_picture_of_a_phones_pair_counts(tmp_path):
    colours().save(tmp_path / "p.jpg", "MPO", save_all=True, append_images=[Image.new("RGB", (32, 24))], quality=95)
    assert near(Picture(tmp_path, "p.jpg")(), colours())


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = (np.arange(32 * 24).reshape(24, 32) * 80).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "p.png")
    actual = np.asarray(Picture(tmp_path, "p.png")(), int)
    assert np.abs(actual - (values // 256)[..., None]).max() <= 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_counts_only_where_the_annotation_needs_it(tmp_path, orientation):
    stored, exif = colours(), Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "p.png", exif=exif)
    assert near(Picture(tmp_path, "p.png", (32, 24))(), stored)
    assert near(Picture(tmp_path, "p.png")(), stored)
    turned = {6: stored.rotate(-90, expand=True), 8: stored.rotate(90, expand=True)}
    assert near(Picture(tmp_path, "p.png", (24, 32))(), turned.get(orientation, stored))


def png_claiming(width, height):
    """A valid PNG header of that size with no pixels behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def jpeg_claiming(width, height):
    """A small JPEG whose frame header is rewritten to that size."""
    stream = io.BytesIO()
    colours().save(stream, "JPEG")
    data = bytearray(stream.getvalue())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def valid(form):
    stream = io.BytesIO()
    colours(64, 64).save(stream, form)
    return stream.getvalue()


BAD = {
    "empty": (b"", "no picture"),
    "text": (b"not a picture", "no picture"),
    "html": (b"<!DOCTYPE html><html></html>", "no picture"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "no picture"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n", "no picture"),
    "pdf": (b"%PDF-1.4\n", "no picture"),
    "zeros": (bytes(1000), "no picture"),
    "jpeg head": (valid("JPEG")[:20], "no picture"),
    "jpeg cut": (valid("JPEG")[:-200], "damaged or truncated"),
    "png cut": (valid("PNG")[:-60], "damaged or truncated"),
    "png broken": (valid("PNG")[:60] + b"\xff" * 40 + valid("PNG")[100:], "damaged or truncated|no picture"),
    "gif cut": (valid("GIF")[:-300], "damaged or truncated"),
    "webp cut": (valid("WEBP")[:-20], "no picture|damaged or truncated"),
    "tiff cut": (valid("TIFF")[:3000], "no picture|damaged or truncated"),
    "jpeg above the limit": (jpeg_claiming(10_000, MAX_PIXELS // 10_000 + 1), "pixels are refused"),
    "png above the limit": (png_claiming(10_000, MAX_PIXELS // 10_000 + 1), "pixels are refused"),
    "png of no size": (png_claiming(0, 0), "no picture|damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_pictures_are_named(tmp_path, name):
    content, said = BAD[name]
    (tmp_path / "p.jpg").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=rf"p\.jpg.*({said})"):
            Picture(tmp_path, "p.jpg")()


def test_a_missing_picture_is_named(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    for name in ("p.jpg", "folder.jpg"):
        with pytest.raises(FileNotFoundError, match=name):
            Picture(tmp_path, name)()


@pytest.mark.parametrize(
    "name", ["../secret.jpg", "/elsewhere/a.jpg", "a/../../secret.jpg", "", "a\0b", "..", "\udcff.jpg"]
)
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    (tmp_path / "root").mkdir()
    colours().save(tmp_path / "secret.jpg")
    with pytest.raises(ValueError, match=r"does not stay inside|not UTF-8"):
        inside(tmp_path / "root", name)


def test_links_out_of_the_folder_are_refused(tmp_path):
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    colours().save(tmp_path / "secret.png")
    colours().save(root / "own.png")
    (root / "out.png").symlink_to(tmp_path / "secret.png")
    (root / "away").symlink_to(tmp_path)
    (root / "in.png").symlink_to(root / "own.png")
    for name in ("out.png", "away/secret.png"):
        with pytest.raises(ValueError, match="a link that leads out"):
            Picture(root, name)()
    assert near(Picture(root, "in.png")(), colours())


@pytest.mark.parametrize(
    "name", ["with space.png", "ünïcödé 图.png", "sub/dir name/p.png", "-rf.png", "$(x).png", "a..b.png"]
)
def test_unusual_names_are_fine(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    colours().save(tmp_path / name)
    picture = pickle.loads(pickle.dumps(Picture(tmp_path, name, (32, 24))))
    assert near(picture(), colours())
    assert located(tmp_path, [name, "other.png", "sub/other.png"]) == ([name], ["other.png", "sub/other.png"])


def test_a_pipe_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "p.jpg")  # opening it would wait for ever
    with pytest.raises(FileNotFoundError, match=r"p\.jpg"):
        Picture(tmp_path, "p.jpg")()
