#!/usr/bin/env bash
# scikit-image 0.26.0 beside OpenCV 5.0.0 and Pillow 13.0.0: enlarging a 7 x 7 heat map to 224 x 224 moves its highest point
# when the highest cell lies at the border.
# Guess: linear enlargement is the same everywhere up to rounding; beyond the outer cell centres a value is repeated.
# Seen: OpenCV and Pillow repeat the border, so the highest point of a map with its maximum in the corner cell is pixel (0, 0).
# skimage.transform.resize mirrors about the *centre* of the outer cells by default (mode="reflect"): the values sink again
# towards the border, the highest point is (15, 15) and the maximum 0.969. That is 21 pixels, where a pointing game tolerates 15.
# mode="edge" agrees with the others.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder"/venv/bin/pip install -q scikit-image==0.26.0 opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
from PIL import Image
from skimage.transform import resize

cells = np.zeros((7, 7), np.float32)
cells[0, 0] = 1
large = {
    "skimage": resize(cells, (224, 224)),
    "skimage, edge": resize(cells, (224, 224), mode="edge"),
    "opencv": cv2.resize(cells, (224, 224), interpolation=cv2.INTER_LINEAR),
    "pillow": np.asarray(Image.fromarray(cells).resize((224, 224), Image.Resampling.BILINEAR)),
}
found = {}
for name, heat in large.items():
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    found[name] = (int(x), int(y), round(float(heat.max()), 3))
    print(f"{name:14} highest point ({x}, {y}), value {heat.max():.3f}")
assert found["skimage"] == (15, 15, 0.969), "this has changed"
assert {found[name] for name in ("skimage, edge", "opencv", "pillow")} == {(0, 0, 1.0)}, "this has changed"
PYTHON
