#!/usr/bin/env bash
# statsmodels 0.14.5: a p-value that does not exist (nan) makes the other adjusted p-values larger, or nan.
# Guess: `multipletests` leaves nan out, or refuses it.
# Seen: Holm counts nan as one more comparison, so (0.01, 0.02, 0.04) are adjusted to (0.04, 0.06, 0.08) in place of
# (0.03, 0.04, 0.04); by Benjamini and Hochberg one nan turns all of them into nan. scipy's false_discovery_control refuses it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder"/venv/bin/pip install -q statsmodels==0.14.5 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

known = [0.01, 0.02, 0.04]
plain = multipletests(known, method="holm")[1]
holm = multipletests([*known, np.nan], method="holm")[1]
fdr = multipletests([*known, np.nan], method="fdr_bh")[1]
print("Holm of three:", plain, "\nwith one nan:", holm, "\nBenjamini-Hochberg with one nan:", fdr)
assert np.allclose(plain, [0.03, 0.04, 0.04]), "this has changed"
assert np.allclose(holm[:3], [0.04, 0.06, 0.08]), "this has changed"
assert np.isnan(fdr).all(), "this has changed"
try:
    false_discovery_control([*known, np.nan])
except ValueError as error:
    print("scipy:", error)
else:
    raise SystemExit("this has changed")
PYTHON
