#!/usr/bin/env bash
# timm 1.0.31: the documented recipe for evaluation shows a network pictures of its *training* size.
# Guess: `resolve_data_config(pretrained_cfg=...)`, and so `create_transform(**...)`, give the size at which the weights' published
# accuracy was measured; for resnet50.tv2_in1k (torchvision's second weights) that is 224, as in torchvision.
# Seen: it gives 176 pixels and crop 0.875. The test size (224, crop 0.965) needs use_test_size=True. 307 of the 1,826 pretrained
# configurations state a test size other than their default one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder"/venv/bin/pip install -q timm==1.0.31 torch==2.15.0 torchvision==0.29.2
"$folder/venv/bin/python" - <<'PYTHON'
import timm
from timm.data import resolve_data_config

settings = timm.get_pretrained_cfg("resnet50.tv2_in1k").to_dict()
usual, test = (resolve_data_config(pretrained_cfg=settings, use_test_size=flag) for flag in (False, True))
configs = [timm.get_pretrained_cfg(name) for name in timm.list_models(pretrained=True)]
other = sum(bool(c.test_input_size) and tuple(c.test_input_size) != tuple(c.input_size) for c in configs)
print("resnet50.tv2_in1k:", usual["input_size"], usual["crop_pct"], "; for tests:", test["input_size"], test["crop_pct"])
print(f"{other} of {len(configs)} pretrained configurations have a test size of their own")
assert usual["input_size"] == (3, 176, 176), "this has changed"
assert test["input_size"] == (3, 224, 224), "this has changed"
assert other == 307, "this has changed"
PYTHON
