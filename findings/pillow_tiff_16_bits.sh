#!/usr/bin/env bash
# Pillow 13.0.0: two valid kinds of 16-bit TIFF open without a word and show other pictures than the file holds.
# Guess: a TIFF that Pillow opens has the same pixels however its planes are laid out, and white is white at any depth.
# Seen: (1) 16-bit colour in separate planes (PlanarConfiguration 2) is read as if each plane had 8 bits: of a picture of one
# colour every second pixel is the low byte, (96, 48, 232) in place of (234, 117, 3). Interleaved, the same picture is right.
# (2) grey TIFFs in which zero is white (PhotometricInterpretation 0) are inverted at 8 bits and are not at 16.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder"/venv/bin/pip install -q pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import tifffile
from PIL import Image


def opened(array, **how):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **how)
    return np.asarray(Image.open(file))


colour = np.empty((16, 16, 3), np.uint16)
colour[:] = 60000, 30000, 1000
mixed = opened(colour, photometric="rgb", planarconfig="contig")
apart = opened(np.moveaxis(colour, 2, 0), photometric="rgb", planarconfig="separate")
print("interleaved:", np.unique(mixed.reshape(-1, 3), axis=0).tolist())
print("separate planes:", np.unique(apart.reshape(-1, 3), axis=0).tolist())
grey = np.zeros((4, 4), np.uint16)
grey[0] = 65535
deep = opened(grey, photometric="miniswhite")
flat = opened((grey >> 8).astype(np.uint8), photometric="miniswhite")
print("zero is white, stored 255 0 0 0:", flat[:, 0].tolist(), "; stored 65535 0 0 0:", deep[:, 0].tolist())
assert np.unique(mixed.reshape(-1, 3), axis=0).tolist() == [[234, 117, 3]], "this has changed"
assert [96, 48, 232] in apart.reshape(-1, 3).tolist(), "this has changed"
assert flat[:, 0].tolist() == [0, 255, 255, 255], "this has changed"
assert deep[:, 0].tolist() == [65535, 0, 0, 0], "this has changed"
PYTHON
