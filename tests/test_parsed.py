"""JSON and YAML of other programs: keys, numbers and aliases that a parser would drop, guess or multiply."""

import json

import pytest

from eval.datasets.folder import folder
from eval.files.parsed import DEEPEST, read_json, read_yaml, shown
from eval.networks.class_map import outputs
from tests.test_trust_files import coco, entry


def test_one_key_twice_is_refused(tmp_path):
    path = tmp_path / "annotations.json"
    coco(tmp_path, [entry(1, (20, 12, 20, 14))])
    text = path.read_text()
    for key, again in (('"bbox"', '"bbox": [1, 1, 2, 2], "bbox"'), ('"images"', '"images": [], "images"')):
        path.write_text(text.replace(key, again))
        with pytest.raises(
            ValueError, match=rf"annotations\.json is no readable JSON: the key '{key[1:-1]}' stands twice"
        ):
            folder(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path, encoding):
    coco(tmp_path, [entry(1, (20, 12, 20, 14))], [{"id": 1, "name": "größe"}])
    path = tmp_path / "annotations.json"
    path.write_bytes(json.dumps(json.loads(path.read_text()), ensure_ascii=False).encode(encoding))
    assert folder(tmp_path).classes == ("größe",)
    (tmp_path / "m.json").write_bytes('{"größe": [1]}'.encode(encoding))
    assert outputs(["größe"], tmp_path / "m.json", 2) == [[1]]
    if encoding != "utf-16":
        (tmp_path / "m.yaml").write_bytes("größe: [1]".encode(encoding))
        assert outputs(["größe"], tmp_path / "m.yaml", 2) == [[1]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no: [1]", r"the key 'no' as bool, not as text; quote it"),
        ("010: [1]", "the key '010' as int"),
        ("1.5: 1", "the key '1.5' as float"),
        ("~: 1", "the key '~' as null"),
        ("2024-01-01: 1", "the key '2024-01-01' as timestamp"),
        ("? [a]\n: 1", "as seq, not as text"),
        ("a: 1\na: 2", "the key 'a' stands twice"),
        ("a: 010", "'010' is no whole number in plain decimal"),
        ("a: [1_0]", "'1_0' is no whole number"),
        ("a: 0x1F", "'0x1F' is no whole number"),
        ("a: 1:30", "'1:30' is no whole number"),
        (f"a: {'9' * 20}", "is no whole number"),
        ("a: &x [1]\nb: *x", "aliases .* are not read"),
        ("a: {<<: {outputs: 1}}", "as merge, not as text"),
        ("a: 1\n---\nb: 2", "a single document"),
    ],
)
def test_yaml_that_means_something_else_than_it_shows(tmp_path, text, said):
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"(?s)m\.yaml is no readable YAML: .*{said}") as caught:
        read_yaml(tmp_path / "m.yaml")
    assert len(str(caught.value)) < 600


def test_yaml_that_means_what_it_shows(tmp_path):
    (tmp_path / "m.yaml").write_text("'no': 1\n\"010\": [0, -3]\nplain: {outputs: [10]}\n")
    assert read_yaml(tmp_path / "m.yaml") == {"no": 1, "010": [0, -3], "plain": {"outputs": [10]}}


def test_messages_stay_short(tmp_path):
    nested = [[[["x"] * 7] * 7] * 7] * 7
    for value in (nested, 10**20, "x" * 300, {str(n): n for n in range(30)}):
        assert len(shown(value)) < 400
    (tmp_path / "m.json").write_text(json.dumps({"cat": [[0] * 300], "dog": 1}))
    with pytest.raises(ValueError, match="class 'cat'") as caught:
        outputs(["cat", "dog"], tmp_path / "m.json", 2)
    assert len(str(caught.value)) < 400


def test_a_level_below_the_deepest_is_refused(tmp_path):
    for depth in (DEEPEST, DEEPEST + 1):
        text = "[" * depth + json.dumps('[[{{ "') + "]" * depth  # brackets in a text are no levels
        (tmp_path / "deep.json").write_text(text)
        if depth == DEEPEST:
            read_json(tmp_path / "deep.json")
            continue
        with pytest.raises(ValueError, match=r"deep\.json is no readable JSON: more than 100 levels"):
            read_json(tmp_path / "deep.json")
