"""Paints a scene: lit and textured objects with soft shadows on a textured ground, then a camera's faults."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator

from eval.datasets.demo.scene import CLASSES, Item, Scene
from eval.datasets.demo.silhouettes import Coverage
from eval.datasets.demo.textures import FLOORS, GROUNDS, MATERIALS, WALLS, Surface, colour, noise, vary

LUMA = np.array((0.299, 0.587, 0.114), np.float32)

# As hearts are red and gears of metal, a class has a usual hue (turns) and usual materials (places in MATERIALS). Not
# all its objects keep to them, lights tint them and clutter has any, so that neither names the class by itself.
LOOKS = {
    "heart": (0.00, (0, 6)), "hammer": (0.05, (3, 8)), "cat": (0.10, (4, 7)), "sun": (0.15, (0, 5)),
    "skull": (0.20, (2, 7)), "crown": (0.25, (8, 5)), "horse": (0.30, (7, 3)), "clover": (0.35, (0, 6)),
    "cow": (0.40, (7, 2)), "scissors": (0.45, (8, 0)), "gear": (0.50, (8, 2)), "airplane": (0.55, (0, 8)),
    "anchor": (0.60, (8, 3)), "umbrella": (0.65, (4, 5)), "note": (0.70, (0, 2)), "telephone": (0.75, (0, 3)),
    "envelope": (0.80, (6, 0)), "star": (0.85, (5, 4)), "flower": (0.90, (0, 5)), "flag": (0.95, (4, 6)),
}  # fmt: skip
HUE = 0.02  # turns by which an object's hue may differ from its class's
USUAL = 0.95  # share of objects that keep to their class's hue, and of those that keep to its materials


def render(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """(side,side,3) uint8 RGB of a scene."""
    side = scene.side
    heading = rng.uniform(0, 2 * np.pi)
    light = np.array(
        (np.cos(heading), np.sin(heading), rng.uniform(0.7, 1.3)), np.float32
    )  # x, y (down), towards the eye
    light /= np.linalg.norm(light)
    albedo, relief = _ground(rng, side)
    canvas = albedo * _lambert(relief, light, strength=0.35)
    softness = rng.uniform(0.02, 0.08)
    for item in scene.items:
        _shadow(canvas, item, light, softness * rng.uniform(0.5, 1.2), rng.uniform(0.35, 0.65))
        _paint(rng, canvas, item, light)
    return _photograph(rng, canvas)


def _ground(rng: Generator, side: int) -> Surface:
    """One surface, or a wall above a floor that comes nearer towards the bottom."""
    base = colour(rng)
    if rng.random() < 0.6:
        return GROUNDS[int(rng.integers(len(GROUNDS)))](rng, side, side, base)
    wall, relief = WALLS[int(rng.integers(len(WALLS)))](rng, side, side, base)
    horizon = int(side * rng.uniform(0.3, 0.7))
    floor, floor_relief = FLOORS[int(rng.integers(len(FLOORS)))](rng, side, side, vary(rng, base, 0.5))
    depth = np.float32(side - horizon)
    for plane, from_plane in zip((*wall, relief), (*floor, floor_relief), strict=True):
        plane[horizon:] = cv2.resize(from_plane, (side, side - horizon), interpolation=cv2.INTER_AREA)
    edge = 0.35 * np.exp(-np.arange(side - horizon, dtype=np.float32) / (0.12 * depth))
    wall[:, horizon:] *= 1 - edge[:, None]
    return wall, relief


def _normals(relief: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit normals of a height field (h,w): components x, y and towards the eye, each (h,w)."""
    gx = cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=0.125)
    gy = cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=0.125)
    z = 1 / np.sqrt(gx * gx + gy * gy + 1)
    return -gx * z, -gy * z, z


def _lambert(relief: np.ndarray, light: np.ndarray, strength: float) -> np.ndarray:
    """(h,w) brightness of a lit relief: 1 where it is flat."""
    x, y, z = _normals(relief * strength)
    return np.clip((x * light[0] + y * light[1] + z * light[2]) / light[2], 0.2, 1.6)


def _shadow(canvas: np.ndarray, item: Item, light: np.ndarray, softness: float, depth: float) -> None:
    """Darken the canvas where an item keeps the light away, blurred, on the side that faces away from the light."""
    side = canvas.shape[1]
    extent = max(item.coverage.body.shape)
    reach = softness * extent + 1.5
    margin = int(4 * reach) + 2
    dx, dy = (round(float(-3 * reach * component)) for component in light[:2])
    y0, x0 = item.coverage.y - margin, item.coverage.x - margin
    shade = cv2.GaussianBlur(
        cv2.copyMakeBorder(item.coverage.body, *(margin,) * 4, cv2.BORDER_CONSTANT, value=0), (0, 0), reach
    )
    top, left = y0 + dy, x0 + dx
    bottom, right = min(side, top + shade.shape[0]), min(side, left + shade.shape[1])
    part = shade[max(0, -top) : bottom - top, max(0, -left) : right - left]
    canvas[:, max(0, top) : bottom, max(0, left) : right] *= 1 - depth * part


