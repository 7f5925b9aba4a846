"""What this suite says about other programs' attribution methods: a function for each of the programs."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import nn

from scripts.peers.scene import TARGETS, Row, Scene, ended

FAMILY = {  # our settings: the class of pytorch-grad-cam
    "gradcam": "GradCAM", "hirescam": "HiResCAM", "xgradcam": "XGradCAM", "layercam": "LayerCAM",
    "gradcam_elementwise": "GradCAMElementWise", "eigengradcam": "EigenGradCAM", "segeigencam": "SegEigenCAM",
    "gradcampp normalise_alpha=false epsilon=1e-6": "GradCAMPlusPlus", "refinecam": "RefineCAM",
    "fem weights=library": "FEM", "eigencam centre=true": "EigenCAM", "kpcacam": "KPCA_CAM",
    "ablationcam": "AblationCAM",
    "scorecam weights=softmax_logits skip_constant=false align_corners=true": "ScoreCAM",
}  # fmt: skip
BATCHES = {"AblationCAM": "64, 32", "ScoreCAM": "16, 16"}  # ours by its rule on this network
OTHERS = {"gradcampp": "GradCAMPlusPlus", "eigencam": "EigenCAM", "fem": "FEM", "scorecam": "ScoreCAM",
          "fullgrad": "FullGrad"}  # fmt: skip


def grad_cam(scene: Scene) -> Iterator[Row]:
    """pytorch-grad-cam, all classes in one call."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputReST, ClassifierOutputTarget, FinerWeightedTarget

    def theirs(name: str, layers: list[str], of: Any = ClassifierOutputTarget, batch: int = 0) -> Callable:
        def call() -> np.ndarray:
            cam = getattr(pytorch_grad_cam, name)(scene.network, [scene.network.get_submodule(each) for each in layers])
            vars(cam).update({"batch_size": batch} if batch else {})
            try:
                return cam(scene.copies, [of(target) for target in TARGETS])
            finally:
                for each in getattr(cam, "base_cam_per_layer", [cam]):
                    each.activations_and_grads.release()

        return call

    def row(words: str, name: str, within: float, **settings: Any) -> Row:
        built = cache(lambda: scene.method(words))  # when it is called: composing settings takes half a second

        def other() -> np.ndarray:
            return theirs(name, getattr(built(), "layers", []), **settings)()

        @cache
        def sign() -> int:
            """EigenCAM's and KPCA-CAM's is arbitrary there."""
            plain = built()(scene.image, torch.tensor(TARGETS))
            gaps = {each: np.abs(ended(each * plain, scene.side) - other()).max() for each in (1, -1)}
            return min(gaps, key=gaps.__getitem__)

        def call() -> np.ndarray:
            maps = built()(scene.image, torch.tensor(TARGETS))
            return ended(sign() * maps if name in ("EigenCAM", "KPCA_CAM") else maps, scene.side)

        return Row(words, call, other, within, BATCHES.get(name, "1, 2"))

    yield from (row(words, name, 1e-4 if name == "AblationCAM" else 1e-5) for words, name in FAMILY.items())
    yield from (row(words, name, -0.01) for words, name in OTHERS.items())
    yield row("shapleycam", "ShapleyCAM", 1e-5, of=ClassifierOutputReST)
    with torch.no_grad():
        gaps = scene.network(scene.pixels)[0]
    near = {each: (gaps - gaps[each]).abs().argsort()[1:4].tolist() for each in TARGETS}
    yield row("finercam", "GradCAM", 1e-4, of=lambda each: FinerWeightedTarget(each, near[each], 1.0))
    yield row("gradcam fusion=mean layers=[features.29,features.22]", "GradCAM", -0.01)
    scene.soften()  # a layer of positive values, none of them 0
    yield row("ablationcam", "AblationCAM", -0.01)._replace(statement="ablationcam, Softplus for the layer's ReLU")
    eight, usual = (theirs("AblationCAM", ["features.29"], batch=batch) for batch in (8, 32))
    yield Row("its AblationCAM of that layer with batch_size 8, and with 32", eight, usual, -0.01)
    scene.soften(nn.ReLU)


