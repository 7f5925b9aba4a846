"""RelevanceCAM: channels weighted by the relevance that layer-wise relevance propagation (LRP) brings them.

The rules come from zennit. What zennit ties to the classes of torchvision is found here while the network runs:
additions of a residual block and average pools written as functions. Plain autograd hands the full relevance to both
sides of an addition, which doubles it in every block; here each side gets its share.
"""

from collections.abc import Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from zennit.core import Composite
from zennit.rules import Norm, Pass, ZPlus
from zennit.types import Activation, BatchNorm, Convolution, Linear

from baselines.cam import fuse
from baselines.refusals import refuse
from baselines.taps import check_reached, full, layer_names, tapped

STABILIZER = 1e-9
ADDITIONS = {"add", "add_", "__add__", "__iadd__", "__radd__"}
AVERAGES = {"avg_pool2d", "adaptive_avg_pool2d", "mean"}
# Their gradient is the rule: it sends relevance to where the value came from (a max pool's winner, a ReLU's input, the
# place before a reshape).
ROUTES = {"relu", "relu_", "dropout", "dropout_", "max_pool2d", "adaptive_max_pool2d", "flatten", "view", "reshape"}
ROUTES |= {"squeeze", "unsqueeze", "permute", "transpose", "contiguous", "clone", "cat", "concat", "pad", "to", "float"}
ROUTES |= {"__getitem__", "chunk", "split", "unbind", "narrow", "requires_grad_"}


class Apply(nn.Module):
    """A function of one tensor as a module, which is what zennit hangs a rule on."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, tensor: Tensor) -> Tensor:
        return self.function(tensor)


class Propagation(TorchFunctionMode):
    """Within this mode, and within the composite's rules, a forward pass is ready for relevance to run backwards.

    Raises ValueError for a function between modules that has no rule: its gradient would pass for relevance.
    """

    def __init__(self):
        super().__init__()
        self.composite = Composite(self.rule)
        self.depth = 0  # within how many modules that have a rule of their own
        self.kept = []  # zennit refers to hooks weakly

    def rule(self, _context, _name: str, module: nn.Module):
        if isinstance(module, Convolution | Linear):
            return ZPlus(stabilizer=STABILIZER, zero_params="bias")
        if isinstance(module, Activation | BatchNorm):
            return Pass()
        return None

    def enter_module(self, _module, _inputs) -> None:
        self.depth += 1

    def leave_module(self, _module, _inputs, _output) -> None:
        self.depth -= 1

    def proportionally(self, function, tensor: Tensor) -> Tensor:
        module = Apply(function)
        hook = Norm(stabilizer=STABILIZER)
        hook.register(module)
        self.kept.append((module, hook))
        return module(tensor)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(function, "__name__", str(function))
        if self.depth == 0:
            if name in ADDITIONS and not kwargs and all(isinstance(arg, Tensor) for arg in args[:2]):
                if args[0].requires_grad or args[1].requires_grad:
                    both = torch.stack(torch.broadcast_tensors(args[0], args[1]), -1)
                    return self.proportionally(lambda sides: sides.sum(-1), both)
            elif name in AVERAGES and args and isinstance(args[0], Tensor) and args[0].requires_grad:
                return self.proportionally(lambda tensor: function(tensor, *args[1:], **kwargs), args[0])
        result = function(*args, **kwargs)
        if self.depth == 0 and isinstance(result, Tensor) and result.requires_grad and name not in ROUTES:
            raise ValueError(f"RelevanceCAM has no rule for {name!r} between the network's layer and its output")
        return result


@contextmanager
def ruled(propagation: Propagation, network: nn.Module):
    """Tells the propagation when a module with a rule of its own is running."""
    handles = []
    try:
        for name, module in network.named_modules():
            if propagation.rule(None, name, module) is not None:
                handles.append(module.register_forward_pre_hook(propagation.enter_module, prepend=True))
                handles.append(module.register_forward_hook(propagation.leave_module))
        yield
    finally:
        for handle in handles:
            handle.remove()


class RelevanceCAM:
    """Lee et al., Relevance-CAM, CVPR 2021: weight of a channel = mean of its relevance; map = weighted activations.

    Output relevance is contrastive (CLRP, Gu et al., ACCV 2018): 1 for the class, -1/N for each other of the N outputs
    (contrastive: false: 0 for the others). Convolutions and linear layers have the alpha-beta rule with alpha 1, beta 0
    and without bias; batch norm and activations pass relevance on; average pools and additions split it in proportion
    to what each part contributed; a max pool sends it to its winner. Where a class stands for several outputs, or an
    output is a map, the 1 (and each -1/N) is shared as the gradient of `classifier.score` shares it.
    """

    def __init__(
        self,
        classifier,
        layers: Sequence[str] | str | None = None,
        contrastive: bool = True,
        relu: bool = False,
        fusion: str = "maximum",
    ):
        refuse(
            classifier,
            "RelevanceCAM",
            (nn.LayerNorm, nn.GELU, nn.MultiheadAttention),
            "has no rule for layer norm, GELU and attention: its rules share out what positive parts of ReLU networks "
            "contribute, and there parts are divided by all others, or negative where the input is positive",
        )
        self.classifier = classifier
        self.layers = layer_names(classifier, layers, "relevance", "cam")
        self.contrastive = contrastive
        self.relu = relu
        self.fusion = fusion

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> raw maps (K,h,w) on the grid of the (finest) layer."""
        maps = [
            (relevance.mean((2, 3), keepdim=True) * activations).sum(1)
            for activations, relevance, _ in self.relevance(image, targets)
        ]
        fused = fuse(maps, self.fusion, None)
        return fused.clamp(min=0) if self.relu else fused

    def relevance(self, image: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each layer its activations (1,C,h,w), relevance (K,C,h,w), and the outputs' relevance (K,C'[,i,j])."""
        names = self.layers
        with torch.inference_mode(False), torch.enable_grad(), tapped(self.classifier, names) as taps:
            propagation = Propagation()
            network = self.classifier.network
            pixels = self.classifier.normalise(image.detach())
            with propagation.composite.context(network):
                with ruled(propagation, network), propagation:
                    output = network(pixels)
                check_reached(names, taps)
                layers = [taps.leaf(name) for name in names]
                read = [taps[name].detach() for name in names]
                starts = [self.output_relevance(output.detach(), target) for target in targets.tolist()]
                rows = [torch.autograd.grad(output, layers, start, retain_graph=True) for start in starts]
        outputs = torch.cat(starts)
        return [
            (layer, full(taps.maps(name, torch.cat(found).detach())), outputs)
            for name, layer, found in zip(names, read, zip(*rows, strict=True), strict=True)
        ]

    def output_relevance(self, output: Tensor, target: int) -> Tensor:
        """(1,C) or (1,C,i,j), as the network's output."""
        leaf = output.clone().requires_grad_()
        (start,) = torch.autograd.grad(self.classifier.score(leaf, target).sum(), leaf)
        if self.contrastive:
            others = output.flatten(2).softmax(2).view_as(output) if output.dim() == 4 else torch.ones_like(output)
            others[:, self.classifier.outputs[target]] = 0
            start = start - others / output.shape[1]
        return start
