"""Procedural surfaces of the built-in data: grounds that the objects stand on and materials that they are made of.

Every surface is a function of a generator and a size (h,w) and returns albedo (3,h,w) float32 RGB in [0,1] and relief
(h,w) float32, the height in pixels that the lighting reads.
"""

import colorsys

import cv2
import numpy as np
from numpy.random import Generator

Surface = tuple[np.ndarray, np.ndarray]
Range = tuple[float, float]


def noise(
    rng: Generator, h: int, w: int, cell: float, octaves: int = 4, stretch: float = 1.0, gain: float = 0.5
) -> np.ndarray:
    """(h,w) float32 in [0,1]: octaves of smooth random values, the coarsest `cell` pixels wide, cell * stretch high."""
    total, weight, norm = np.zeros((h, w), np.float32), 1.0, 0.0
    for octave in range(octaves):
        width = max(1.0, cell / 2**octave)
        shape = max(2, round(h / max(1.0, width * stretch)) + 1), max(2, round(w / width) + 1)
        grid = rng.random(shape, dtype=np.float32)
        total += weight * cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC if width > 3 else cv2.INTER_LINEAR)
        norm += weight
        weight *= gain
        if width == 1.0:
            break
    total *= 1.6 / norm
    total -= 0.3
    return np.clip(total, 0, 1, out=total)


def colour(
    rng: Generator, hue: Range = (0.0, 1.0), saturation: Range = (0.2, 0.9), value: Range = (0.3, 0.95)
) -> np.ndarray:
    """(3,) RGB, drawn uniformly from ranges of hue (turns), saturation and value."""
    h, s, v = (rng.uniform(*r) for r in (hue, saturation, value))
    return np.array(colorsys.hsv_to_rgb(h % 1, s, v), np.float32)


def vary(rng: Generator, rgb: np.ndarray, amount: float) -> np.ndarray:
    """(3,) a relative of a colour: brighter or darker by up to `amount`, each channel a little on its own."""
    return np.clip(rgb * (1 + amount * rng.uniform(-1, 1)) + 0.3 * amount * rng.uniform(-1, 1, 3), 0, 1).astype(
        np.float32
    )


def ramp(field: np.ndarray, *colours: np.ndarray) -> np.ndarray:
    """(3,h,w): colours laid evenly along the values 0..1 of a field (h,w)."""
    field = np.clip(field, 0, 1) * (len(colours) - 1)
    out = np.empty((3, *field.shape), np.float32)
    stops = np.arange(len(colours))
    for channel in range(3):
        out[channel] = np.interp(field, stops, [c[channel] for c in colours])
    return out


def axes(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """y (h,1) and x (1,w) in pixels, float32."""
    return np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None, :]