def captum(scene: Scene) -> Iterator[Row]:
    """captum, all classes in one call."""
    from captum import attr

    black = scene.classifier.normalise(torch.zeros_like(scene.image)).expand_as(scene.copies)
    occlusion = scene.method("occlusion")
    with torch.no_grad():
        count = occlusion.passes.at_once(scene.pixels)
    window = {"sliding_window_shapes": (3, 32, 32), "strides": (3, 16, 16), "perturbations_per_eval": count}

    def theirs(name: str, **settings: Any) -> Callable[[], torch.Tensor]:
        return lambda: getattr(attr, name)(scene.network).attribute(scene.copies, target=TARGETS, **settings).detach()

    for words, name, settings, batches in (
        ("gradient", "Saliency", {"abs": False}, "1, 2"), ("guided_backprop", "GuidedBackprop", {}, "1, 2"),
        ("deconvnet", "Deconvolution", {}, "1, 2"),
        ("integrated_gradients", "IntegratedGradients", {"baselines": black, "internal_batch_size": 10}, "10, 10"),
    ):  # fmt: skip
        yield Row(words, scene.maps(words, act="raw"), theirs(name, **settings), 1e-5, batches)
    yield Row("occlusion", scene.maps("occlusion"), lambda: theirs("Occlusion", **window)().mean(1), 1e-5,
              f"{count}, {count}")  # fmt: skip
    drawn = scene.maps("smoothgrad n=10", scene.even)

    def tunnel() -> torch.Tensor:
        deviation = 0.15 * float(scene.image.max() - scene.image.min()) / 0.25
        pixels = scene.even.normalise(scene.image)
        maps = []
        for target in TARGETS:
            torch.manual_seed(0)
            made = attr.NoiseTunnel(attr.Saliency(scene.network))
            maps += made.attribute(pixels, nt_samples=10, stdevs=deviation, target=target, abs=False).abs().amax(1)
        return torch.stack(maps)

    # Noise that is rounded otherwise turns ReLUs on and off whose input is next to 0.
    yield Row("smoothgrad n=10, the same noise", lambda: (torch.manual_seed(0), drawn())[1], tunnel, 1e-2, "1, 10")


def zennit(scene: Scene) -> Iterator[Row]:
    """zennit: its own rules on the same network."""
    from zennit import composites, rules, types

    rule = rules.AlphaBeta(1, 0, zero_params="bias")
    kinds = [(types.Activation, rules.Pass()), (types.Convolution, rule), (types.Linear, rule)]
    ours = scene.maps("relevancecam contrastive=false layers=features.23", act="relevance")

    def theirs() -> torch.Tensor:
        net = scene.network
        middle = net.features[:24](scene.copies).detach().requires_grad_()
        with composites.LayerMapComposite(kinds).context(net):
            output = net.classifier(net.avgpool(net.features[24:](middle)).flatten(1))
            return torch.autograd.grad(output, middle, torch.eye(output.shape[1])[TARGETS])[0]

    yield Row("relevancecam's relevance, contrastive=false", lambda: ours()[0][1], theirs, 1e-4, "1, 2")


def torchcam(scene: Scene) -> Iterator[Row]:
    """torch-cam."""
    from torchcam import methods

    def theirs(name: str) -> np.ndarray:
        with getattr(methods, name)(scene.network, "features.29") as cam:
            return ended(cam(TARGETS, scene.network(scene.copies))[0].detach(), scene.side)

    for words, name, within, batches in (
        ("gradcam", "GradCAM", 1e-5, "1, 2"),
        ("scorecam weights=softmax_logits skip_constant=false", "ScoreCAM", 0.02, "16, 32"),
    ):  # fmt: skip
        ours = scene.maps(words)
        yield Row(words, lambda ours=ours: ended(ours(), scene.side), partial(theirs, name), within, batches)


def torchray(scene: Scene) -> Iterator[Row]:
    """TorchRay."""
    at = {"saliency_layer": "features.23"}
    for words, settings in (
        ("gradient", {}), ("deconvnet", {}), ("guided_backprop", {}), ("linear_approx layers=features.23", at),
        ("excitation_backprop", at), ("contrastive_excitation_backprop", at | {"contrast_layer": "classifier.4"}),
    ):  # fmt: skip
        name = words.split()[0]
        call = getattr(import_module(f"torchray.attribution.{name.removeprefix('contrastive_')}"), name)
        call = partial(call, scene.network, scene.copies, TARGETS, **settings)
        yield Row(words, scene.maps(words), lambda call=call: call().detach()[:, 0], 1e-5, "1, 2")
