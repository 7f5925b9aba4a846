"""What this suite says about other programs' measures and statistics: a function for each of the programs."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from functools import partial
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from eval.game.pointing import upscale
from eval.measures.measure import Case
from eval.measures.perturbation import blurred
from eval.measures.ranking import cuts, on_input
from eval.measures.road import linear_imputation
from eval.measures.similarity import spearman
from eval.measures.stability import seeds_of
from eval.measures.thresholds import thresholds
from eval.networks import demo
from eval.tables.statistics import holm, mcnemar, paired_test
from scripts.peers.scene import TARGETS, Row, Scene, measure, unit, value

DISCORDANT = ((1, 9), (30, 14), (200, 260), (7, 7))
FILL = "ROAD's fill, no noise"


def filled(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (H,W,3), and which 40 % of them are gone (H,W)."""
    return scene.image.permute(1, 2, 0).double().numpy(), scene.untied >= np.quantile(scene.untied, 0.6)


def slope(scene: Scene, network: nn.Module | None = None) -> Callable[..., np.ndarray]:
    """A method that is called again: the gradient, summed over channels."""

    @torch.enable_grad()
    def method(image: Tensor, targets: Any, _seed: int = 0) -> np.ndarray:
        pixels = scene.classifier.normalise(image).view(1, *image.shape[-3:]).requires_grad_()
        output = (network or scene.classifier.network)(pixels)[0, int(targets[0])]
        return torch.autograd.grad(output, pixels)[0].sum(1).double().numpy()

    return method


def moved(scene: Scene) -> Tensor:
    """The pictures (10,3,H,W) of max-sensitivity."""
    drawn = (torch.Generator().manual_seed(seed) for seed in seeds_of(scene.case(), 10))
    noise = torch.stack([torch.rand(scene.image.shape, generator=each) for each in drawn])
    return (scene.image + 0.02 * (2 * noise - 1)).clamp(0, 1)


def grad_cam(scene: Scene) -> Iterator[Row]:
    """pytorch-grad-cam."""
    from pytorch_grad_cam.metrics import arcc, cam_mult_image
    from pytorch_grad_cam.metrics import perturbation_confidence as confidence
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget

    pixels, gone = filled(scene)
    yield Row(FILL, lambda: linear_imputation(pixels, gone),
              lambda: NoisyLinearImputer(0)(scene.image, torch.tensor(~gone).float()).permute(1, 2, 0), 1e-5,
              "1, 1")  # fmt: skip
    tied = scene.case(np.round(scene.grid), method=lambda image, *_: image.mean(0).double().numpy()[None])
    cams = {"no ties": scene.untied, "ties": unit(on_input(tied).values)}
    scored = [ClassifierOutputSoftmaxTarget(TARGETS[0])], scene.network
    kinds = confidence.RemoveMostRelevantFirst, confidence.RemoveLeastRelevantFirst

    def changes(noise: float, which: str) -> list[float]:
        cam = cams[which][None].astype(np.float32)
        # Between two pixels: at the percentile itself it removes one pixel more.
        kept = (cam.size - cuts(share, cam.size) - 0.5 for share in (0.2, 0.4, 0.6, 0.8))
        places = [100 * each / (cam.size - 1) for each in kept]
        perturbed = (kind(place, NoisyLinearImputer(noise)) for kind in kinds for place in places)
        with torch.no_grad():
            made = [confidence.PerturbationConfidenceMetric(each) for each in perturbed]
            return [each(scene.pixels, cam, *scored)[0] for each in made]

    def curves(road: Any, case: Case) -> np.ndarray:
        (row,) = road.observe([case])
        return np.array(row["most"] + row["least"]) - row["whole"]

    cases = {"no ties": scene.case(scene.untied), "ties": tied}
    for noise, which, within in ((0, "no ties", 1e-5), (0, "ties", -0.001), (0.01, "no ties", -0.001)):
        yield Row(f"road noise={noise}, a map of {which}: its curves",
                  partial(curves, measure(f"road noise={noise}"), cases[which]), partial(changes, noise, which), within,
                  f"{scene.batch}, 1")  # fmt: skip
    ours, cam = partial(measure("adcc").observe, [tied]), cams["ties"][None]
    bright = lambda input_tensor, targets: np.stack([unit(each.mean(0).numpy()) for each in input_tensor])  # noqa: E731
    yield Row("adcc: complexity is ARCC's", lambda: ours()[0]["complexity"], lambda: arcc.Complexity()(cam)[0], 1e-6)
    yield Row("adcc: coherency is ARCC's", lambda: ours()[0]["coherency"],
              lambda: arcc.Coherency()(scene.image[None].double(), cam, [None], None, bright)[0], 1e-6)  # fmt: skip
    yield Row("average_drop", lambda: value(measure("average_drop"), tied),
              lambda: cam_mult_image.DropInConfidence()(scene.pixels, cam.astype(np.float32), *scored)[0],
              -0.01)  # fmt: skip


