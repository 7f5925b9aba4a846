"""Weights from files and from the web: only tensors are ever read, and a file that does not fit says how."""

import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from eval.files.download import download, sha256

MAX_NAMED = 4


def fetch(url: str) -> Path:
    """The weights at `url`, from the folder where torch.hub caches them or downloaded into it.

    The file name carries the beginning of the file's SHA-256 (vgg16-397923af.pth), as torch.hub has it; it is checked
    for a cached file too. RuntimeError names the URL and the setting that takes a local file.
    """
    name = urlsplit(url).path.rpartition("/")[2]
    digest = re.search(r"-([0-9a-f]{8,64})\.", name)
    if digest is None:
        raise ValueError(f"{url} carries no hash in its name; download it yourself and set model.checkpoint=FILE")
    target = Path(torch.hub.get_dir()) / "checkpoints" / name
    if target.is_file():
        if not sha256(target).startswith(digest[1]):
            raise RuntimeError(
                f"{target} is damaged (its SHA-256 does not begin with {digest[1]}); remove it and try again"
            )
        return target
    try:
        return download(url, target, digest[1])
    except (RuntimeError, OSError) as error:
        raise RuntimeError(f"{error}. Weights that you have: model.checkpoint=FILE") from error


def read(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a torch.save file, by name.

    A training checkpoint is unwrapped ("state_dict", "model"), DataParallel's "module." removed. Nothing but tensors
    is unpickled (weights_only), so a file cannot run code. FileNotFoundError or ValueError names the file.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path.absolute()}; set model.checkpoint=FILE")
    head = path.open("rb").read(512).lstrip()
    if head[:1] == b"<":
        raise ValueError(f"{path} is an HTML page or XML, not weights: the download was a web page")
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than tensors or is no checkpoint at all; it is refused, as loading it could run code"
        ) from error
    except (
        SafetensorError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        OSError,
    ) as error:
        raise ValueError(f"{path} is no readable checkpoint (torch.save or safetensors): {error}") from error
    for wrapper in ("state_dict", "model", "model_state_dict"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path} holds no mapping from names to tensors")
    return {str(name).removeprefix("module."): value for name, value in state.items()}


def from_hub(load: Callable[[], nn.Module], what: str) -> nn.Module:
    """load() in eval mode, a library that downloads `what` by itself; RuntimeError says why it cannot."""
    try:
        return load().eval()
    except Exception as error:  # whatever the hub's client raises
        why = str(error).strip().partition("\n")[0]
        raise RuntimeError(
            f"{what} cannot be downloaded ({type(error).__name__}: {why}). Weights that you have: "
            "model.checkpoint=FILE; random ones: model.pretrained=false"
        ) from error


def fill(network: nn.Module, state: Mapping[str, Tensor], origin: str | Path) -> nn.Module:
    """Puts the tensors into the network (built on the meta device or not), in eval mode; returns it.

    ValueError names the origin and the first entries that are missing, unexpected or of another shape, and says so
    where only the number of classes differs.
    """
    # Batch norm's counter is no weight and absent from older files.
    wanted = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    wrong = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    last = [k for k in wanted if k.rpartition(".")[0] == list(wanted)[-1].rpartition(".")[0]]
    missing, unexpected = [k for k in wanted if k not in state], [k for k in state if k not in wanted]
    if wrong and not missing and not unexpected and set(wrong) <= set(last):
        raise ValueError(
            f"{origin} has {state[wrong[-1]].shape[0]} classes ({wrong[0]} is {_shape(state[wrong[0]])}), this network "
            f"has {wanted[wrong[-1]].shape[0]}: the weights belong to another data set"
        )
    complaints = [
        *(f"{k} is {_shape(state[k])} instead of {_shape(wanted[k])}" for k in wrong[:MAX_NAMED]),
        *(f"{k} is missing" for k in missing[:MAX_NAMED]),
        *(f"{k} is unexpected" for k in unexpected[:MAX_NAMED]),
    ]
    if complaints:
        total = len(wrong) + len(missing) + len(unexpected)
        raise ValueError(f"{origin} does not fit the network, {total} entries differ: {'; '.join(complaints)}")
    broken = [k for k in wanted if state[k].is_floating_point() and not torch.isfinite(state[k]).all()]
    if broken:
        raise ValueError(f"{origin}: {broken[0]} contains NaN or infinity")
    state = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    network.load_state_dict(state, strict=False, assign=True)
    for name, buffer in list(network.named_buffers()):
        if buffer.is_meta:  # the counters left out above
            owner, _, last_name = name.rpartition(".")
            setattr(network.get_submodule(owner), last_name, torch.zeros(buffer.shape, dtype=buffer.dtype))
    # Convolutions on the CPU run 1.2 to 2 times as fast with the channels innermost; what they compute is the same.
    return network.eval().to(memory_format=torch.channels_last)


@contextmanager
def random_weights() -> Iterator[None]:
    """In the block a network is made with the same random weights every time; the caller's generator is not moved."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def awake(network: nn.Module) -> nn.Module:
    """The randomly initialised network, with random values in linear layers that start at zero (torchvision's vision
    transformers have such a head): an answer that depends on nothing explains nothing. Within `random_weights`."""
    for module in network.modules():
        if isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.02)
    return network.eval()


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"
