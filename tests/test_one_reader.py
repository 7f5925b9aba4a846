"""Pictures of unequal kinds, each written here byte by byte: one answer from data sets and from `gpnncam`."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from eval.datasets.folder import folder
from eval.datasets.pictures import Picture, checked_reading, picture_remarks
from gpnncam import GPNNCAM, wrap
from gpnncam.explanation import SHOWN, explain
from gpnncam.pictures import MOST, each, of_pil
from scripts.explain.pictures import photograph
from tests import small_network
from tests.test_trust_files import coco, entry

RAMP = np.linspace(0, 1, 24 * 32).reshape(24, 32, 1)
COLOUR = np.concatenate([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)


def png(values, kind, bits=16, key=None):
    """kind: PNG's colour type (0 grey, 2 RGB, 4 grey and alpha, 6 RGBA). key: the transparent value."""
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))  # noqa: E731
    rows = b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, kind, 0, 0, 0)
    clear = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) if key else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + clear
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def tiff(values, photometric=1, extra=(), kind=1, planar=1, bits=None, order="<"):
    """An uncompressed TIFF of one strip; values (H,W,C). kind: 1 unsigned, 2 signed, 3 floats."""
    height, width, count = values.shape
    bits = bits or values.dtype.itemsize * 8
    data = (np.moveaxis(values, 2, 0) if planar == 2 else values).astype(values.dtype.newbyteorder(order)).tobytes()
    strips, each_strip = (count, len(data) // count) if planar == 2 else (1, len(data))
    tags = {256: [width], 257: [height], 258: [bits] * count, 259: [1], 262: [photometric], 273: [0] * strips,
            277: [count], 278: [height], 279: [each_strip] * strips, 284: [planar], 338: list(extra),
            339: [kind] * count}  # fmt: skip
    tags = {tag: numbers for tag, numbers in tags.items() if numbers}
    after = 8 + 2 + 12 * len(tags) + 4
    begin = after + sum(4 * len(numbers) for numbers in tags.values() if len(numbers) > 1)
    tags[273] = [begin + each_strip * number for number in range(strips)]
    entries, more = b"", b""
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        entries += struct.pack(f"{order}HHI", tag, 4, len(numbers))
        entries += packed if len(numbers) == 1 else struct.pack(f"{order}I", after + len(more))
        more += packed if len(numbers) > 1 else b""
    mark = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return mark + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + more + data


def saved(image, form, **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def of(values, top):
    return (values * top).astype(np.uint16)


def exif(tag):
    tags = Image.Exif()
    tags[274] = tag
    return tags


EIGHT = (COLOUR * 255).astype(np.uint8)
HALF = np.concatenate([EIGHT, np.where(RAMP > 0.5, 255, 64).astype(np.uint8)], axis=2)
ALL, BANDS = np.concatenate([COLOUR, RAMP], axis=2), {0: 1, 2: 3, 4: 2, 6: 4}  # PNG's colour types
PALETTE = Image.fromarray(EIGHT).quantize(16)
READ = {
    **{f"16 bits, colour type {kind}": png(of(ALL[..., :count], 65535), kind) for kind, count in BANDS.items()},
    "16 bits grey, a transparent value": png(of(RAMP, 60000), 0, key=[60000]),
    "8 bits grey, a transparent value": png((RAMP * 255).astype(np.uint8), 0, 8, key=[255]),
    "8 bits colour, a transparent value": png(EIGHT, 2, 8, key=[int(v) for v in EIGHT[0, 0]]),
    "RGBA": png(HALF, 6, 8),
    "LA": saved(Image.fromarray(HALF).convert("LA"), "PNG"),
    "palette with transparency": saved(PALETTE, "PNG", transparency=3),
    "palette with alpha": saved(PALETTE, "PNG", transparency=bytes(range(0, 160, 10))),
    "GIF with transparency": saved(PALETTE, "GIF", transparency=3),
    "WebP": saved(Image.fromarray(HALF), "WEBP", lossless=True),
    "CMYK": saved(Image.fromarray(EIGHT).convert("CMYK"), "JPEG", quality=95),
    "TIFF, 16 bits grey": tiff(of(RAMP, 65535)),
    "TIFF, 16 bits grey, other order": tiff(of(RAMP, 65535), order=">"),
    "TIFF, 16 bits, white is zero": tiff(of(RAMP, 65535), 0),
    "TIFF, 16 bits colour": tiff(of(COLOUR, 65535), 2),
    "TIFF, 16 bits colour, other order": tiff(of(COLOUR, 65535), 2, order=">"),
    "TIFF, Lab": tiff(EIGHT, 8),
    "TIFF, RGBA": tiff(HALF, 2, (2,)),
    "TIFF, one bit": saved(Image.fromarray(EIGHT).convert("1"), "TIFF"),
    **{f"EXIF {tag}": saved(Image.fromarray(EIGHT), "PNG", exif=exif(tag)) for tag in range(1, 9)},
    "EXIF 6, TIFF": saved(Image.fromarray(EIGHT), "TIFF", exif=exif(6)),
    "EXIF 8, JPEG": saved(Image.fromarray(EIGHT), "JPEG", exif=exif(8)),
}  # fmt: skip
FRAMES = [Image.fromarray(np.roll(EIGHT, n, 0)) for n in range(3)]
MANY = {"save_all": True, "append_images": FRAMES[1:]}
REFUSED = {
    **{f"8-bit values, colour type {kind}": (png(of(ALL[..., :count], 250), kind), "no value above 255 of 65535")
       for kind, count in BANDS.items()},
    "TIFF, 16 bits colour of 8-bit values": (tiff(of(COLOUR, 250), 2), "no value above 255 of 65535"),
    "floats": (tiff(RAMP.astype(np.float32), kind=3), "floating-point numbers"),
    "signed 16 bits": (tiff((RAMP * 30000).astype(np.int16), kind=2), "32-bit whole numbers"),
    "32 bits": (tiff((RAMP * 2**30).astype(np.uint32)), "32-bit whole numbers"),
    "three frames": (saved(FRAMES[0], "TIFF", **MANY), "holds 3 pictures, and one is meant"),
    "an animation": (saved(FRAMES[0], "GIF", **MANY), "holds 3 pictures, and one is meant"),
    "an animated PNG": (saved(FRAMES[0], "PNG", **MANY), "holds 3 pictures, and one is meant"),
    "six bands": (tiff(np.concatenate([EIGHT, EIGHT], 2), 2, (0, 0, 0)), "has 6 bands"),
    "four bands": (tiff(HALF, 2, (0,)), "has 4 bands"),
    "RGBA and a band": (tiff(np.concatenate([HALF, EIGHT[..., :1]], 2), 2, (2, 0)), "has 5 bands"),
    "grey and a band": (tiff(HALF[..., :2], 1, (0,)), "has 2 bands"),
}  # fmt: skip


@pytest.fixture
def at(tmp_path):
    def write(content):
        (tmp_path / "p.png").write_bytes(content)
        return tmp_path

    return write


@pytest.mark.parametrize("name", READ)
def test_both_readers_give_one_answer(at, name):
    root = at(READ[name])
    expected = np.asarray(Picture(root, "p.png", None, "displayed")())
    with Image.open(root / "p.png") as image:
        assert (of_pil(image) == expected).all()
    assert (np.asarray(photograph(root / "p.png").image) == expected).all(), "scripts.explain"
    assert 20 < expected.mean() < 250


@pytest.mark.parametrize("name", REFUSED)
def test_both_readers_refuse_alike(at, name):
    content, said = REFUSED[name]
    root = at(content)
    with pytest.raises(ValueError, match=rf"p\.png .*{said}"):
        Picture(root, "p.png")()
    with Image.open(root / "p.png") as image, pytest.raises(ValueError, match=said):
        of_pil(image)
    with pytest.raises(ValueError, match=said):
        photograph(root / "p.png")


def test_transparent_colours_are_white_and_counted(at):
    hidden = np.concatenate([EIGHT, np.zeros_like(EIGHT[..., :1])], axis=2)
    root = at(png(hidden, 6, 8))
    assert (np.asarray(Picture(root, "p.png")()) == 255).all()
    (line,) = picture_remarks([Picture(root, "p.png")])
    assert line == "1 of 1 pictures have transparency (p.png): what is transparent is read as white"
    half = np.asarray(Picture(at(png(HALF, 6, 8)), "p.png")(), float)
    share = HALF[..., 3:] / 255
    assert np.abs(half - (HALF[..., :3] * share + 255 * (1 - share))).max() <= 0.51


def test_sixteen_bits_are_scaled_by_their_upper_half(at):
    for kind, values in ((0, RAMP), (2, COLOUR)):
        actual = np.asarray(Picture(at(png(of(values, 65535), kind)), "p.png")())
        assert (actual == np.broadcast_to(of(values, 65535) // 256, actual.shape)).all()
    inverted = np.asarray(Picture(at(tiff(of(RAMP, 65535), 0)), "p.png")())
    assert (inverted == (65535 - of(RAMP, 65535)) // 256).all()


@pytest.mark.parametrize(
    ("content", "white"),
    [
        (png(of(RAMP, 4095), 0), 4095),
        (png(of(COLOUR, 4095), 2), 4095),
        (png(of(np.concatenate([RAMP, RAMP * 0 + 65535 / 4095], 2), 4095), 4), 4095),
        (png(of(COLOUR, 255), 2), 255),
        (tiff(of(COLOUR, 1023), 2, order=">"), 1023),
        (tiff(RAMP.astype(np.float32), kind=3), 1),
        (tiff((RAMP * 30000).astype(np.int16), kind=2), 30000.0),
    ],
)
def test_a_setting_says_what_white_is(at, content, white):
    actual = np.asarray(Picture(at(content), "p.png", white=white)(), int)
    wide = COLOUR if (actual[..., 0] != actual[..., 1]).any() else RAMP
    assert np.abs(actual - np.broadcast_to(wide * 255, actual.shape)).max() <= 1.01
    with pytest.raises(ValueError, match=rf"p\.png has values from .* dataset\.white={white / 2:g} says 0 to"):
        Picture(at(content), "p.png", white=white / 2)()


@pytest.mark.parametrize(("top", "meant"), [(1000, 1023), (3680, 4095), (9000, 16383), (16384, None)])
def test_dark_pictures_of_sixteen_bits_are_named_with_the_setting(at, top, meant):
    for kind, values in ((0, RAMP), (2, COLOUR)):
        root = at(png(of(values, top), kind))
        lines = picture_remarks([Picture(root, "p.png")])
        assert len(lines) == (meant is not None)
        if meant:
            assert f"no value above {top:,} of 65,535 (p.png;" in lines[0]
            assert f"dataset.white={meant}" in lines[0]
        assert picture_remarks([Picture(root, "p.png", white=meant or 65535)]) == []
        with Image.open(root / "p.png") as image, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            of_pil(image)
        assert len(caught) == (meant is not None)


def test_a_setting_chooses_the_frame_and_the_first_bands(at):
    for form in ("TIFF", "PNG"):
        root = at(saved(FRAMES[0], form, **MANY))
        for number, frame in enumerate(FRAMES, 1):
            assert (np.asarray(Picture(root, "p.png", frame=number)()) == np.asarray(frame)).all()
        with pytest.raises(ValueError, match=r"p\.png holds 3 pictures, no number 4"):
            Picture(root, "p.png", frame=4)()
        with pytest.raises(ValueError, match=r"dataset\.frame=N"):
            Picture(root, "p.png").header_size()
    root = at(tiff(np.concatenate([EIGHT, EIGHT[::-1]], 2), 2, (0, 0, 0)))
    assert (np.asarray(Picture(root, "p.png", bands="first")()) == EIGHT).all()


def test_what_pillow_reads_as_another_picture_is_refused(at):
    for content, said in (
        (tiff((RAMP * 100).astype(np.int8), kind=2), "signed numbers of 8 bits"),
        (tiff(of(COLOUR, 65535), 2, planar=2), "16 bits in separate planes"),
    ):
        with pytest.raises(ValueError, match=rf"p\.png holds {said}"):
            Picture(at(content), "p.png")()


def test_settings_reach_the_pictures_of_a_folder(tmp_path):
    coco(tmp_path, [entry(1, (2, 2, 9, 9))], images=[{"id": 1, "file_name": "p1.png", "width": 32, "height": 24}])
    (tmp_path / "p1.png").write_bytes(png(of(RAMP, 4095), 0))
    assert np.asarray(folder(tmp_path, region="boxes").__getitem__(0).image).max() < 16
    assert any("dataset.white=4095" in line for line in folder(tmp_path).remarks)
    assert np.asarray(folder(tmp_path, white=4095)[0].image).max() == 255
    for setting, said in (({"white": 0}, "white"), ({"frame": 0}, "frame"), ({"bands": 3}, "bands")):
        with pytest.raises(ValueError, match=rf"dataset\.{said} must be"):
            checked_reading(**setting)


def cam():
    wrapped = wrap(small_network.network(), layers=["2", "1"], mean=[0.5] * 3, std=[0.25] * 3)
    return wrapped, GPNNCAM(wrapped, n=2, source="noise")


def test_an_explanation_is_kept_at_a_size_that_is_shown():
    wrapped, method = cam()
    large = Image.fromarray(EIGHT).resize((3200, 2400))
    answer = method.explain(large, 1)
    assert answer.picture.shape == (SHOWN * 3 // 4, SHOWN, 3)
    assert answer.heat.shape == (1, SHOWN * 3 // 4, SHOWN)
    assert answer.size == (3200, 2400)
    assert len(answer._repr_png_()) < 3e6
    corner = explain(lambda image, targets: torch.eye(4)[None, :, :] * torch.tensor([0, 0, 0, 1.0]), wrapped, large, 1)
    ((x, y),) = corner.points
    assert 2700 < x < 3200
    assert 2050 < y < 2400
    with Image.open(io.BytesIO(answer._repr_png_())) as shown:
        assert (np.asarray(shown)[:, :SHOWN] == answer.picture).all()


def test_a_picture_beyond_the_limit_is_refused():
    class Large:
        width, height, filename = 10_000, MOST // 10_000 + 1, "large.png"
        size, convert = (width, height), None

    with pytest.raises(ValueError, match=r"large\.png is 10000 x \d+: more than 89,478,485 pixels"):
        each(Large())
