#!/usr/bin/env bash
# hydra-core 1.3.8 with omegaconf 2.3.1: one text is two values, on the command line and in a config file of the same program.
# Guess: `name=TEXT` on the command line means what `name: TEXT` means in the YAML file.
# Seen: 012 is the text "012" on the command line and the number 10 in the file; 0x10 is text and 16; 1:30 is text and 90; yes is
# text and True. 2024_11 is the number 202411 in both, so a data set or run named by year and month loses its underscore.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder"/venv/bin/pip install -q hydra-core==1.3.8 omegaconf==2.3.1
"$folder/venv/bin/python" - <<'PYTHON'
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

EXPECTED = {
    "012": ("012", 10),
    "0x10": ("0x10", 16),
    "1:30": ("1:30", 90),
    "yes": ("yes", True),
    "2024_11": (202411, 202411),
    "2024-11": ("2024-11", "2024-11"),
}
parser = OverridesParser.create()
for text, expected in EXPECTED.items():
    line = parser.parse_override(f"name={text}").value()
    file = OmegaConf.create(f"name: {text}").name
    print(f"{text:8} command line: {line!r:10} file: {file!r}")
    assert (line, file) == expected, "this has changed"
PYTHON
