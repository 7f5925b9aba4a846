"""The training of the built-in data's classifiers: stages, one network after another, and what is written."""

import platform
import shlex
import sys
import time
from argparse import Namespace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.metrics import average_precision_score
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from eval.datasets.demo import CLASSES, Demo
from eval.networks import demo as networks
from scripts.maintain.train_demo.batches import crop_batches, normalised, scene_batches
from scripts.maintain.train_demo.pictures import Pictures, load


class Stage(NamedTuple):
    """side: of the network's input, pixels. epochs: passes over the crops or pictures. rate: highest learning rate.
    shared: VGG16's first fully connected layer sees the mean of all places in place of each."""

    name: str
    side: int
    epochs: float
    batch: int
    rate: float
    shared: bool = False


STAGES = {
    "vgg16": (
        Stage("crops", 64, 6, 32, 1.5e-3, shared=True),
        Stage("windows", 112, 5, 32, 1.5e-3, shared=True),
        Stage("scenes", 224, 3.5, 16, 1e-3, shared=True),
        Stage("places", 224, 0.7, 16, 3e-4),
        Stage("long", 224, 2.7, 16, 6e-4),
        Stage("last", 224, 1, 16, 3e-4),
    ),
    "resnet50": (
        Stage("crops", 64, 6, 32, 2e-3),
        Stage("windows", 112, 5, 32, 2e-3),
        Stage("scenes", 224, 3.5, 16, 1e-3),
        Stage("long", 224, 2.7, 16, 1e-3),
    ),
}


def train_all(arguments: Namespace) -> None:
    """Train the networks that the arguments name."""
    splits = {split: load(Demo(split), arguments.cache) for split in ("test", "val")}
    splits["train"] = load(Demo("train", arguments.pictures), arguments.cache)
    for name in STAGES if arguments.network == "both" else (arguments.network,):
        train(name, splits, arguments)


def train(name: str, splits: dict[str, Pictures], arguments: Namespace) -> None:
    """All stages of one network that are not finished yet."""
    torch.manual_seed(arguments.seed)
    network = networks.VGG16(batch_norm=True) if name == "vgg16" else networks.ResNet50()
    network = network.to(arguments.device, memory_format=torch.channels_last)
    state = arguments.cache / f"train-demo-{name}-{arguments.seed}.pt"
    finished, seconds = 0, 0.0
    if state.is_file():
        kept = torch.load(state, weights_only=True)
        finished, seconds = kept["finished"], kept["seconds"]
        network.load_state_dict(kept["network"])
        print(f"{name}: goes on after stage {STAGES[name][finished - 1].name} ({state})")
    for number, stage in enumerate(STAGES[name][finished:], finished):
        start = time.perf_counter()
        if name == "vgg16":
            share(network, stage.shared)
        if number:
            rescale(network, STAGES[name][number - 1], stage)
        fit(network, stage, splits["train"], arguments, label=f"{name} {stage.name}", seed=arguments.seed + number)
        seconds += time.perf_counter() - start
        torch.save({"finished": number + 1, "seconds": seconds, "network": network.state_dict()}, state)
        if stage.side == splits["test"].pixels.shape[1]:
            publish(name, network, splits, stage, seconds, arguments)


def share(network: networks.VGG16, shared: bool) -> None:
    """Let the first fully connected layer see the mean over all places (shared), or each with weights of its own.

    Six thousand pictures do not show every class in each of the 49 places. So what a class looks like is learnt once
    for all places, and the places come apart only in the end, from equal weights: the function does not jump.
    """
    weight = network.classifier[0].weight
    places = weight.detach().view(len(weight), -1, 49)
    places.copy_(places.mean(2, keepdim=True).expand_as(places))
    pool = nn.AdaptiveAvgPool2d(7)
    network.avgpool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Upsample(size=7)) if shared else pool


def rescale(network: nn.Module, before: Stage, after: Stage) -> None:
    """Let the head see an object at the next stage's size of input as it saw it at this one's.

    The head reads the mean over all places: in a picture of four times the area an object's share of that mean is a
    quarter, so the weights grow by four. Behind the crops, a choice between classes becomes a yes or no for each:
    what all classes' weights share goes, and few classes are there at a time.
    """
    head = network.classifier if hasattr(network, "classifier") else [network.fc]
    first, last = head[0], head[-1]
    with torch.no_grad():
        first.weight *= (after.side / before.side) ** 2
        if before.name == "crops":
            last.weight -= last.weight.mean(0)
            last.bias.fill_(-2.5)