def captum(scene: Scene) -> Iterator[Row]:
    """captum."""
    from captum import metrics

    case, ours, method = scene.case(), measure("infidelity"), slope(scene)
    squares = torch.tensor(np.stack(ours.squares(scene.side[::-1], case.seed)))[:, None].expand(-1, 3, -1, -1)
    heat = torch.tensor(on_input(case).values).float().expand_as(scene.pixels)
    yield Row("infidelity, normalize=True, the same squares", lambda: value(ours, case), lambda: metrics.infidelity(
        lambda pixels: scene.network(pixels).detach(), lambda pixels: (squares / 3, torch.where(squares, 0.0, pixels)),
        scene.pixels, heat, n_perturb_samples=64, target=TARGETS[0], normalize=True), 1e-4,
        f"{scene.batch}, 64")  # fmt: skip
    sensitivity, again = measure("max_sensitivity"), scene.case(method(scene.image, TARGETS)[0], method=method)

    def explain(images: Any) -> tuple[Tensor]:  # of a tensor, or of one in a tuple
        images = images if isinstance(images, Tensor) else images[0]
        return (torch.from_numpy(np.concatenate([method(each, TARGETS) for each in images])),)

    yield Row("max_sensitivity, the same noise", lambda: value(sensitivity, again), lambda: metrics.sensitivity_max(
        explain, scene.image[None], lambda _: moved(scene), n_perturb_samples=10), 1e-5, "1, 1")  # fmt: skip


def torchcam(scene: Scene) -> Iterator[Row]:
    """torch-cam."""
    from torchcam import metrics

    class Given:
        """A ready-made map where the program wants a method."""

        model, _hooks_off, fuse_cams = scene.network, staticmethod(nullcontext), staticmethod(lambda cams: cams[0])

        def __init__(self, grid: np.ndarray):
            self.cam = torch.from_numpy(on_input(scene.case(grid)).values)[None].float()

        def __call__(self, *_: Any, **__: Any) -> list[Tensor]:
            """Of any class."""
            return [self.cam]

    ties, softmax = np.round(scene.grid), partial(torch.softmax, dim=-1)

    def theirs(grid: np.ndarray = ties, kind: str = "DeletionInsertionMetric", **settings: Any) -> list[float]:
        metric = getattr(metrics, kind)(Given(grid), **settings)
        with torch.no_grad():
            metric.update(scene.pixels, TARGETS[0])
        return list(metric.summary().values())

    def ours(*words: str) -> Callable[[], list[float]]:
        made, case = [measure(each) for each in words], scene.case(ties)
        return lambda: [value(each, case) for each in made]

    alike = partial(theirs, logits_fn=softmax, steps=28, batch_size=16)
    soft = scene.classifier.normalise(blurred(scene.image, scene.classifier))
    both = ("deletion", "insertion substrate=mean")
    yield Row(f"{' and '.join(both)}, our steps and probability", ours(*both), alike, 1e-6,
              f"{scene.batch}, 16")  # fmt: skip
    yield Row("insertion, the same and our blurred picture", ours("insertion"),
              lambda: alike(baseline=soft)[1:], 1e-6)  # fmt: skip
    yield Row("deletion and insertion, its defaults", ours("deletion", "insertion"), theirs, -0.01)
    flat = np.ones((9, 9))
    yield Row("deletion of a constant map: none here, one there",
              lambda: measure("deletion").observe([scene.case(flat)])[0]["curve"] is None,
              lambda: np.isfinite(theirs(flat)[0]), 1e-9)  # fmt: skip
    yield Row("average_drop", ours("average_drop"),
              lambda: theirs(kind="ClassificationMetric", logits_fn=softmax)[:1], -0.01)  # fmt: skip


