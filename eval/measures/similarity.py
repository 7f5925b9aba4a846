"""How much alike two maps are: rank correlation, structure, outlines (Adebayo et al., NeurIPS 2018)."""

import warnings

import numpy as np
from scipy.stats import rankdata
from skimage.feature import hog
from skimage.metrics import structural_similarity

HOG_CELL = 16  # pixels, as in the published comparison


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Rank correlation of two maps of one shape; None where either is constant."""
    return pearson(rankdata(a), rankdata(b))


def pearson(a: np.ndarray, b: np.ndarray) -> float | None:
    """Correlation of two arrays of one size; None where either is constant."""
    a, b = (each.ravel() - each.mean() for each in (a, b))
    size = np.sqrt((a**2).sum() * (b**2).sum())
    return float(np.clip((a * b).sum() / size, -1, 1)) if size > 0 else None


def ssim(a: np.ndarray, b: np.ndarray) -> float | None:
    """Structural similarity of two maps (h,w), each scaled to [0,1]; None where either is constant, or below 7 pixels.

    A window of 7 x 7, equal weights.
    """
    if min(a.shape) < 7 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(structural_similarity(*map(scaled, (a, b)), data_range=1.0))


def outlines(a: np.ndarray, b: np.ndarray) -> float | None:
    """Correlation of the histograms of oriented gradients of two maps (h,w), each scaled to [0,1]; None where either
    is constant, or smaller than 3 x 3 cells."""
    if min(a.shape) < 3 * HOG_CELL or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return pearson(*(hog(scaled(each), pixels_per_cell=(HOG_CELL, HOG_CELL)) for each in (a, b)))


def scaled(values: np.ndarray) -> np.ndarray:
    """Values that are not all alike, moved and divided so that they span [0,1]."""
    return (values - values.min()) / np.ptp(values)