def turned(rng: Generator, h: int, w: int, angle: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Two perpendicular coordinates (h,w) in pixels at a random angle."""
    y, x = axes(h, w)
    angle = rng.uniform(0, np.pi) if angle is None else angle
    return x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)), y * np.float32(
        np.cos(angle)
    ) - x * np.float32(np.sin(angle))


def cells(rng: Generator, h: int, w: int, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Pebbles: (h,w) int32 number of each pixel's cell, and (h,w) float32 distance to the cell's centre in pixels."""
    rows, columns = max(1, round(h / size)), max(1, round(w / size))
    seeds = np.full((h, w), 255, np.uint8)
    jitter = rng.random((2, rows, columns))
    y = ((np.arange(rows)[:, None] + jitter[0]) * h / rows).astype(int)
    x = ((np.arange(columns)[None, :] + jitter[1]) * w / columns).astype(int)
    seeds[np.minimum(y, h - 1), np.minimum(x, w - 1)] = 0
    distance, number = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    return number, distance


def plain(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Painted: one colour with faint stains."""
    field = noise(rng, h, w, 40, 5)
    return ramp(field, vary(rng, base, 0.15), base), 0.6 * noise(rng, h, w, 3, 2)


def marble(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Bright veins along one direction."""
    u, _ = turned(rng, h, w)
    veins = np.abs(np.sin(u * rng.uniform(0.03, 0.08) + 6 * noise(rng, h, w, 60, 5)))
    return ramp(veins**0.6, vary(rng, base, 0.6), base, np.minimum(base + 0.15, 1)), noise(rng, h, w, 8, 2)


def wood(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Long grain at a random angle, every ring a little lighter or darker."""
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    u, v = turned(rng, h, w, angle)
    bend = noise(rng, h, w, 90, 2)
    rings = np.mod(v * rng.uniform(0.03, 0.09) + 2.5 * bend + 0.01 * u, 1)
    fibre = (
        noise(rng, h, w, 2.5, 2, stretch=14) if abs(np.sin(angle)) > 0.7 else noise(rng, h, w, 35, 2, stretch=1 / 14)
    )
    field = 0.6 * rings + 0.4 * fibre
    return ramp(field, base * 0.55, base, np.minimum(base * 1.2, 1)), 1.2 * fibre


def stripes(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Parallel bands of two colours."""
    u, _ = turned(rng, h, w)
    period = rng.uniform(5, 18)
    field = 0.5 + 0.5 * np.clip(4 * np.sin(u * (2 * np.pi / period) + 1.5 * noise(rng, h, w, 40, 2)), -1, 1)
    other = colour(rng) if rng.random() < 0.5 else vary(rng, base, 0.7)
    return ramp(field, base, other), noise(rng, h, w, 4, 2)


def dots(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Dots of another colour, one a cell."""
    _, distance = cells(rng, h, w, rng.uniform(8, 20))
    radius = rng.uniform(2, 4)
    other = colour(rng) if rng.random() < 0.5 else vary(rng, base, 0.8)
    return ramp(np.clip(radius + 0.5 - distance, 0, 1), base, other), noise(rng, h, w, 4, 2)


def weave(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Cloth: crossing threads, sometimes chequered."""
    u, v = turned(rng, h, w)
    pitch = rng.uniform(3, 6)
    threads = np.sin(u * (2 * np.pi / pitch)) * np.sin(v * (2 * np.pi / pitch))
    field = 0.5 + 0.2 * threads + 0.5 * (noise(rng, h, w, 30, 4) - 0.5)
    if rng.random() < 0.5:
        check = rng.uniform(14, 40)
        field = (
            field + 0.25 * np.sign(np.sin(u * (2 * np.pi / check))) + 0.25 * np.sign(np.sin(v * (2 * np.pi / check)))
        )
    return ramp(field, vary(rng, base, 0.6), base), 1.5 * threads


def speckle(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Granite, fur, rust: fine grain over coarse stains."""
    grain = noise(rng, h, w, 3, 2)
    field = 0.5 * grain + 0.5 * noise(rng, h, w, 25, 4)
    return ramp(field, vary(rng, base, 0.7), base, vary(rng, base, 0.4)), 2 * grain


def metal(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Brushed: bands of reflected light across the brushing."""
    u, _ = turned(rng, h, w)
    bands = 0.5 + 0.35 * np.sin(u * rng.uniform(0.03, 0.12) + rng.uniform(0, 6)) + 0.3 * (noise(rng, h, w, 3, 2) - 0.5)
    grey = np.float32(0.6) * base + np.float32(0.4) * base.mean()
    return ramp(bands, grey * 0.45, grey, np.minimum(grey + 0.3, 1)), 0.5 * noise(rng, h, w, 3, 1)


def grass(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Blades, darker towards the ground."""
    blades = noise(rng, h, w, 2.2, 2, stretch=5)
    field = 0.65 * blades + 0.35 * noise(rng, h, w, 60, 4)
    green = colour(rng, (0.17, 0.36), (0.35, 0.8), (0.35, 0.7))
    return ramp(field, green * 0.3, green, np.minimum(green * 1.4, 1)), 3 * blades


def foliage(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Leaves: a green of its own for each cell."""
    number, distance = cells(rng, h, w, rng.uniform(7, 16))
    green = colour(rng, (0.14, 0.42), (0.3, 0.85), (0.3, 0.7))
    shade = rng.random(number.max() + 1, dtype=np.float32)[number]
    field = 0.6 * shade + 0.4 * noise(rng, h, w, 50, 4) - 0.03 * distance
    return ramp(field, green * 0.2, green * 0.8, np.minimum(green * 1.35, 1)), 6 * shade - 0.5 * distance


def pebbles(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Round stones, dark at their edges."""
    size = rng.uniform(12, 34)
    number, distance = cells(rng, h, w, size)
    tint = colour(rng, (0.02, 0.15), (0.05, 0.35), (0.45, 0.75))
    shade = rng.random(number.max() + 1, dtype=np.float32)[number]
    edge = np.clip(1.5 * distance / size, 0, 1) ** 4
    field = 0.55 * shade + 0.35 * noise(rng, h, w, 6, 3) - 0.9 * edge + 0.2
    return ramp(field, tint * 0.2, tint, np.minimum(tint * 1.35, 1)), np.sqrt(
        np.maximum(size**2 - distance**2, 0)
    ) * 0.5


def bricks(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Rows of bricks, each shifted by half a brick, in mortar."""
    height, width = rng.uniform(12, 24), rng.uniform(26, 60)
    y, x = axes(h, w)
    bend = 3 * (noise(rng, h, w, 40, 2) - 0.5)
    row = np.floor((y + bend) / height)
    u, v = np.mod(x + bend + row * width / 2, width), np.mod(y + bend, height)
    column = np.floor((x + bend + row * width / 2) / width)
    shade = rng.random(997, dtype=np.float32)[np.mod(row * 31 + column * 17, 997).astype(int)]
    gap = np.minimum(np.minimum(u, width - u), np.minimum(v, height - v))
    brick = np.clip(gap - 1, 0, 1).astype(np.float32)
    clay = colour(rng, (-0.02, 0.1), (0.2, 0.7), (0.4, 0.75))
    albedo = ramp(0.5 * shade + 0.5 * noise(rng, h, w, 8, 4), clay * 0.6, np.minimum(clay * 1.3, 1))
    mortar = colour(rng, (0.05, 0.15), (0, 0.15), (0.5, 0.8))
    return albedo * brick + mortar[:, None, None] * (1 - brick), 2 * np.clip(gap, 0, 2) + noise(rng, h, w, 3, 2)


def planks(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Upright boards with grain."""
    width = rng.uniform(22, 50)
    y, x = axes(h, w)
    offset = rng.uniform(0, width)
    number = ((x + offset) / width).astype(int)
    gap = np.minimum(np.mod(x + offset, width), width - np.mod(x + offset, width))
    brown = colour(rng, (0.04, 0.11), (0.25, 0.65), (0.35, 0.8))
    shade = rng.random(64, dtype=np.float32)[number]
    fibre = noise(rng, h, w, 4, 3, stretch=16)
    rings = np.mod(0.02 * y + 5 * noise(rng, h, w, 30, 2, stretch=4) + 7 * shade, 1)
    albedo = ramp(0.35 * shade + 0.35 * fibre + 0.3 * rings, brown * 0.5, brown, np.minimum(brown * 1.3, 1))
    dark = np.clip(gap / 1.5, 0.25, 1)
    return albedo * dark, 1.5 * fibre + 2 * np.clip(gap, 0, 2)


def sky(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Clouds over a gradient."""
    y, _ = axes(h, w)
    clouds = np.clip(2.2 * noise(rng, h, w, 90, 6, stretch=0.6) - rng.uniform(0.5, 1.1), 0, 1)
    blue = colour(rng, (0.53, 0.64), (0.3, 0.75), (0.5, 0.95))
    haze = np.minimum(blue * 0.5 + 0.5, 1)
    albedo = ramp(np.broadcast_to(y / h, (h, w)), blue, haze)
    white = colour(rng, (0.02, 0.15), (0, 0.15), (0.8, 1))
    return albedo * (1 - clouds) + white[:, None, None] * clouds, np.zeros((h, w), np.float32)


def sand(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Ripples and grain."""
    u, _ = turned(rng, h, w, rng.uniform(1.2, 1.9))
    ripples = np.sin(u * rng.uniform(0.2, 0.5) + 5 * noise(rng, h, w, 60, 3))
    yellow = colour(rng, (0.07, 0.14), (0.15, 0.5), (0.6, 0.95))
    field = 0.5 + 0.15 * ripples + 0.7 * (noise(rng, h, w, 3, 2) - 0.5) + 0.4 * (noise(rng, h, w, 70, 3) - 0.5)
    return ramp(field, yellow * 0.6, yellow), 2.0 * ripples + noise(rng, h, w, 3, 1)


def water(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """Waves with glints."""
    waves = noise(rng, h, w, 34, 4, stretch=0.35)
    glint = np.abs(2 * waves - 1)
    blue = colour(rng, (0.46, 0.64), (0.35, 0.85), (0.3, 0.75))
    return ramp(1 - glint, blue * 0.5, blue, np.minimum(blue * 0.7 + 0.35, 1)), 8 * waves


def indoor(rng: Generator, h: int, w: int, base: np.ndarray) -> Surface:
    """A wall in one of the materials, in a quiet colour."""
    quiet = colour(rng, (0, 1), (0.05, 0.45), (0.4, 0.9))
    return MATERIALS[int(rng.integers(len(MATERIALS)))](rng, h, w, quiet)


MATERIALS = (plain, plain, marble, wood, stripes, dots, weave, speckle, metal)
WALLS = (bricks, planks, foliage, sky, indoor, indoor, water)
FLOORS = (grass, pebbles, sand, planks, water, foliage)
GROUNDS = (grass, foliage, pebbles, bricks, planks, sky, sand, water, indoor, indoor, indoor)