def quantus(scene: Scene) -> Iterator[Row]:
    """Quantus. Pixel flipping has a picture of one channel, and a network for it."""
    import quantus as peer
    from quantus.functions.perturb_func import noisy_linear_imputation

    plain, y = {"disable_warnings": True, "normalise": False, "abs": False}, np.array(TARGETS[:1])
    image = scene.image.mean(0, keepdim=True).expand(3, -1, -1)
    case, deletion = scene.case(scene.untied, image=image, classifier=scene.even), measure("deletion")
    three = nn.Conv2d(1, 3, 1, bias=False).requires_grad_(False)
    nn.init.ones_(three.weight)
    x, network = scene.even.normalise(image)[:, :1].numpy(), nn.Sequential(three, demo.vgg16()).eval()

    def theirs(name: str, heat: np.ndarray = scene.untied, **settings: Any) -> Any:
        return getattr(peer, name)(**plain | settings)(network, x.copy(), y, heat[None, None].copy(), device="cpu")[0]

    flipped = partial(theirs, "PixelFlipping", features_in_step=1792)
    curve = lambda: deletion.observe([case])[0]["curve"][1:]  # noqa: E731
    yield Row("deletion, perturb_baseline=0.0, no ties: the curve without its first point", curve,
              partial(flipped, perturb_baseline=0.0), 1e-6, f"{scene.batch}, 1")  # fmt: skip
    yield Row("deletion, its default baseline: the curve", curve, flipped, -0.01)

    def ends() -> bool:
        with suppress(AttributeError):
            return flipped(return_auc_per_sample=True) is None
        return True

    yield Row("deletion: its area ends where numpy has no trapz", lambda: not hasattr(np, "trapz"), ends, 1e-9)
    pixels, gone = filled(scene)
    yield Row(FILL, lambda: linear_imputation(pixels, gone),
              lambda: noisy_linear_imputation(np.moveaxis(pixels, 2, 0), np.flatnonzero(gone), 0).transpose(1, 2, 0),
              1e-5, "1, 1")  # fmt: skip
    heat = upscale(np.maximum(scene.grid, 0), scene.side)
    found = partial(thresholds, heat, gone)
    yield Row("gini is its sparseness", lambda: found().gini, partial(theirs, "Sparseness", heat.values), 1e-4, "1, 1")
    yield Row("entropy, not divided by the logarithm of the pixels, is its complexity",
              lambda: found().entropy * np.log(gone.size), partial(theirs, "Complexity", heat.values), 1e-4,
              "1, 1")  # fmt: skip
    yield Row("infidelity", partial(value, measure("infidelity"), case),
              partial(theirs, "Infidelity", perturb_patch_sizes=[56], n_perturb_samples=1), -0.01)  # fmt: skip
    method = slope(scene)
    grid = method(scene.image, TARGETS)
    again = scene.case(grid[0], method=method)

    def called(name: str, network: nn.Module, **settings: Any) -> Any:
        explain = lambda model, inputs, targets, **_: slope(scene, model)(torch.tensor(inputs).float(), targets)  # noqa: E731
        metric = getattr(peer, name)(**plain | settings)
        return metric(network, scene.image[None].numpy(), y, grid[None], explain_func=explain, device="cpu")

    def sensitivity() -> Any:
        pictures = iter(moved(scene).numpy())
        change = lambda arr, **_: next(pictures).reshape(arr.shape)  # noqa: E731
        return called("MaxSensitivity", scene.network, nr_samples=10, perturb_func=change)

    yield Row("max_sensitivity, the same noise", partial(value, measure("max_sensitivity"), again), sensitivity, 1e-5,
              "1, 1")  # fmt: skip
    layers = [name for name, each in demo.vgg16().named_modules() if hasattr(each, "reset_parameters")][::-1]
    cascade, forgetful = measure(f"randomisation blocks=[{','.join(layers)}]"), demo.vgg16()
    for name, values in cascade._stages(scene.classifier):
        module = forgetful.get_submodule(name)
        module.drawn = {key.rpartition(".")[2]: each for key, each in values.items()}
        module.reset_parameters = MethodType(forget, module)
    ranked = {"similarity_func": peer.similarity_func.correlation_spearman}
    yield Row("randomisation, the same draws: the rank correlations", lambda: cascade.observe([again])[0]["spearman"],
              lambda: [each for each, in called("MPRT", forgetful, **ranked).values()], 1e-5, "1, 1")  # fmt: skip