def fit(network: nn.Module, stage: Stage, pictures: Pictures, arguments: Namespace, label: str, seed: int) -> None:
    """One stage: AdamW, the learning rate up and down in one cycle."""
    crops = stage.name == "crops"
    batches = (crop_batches if crops else scene_batches)(pictures, stage.side, stage.batch, seed)
    count = len(pictures.boxes) if crops else len(pictures.pixels)
    steps = max(1, round(arguments.effort * stage.epochs * count / stage.batch))
    # Weight decay is for filters; biases and batch norm's vectors are free of it.
    # The 49 copies of a shared weight move together: only their sum counts, and it must not move 49 times as far.
    copies = [network.classifier[0].weight] if stage.shared else []
    matrices = [p for p in network.parameters() if p.dim() > 1 and all(p is not copy for copy in copies)]
    vectors = [p for p in network.parameters() if p.dim() <= 1]
    groups = [(matrices, 0.02, stage.rate), (vectors, 0.0, stage.rate), (copies, 0.02, stage.rate / 49)]
    groups = [group for group in groups if group[0]]
    optimiser = torch.optim.AdamW([{"params": members, "weight_decay": decay} for members, decay, _ in groups])
    rates = [rate for *_, rate in groups]
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps, pct_start=0.2)
    network.train()
    running, bar = None, tqdm(range(steps), desc=label, mininterval=5)
    for _, (images, truth) in zip(bar, batches, strict=False):
        output, truth = network(images.to(arguments.device)), truth.to(arguments.device)
        if crops:
            loss = F.cross_entropy(output, truth, label_smoothing=0.05)
        else:
            known = (truth >= 0).float()
            loss = F.binary_cross_entropy_with_logits(output, truth.clamp(min=0).float(), known, reduction="sum")
            loss = loss / known.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        cycle.step()
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        bar.set_postfix(loss=f"{running:.4f}", refresh=False)
    bar.close()


@torch.no_grad()
def precision(network: nn.Module, pictures: Pictures, device: str, batch: int = 20) -> float:
    """Mean over classes of the average precision; a class that only flagged objects show is left out of a picture."""
    scores = [
        network(normalised(np.array(pictures.pixels[i : i + batch])).to(device)).cpu().numpy()
        for i in range(0, len(pictures.pixels), batch)
    ]
    scores, truth = np.concatenate(scores), pictures.truth
    values = [
        average_precision_score(truth[truth[:, c] >= 0, c], scores[truth[:, c] >= 0, c]) for c in range(len(CLASSES))
    ]
    return float(np.mean(values))


def publish(name: str, network: nn.Module, splits: dict, stage: Stage, seconds: float, arguments: Namespace) -> None:
    """Write the weights in half precision and what they are worth; measured on the very file that is written."""
    network.eval()
    plain = network.folded() if name == "vgg16" else network
    tensors = {k: v.detach().cpu() for k, v in plain.state_dict().items() if not k.endswith("num_batches_tracked")}
    halves = {k: v.half().contiguous() for k, v in tensors.items()}
    path = arguments.out / f"demo_{name}.safetensors"
    save_file(halves, path)
    written = (networks.vgg16 if name == "vgg16" else networks.resnet50)(checkpoint=path).to(arguments.device)
    values = {split: precision(written, splits[split], arguments.device) for split in ("val", "test")}
    metadata = {
        "test_map": f"{values['test']:.4f}",
        "val_map": f"{values['val']:.4f}",
        "test_pictures": str(len(splits["test"].pixels)),
        "train_pictures": str(len(splits["train"].pixels)),
        "last_stage": stage.name,
        "training_seconds": f"{seconds:.0f}",
        "seed": str(arguments.seed),
        "command": shlex.join(["python", "-m", "scripts.maintain.train_demo", *sys.argv[1:]]),
        "versions": f"python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}, "
        f"opencv {cv2.__version__}",
        "device": arguments.device,
        "classes": ",".join(CLASSES),
    }
    save_file(halves, path, metadata)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {metadata}")
