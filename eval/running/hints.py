"""Remedies for errors of users' own methods: a library's message says what broke, not what to write."""

HINTS = {
    "does not require grad": "parameters are frozen: baselines.taps.activations_and_gradients(classifier, image, "
    "targets, classifier.layers['cam']) has a layer's gradients; those of the picture start at image.requires_grad_()",
    "KeyError: ": "classifier.layers has the uses cam, gpnncam and relevance; classifier.module(NAME) gives a layer by "
    "its name; `python -m scripts.layers model=...` lists names",
    "has no attribute 'layer": "classifier.module(NAME) gives a layer by its name; "
    "`python -m scripts.layers model=...` lists names",
    "to not have been used in the graph": "no gradient comes through the layers behind it: quantised ones have none; "
    "methods without gradients (scorecam, ablationcam, eigencam, rise, occlusion) run",
    "expected 4D input (got 3D input)": "the network takes a batch: classifier.normalise(image) makes one of a picture",
    "'Classifier' object is not subscriptable": "classifier.layers['cam'] names the layers, classifier.module(NAME) "
    "gives one",
    "'Classifier' object is not callable": "classifier.network(classifier.normalise(image)) gives the output",
    "Can't call numpy() on Tensor that requires grad": "detach it first: maps.detach()",
    "a leaf Variable that requires grad is being used in an in-place operation": "take a copy first: image.clone()",
    "got an unexpected keyword argument 'classifier'": "a function is called as function(image, targets, classifier)",
    "backward through the graph a second time": "torch.autograd.grad(..., retain_graph=True) for all but the last",
}  # fmt: skip


def hint(what: str) -> str:
    """The remedy in brackets for an error's text, "" where there is none."""
    advice = next((remedy for text, remedy in HINTS.items() if text in what), "")
    return f" ({advice})" if advice else ""
