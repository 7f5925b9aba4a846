"""What a card needs and no card is needed to see: which ones there are, their arithmetic, their memory errors."""

import contextlib

import pytest
import torch

from eval.records.provenance import provenance
from eval.running import build, evaluation
from eval.running.config import load
from eval.running.method_call import Caller, out_of_memory
from eval.sweeps import cluster

FULL = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
SLICE = "MIG-5c89852c-d268-c3f3-1b07-005d5ae1dc3f"


@pytest.mark.parametrize(
    ("listed", "cards"),
    [
        ("2,5", ["2", "5"]),
        (f"GPU-8932f937, {SLICE}", ["GPU-8932f937", SLICE]),
        ("0,-1,1", ["0"]),
        ("", []),
        ("none", []),
    ],
)
def test_cards_have_the_names_that_the_environment_gives_them(monkeypatch, listed, cards):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert cluster._gpus() == cards


@pytest.fixture
def flags():
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.deterministic
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.deterministic = before


def test_a_card_computes_in_float32_and_the_run_says_so(monkeypatch, flags):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Card")
    monkeypatch.setattr(build, "device_of", lambda name: "cuda")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    assert provenance("cuda:1")["hardware"] == "Card, TF32"
    with contextlib.suppress(AssertionError, RuntimeError, ValueError):  # without a card, it goes nowhere
        build.build_network(load(["model=resnet50", "dataset=demo"]), ["cat"])
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.deterministic
    assert provenance("cuda:1")["hardware"] == "Card, float32"


def test_a_card_waits_for_its_own_work(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: waited.append(device))
    evaluation._synchronize(torch.device("cuda", 1))
    assert waited == [torch.device("cuda", 1)]


class Full:
    """A method whose pass needs more work space than there is, above a batch of two; `many` fails otherwise."""

    batch = 8

    def __call__(self, image, targets):
        if self.batch > 2:
            raise RuntimeError(FULL)
        return image[:1]

    def many(self, images, targets, seeds):
        raise KeyError("one of them cannot be read")


def test_work_space_that_a_library_cannot_get_lowers_the_batch_for_pictures_alone_too():
    lines = []
    answers = Caller(Full(), 2, lines.append)(
        [torch.zeros(3, 2, 2)] * 2, [torch.zeros(1, dtype=torch.int64)] * 2, [1, 2]
    )
    assert [tuple(each.shape) for each in answers] == [(1, 2, 2)] * 2
    assert [line.rpartition(" ")[2] for line in lines] == ["4", "2"]
    assert not out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))