def forget(module: Any) -> None:
    """In place of a layer's own redrawing."""
    for name, values in module.drawn.items():
        getattr(module, name).data.copy_(values)


def scikit_learn(scene: Scene) -> Iterator[Row]:
    """scikit-learn."""
    from sklearn.metrics import average_precision_score

    mask, heat = scene.case().region.mask, scene.case().heat
    assert heat is not None
    for label, tolerance, within in (("as in rows", 1e-3, 1e-3), ("pixels sorted", -1, 1e-12)):
        yield Row(f"pixel_ap, {label}", lambda t=tolerance: thresholds(heat, mask, tolerance=t).pixel_ap,
                  lambda: average_precision_score(mask.ravel(), heat.levels.ravel()), within, "1, 1")  # fmt: skip


def scipy(_: Scene) -> Iterator[Row]:
    """scipy."""
    from scipy import stats

    draw = np.random.default_rng(0)
    one, other = draw.normal(size=(2, 224, 224))
    yield Row("rank correlation", lambda: spearman(one, one + other),
              lambda: stats.spearmanr(one.ravel(), (one + other).ravel()).statistic, 1e-12, "1, 1")  # fmt: skip
    a, b = draw.normal(0.4, 1, 12), draw.normal(size=12)
    permuted = partial(stats.permutation_test, (a, b), lambda x, y: (x - y).mean(), permutation_type="samples")
    yield Row("exchange test of 12 pictures", lambda: paired_test(range(12), a, b).exchange,
              lambda: permuted(n_resamples=np.inf).pvalue, 1e-9, "1, 1")  # fmt: skip


def statsmodels(_: Scene) -> Iterator[Row]:
    """statsmodels."""
    from statsmodels.stats import contingency_tables, multitest

    tables = [[[5, a], [b, 6]] for a, b in DISCORDANT]
    yield Row("McNemar's test", lambda: [mcnemar(*each) for each in DISCORDANT],
              lambda: [contingency_tables.mcnemar(each).pvalue for each in tables], 1e-9, "1, 1")  # fmt: skip
    p = np.random.default_rng(4).random(30) ** 3
    missing = np.where(np.arange(30) == p.argmax(), np.nan, p)
    for label, values, within in (("", p, 1e-12), (" where one p does not exist", missing, -0.01)):
        yield Row(f"Holm's correction{label}", lambda v=values: np.nan_to_num(holm(v), nan=1),
                  lambda v=values: np.nan_to_num(multitest.multipletests(v, method="holm")[1], nan=1), within,
                  "1, 1")  # fmt: skip