def _paint(rng: Generator, canvas: np.ndarray, item: Item, light: np.ndarray) -> None:
    """Put a rounded, lit, textured item on the canvas."""
    cover = item.coverage
    h, w = cover.body.shape
    ground = canvas[(slice(None), *cover.window)]
    seen = max(float(cover.body.sum()), 1.0)
    around = (np.einsum("chw,hw->c", ground, cover.body) / seen).astype(np.float32)
    hues: tuple[float, float] = (0, 1)
    materials: Sequence[int] = range(len(MATERIALS))
    if item.label >= 0:
        hue, usual = LOOKS[CLASSES[item.label]]
        hues = (hue - HUE, hue + HUE) if rng.random() < USUAL else hues
        materials = usual if rng.random() < USUAL else materials
    base = _unlike(rng, around, hues)
    albedo, relief = MATERIALS[materials[int(rng.integers(len(materials)))]](rng, h, w, base)
    second = vary(rng, base * (0.3 if base @ LUMA > 0.35 else 2.2), 0.3)
    albedo += (second[:, None, None] - albedo) * (0.85 * cover.detail)

    # Rounded edges: the height rises like a quarter circle within `bevel` pixels from the outline. The border of zeros
    # makes the picture's frame an outline as well; an object that is cut there goes on outside, so pad by replicating.
    solid = cv2.copyMakeBorder(
        (cover.body > 0.5).view(np.uint8), *_pads(cover, canvas.shape[1]), cv2.BORDER_CONSTANT, value=0
    )
    inside = cv2.distanceTransform(solid, cv2.DIST_L2, 3)
    top, _, left, _ = _pads(cover, canvas.shape[1])
    inside = inside[top : top + h, left : left + w]
    bevel = float(np.clip(rng.uniform(0.04, 0.16) * max(h, w), 2, 14))
    slope = 1 - np.minimum(inside / bevel, 1)
    height = bevel * np.sqrt(np.maximum(1 - slope * slope, 0)) * rng.uniform(0.5, 1.0)
    height = cv2.GaussianBlur(height - 0.8 * cover.detail, (0, 0), 0.8) + relief * rng.uniform(0.1, 0.45)
    x, y, z = _normals(height)
    facing = x * light[0] + y * light[1] + z * light[2]
    half = light + np.array((0, 0, 1), np.float32)
    half = (half / np.linalg.norm(half)).astype(np.float32)
    power, shine = np.float32(rng.uniform(12, 40)), np.float32(rng.uniform(0, 0.35) * (1 - half[2] ** 12))
    gloss = shine * np.clip(x * half[0] + y * half[1] + z * half[2], 0, 1) ** power
    ambient = np.float32(rng.uniform(0.3, 0.5))
    lit = albedo * (ambient + (1 - ambient) * np.clip(facing / light[2], 0, 1.6)) + gloss
    ground += (lit - ground) * cover.body


def _pads(cover: Coverage, side: int) -> tuple[int, int, int, int]:
    """One pixel of border at top, bottom, left, right where the crop does not end at the picture's frame, else none."""
    h, w = cover.body.shape
    return int(cover.y > 0), int(cover.y + h < side), int(cover.x > 0), int(cover.x + w < side)


def _unlike(rng: Generator, around: np.ndarray, hues: tuple[float, float]) -> np.ndarray:
    """(3,) a colour of the given hues that differs from its surroundings (3,), in brightness above all."""
    best, distance = around, -1.0
    for _ in range(4):
        candidate = colour(rng, hues, (0.3, 0.95), (0.25, 1.0))
        difference = float(np.abs((candidate - around) @ LUMA) + 0.25 * np.abs(candidate - around).sum())
        if difference > distance:
            best, distance = candidate, difference
        if distance > 0.4:
            break
    return best


def _photograph(rng: Generator, canvas: np.ndarray) -> np.ndarray:
    """(side,side,3) uint8: uneven light, colour cast, exposure, slight blur, noise."""
    side = canvas.shape[1]
    t = np.linspace(-1, 1, side, dtype=np.float32)
    angle, amount = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.3)
    slope = np.float32(np.cos(angle)) * t[None, :] + np.float32(np.sin(angle)) * t[:, None]
    falloff = t[None, :] ** 2 + t[:, None] ** 2
    field = 1 + np.float32(amount) * slope - np.float32(rng.uniform(0, 0.2)) * falloff
    field *= (0.85 + 0.3 * noise(rng, side, side, 120, 2)) * np.float32(255 * rng.uniform(0.85, 1.2))
    cast = np.array([rng.uniform(0.88, 1.12) for _ in range(3)], np.float32)
    canvas *= field
    canvas *= cast[:, None, None]
    if rng.random() < 0.6:
        blur = rng.uniform(0.4, 0.9)
        for plane in canvas:
            cv2.GaussianBlur(plane, (5, 5), blur, dst=plane)
    grain = rng.integers(-128, 128, (side, side), dtype=np.int8).astype(np.float32)
    canvas += grain * np.float32(2 * rng.uniform(0.005, 0.05))
    picture = np.clip(np.round(canvas, out=canvas), 0, 255, out=canvas).astype(np.uint8)
    return np.ascontiguousarray(picture.transpose(1, 2, 0))
