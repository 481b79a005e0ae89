"""A small classification set to try things on: five shapes, any colour, on a noisy ground.

Drawn from a seed, a folder for each class below train/ and val/. One file name is Chinese and has
spaces, as real archives have them.
"""

from __future__ import annotations

import io
import math
import random
import zipfile
from pathlib import Path
from typing import Any

from jobgen.datasets.ships import zip_entry
from jobgen.errors import DatasetError
from jobgen.files import write_atomically

SIZE = 96
SHAPES = ("circle", "cross", "square", "star", "triangle")


def make_shapes(archive: Path, train: int = 80, val: int = 20, seed: int = 20) -> None:
    """Write the archive, with so many images of each class in each split. Raises DatasetError
    without Pillow."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise DatasetError(
            "drawing needs Pillow", "Install jobgen with its extra `run`, as README says."
        ) from error
    rng = random.Random(seed)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for split, count in (("train", train), ("val", val)):
            for shape in SHAPES:
                for number in range(count):
                    name = f"{number:03d}.jpg"
                    if split == "train" and shape == "star" and number == 1:
                        name = "星 形 001.jpg"
                    entry = zip_entry(f"shapes/{split}/{shape}/{name}")
                    target.writestr(entry, _draw(rng, shape))
    write_atomically(archive, buffer.getvalue())


def _draw(rng: random.Random, shape: str) -> bytes:
    from PIL import Image, ImageDraw

    dark = rng.random() < 0.5
    ground = [rng.randint(20, 90) if dark else rng.randint(160, 230) for _ in range(3)]
    ink = [rng.randint(150, 255) if dark else rng.randint(0, 100) for _ in range(3)]
    image = Image.new("RGB", (SIZE, SIZE), tuple(ground))
    noise = Image.effect_noise((SIZE, SIZE), rng.uniform(5, 25)).convert("RGB")
    image = Image.blend(image, noise, 0.2)
    radius = rng.uniform(0.2, 0.38) * SIZE
    x, y = (rng.uniform(radius, SIZE - radius) for _ in range(2))
    corners = _corners(shape, rng.uniform(-0.3, 0.3))
    pen = ImageDraw.Draw(image)
    if not corners:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tuple(ink))
    else:
        pen.polygon([(x + radius * a, y + radius * b) for a, b in corners], fill=tuple(ink))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _corners(shape: str, turn: float) -> list[tuple[float, float]]:
    """The corners of a shape within a circle of radius 1, turned by an angle; none for a circle."""
    radii: dict[str, list[tuple[float, Any]]] = {
        "square": [(45 + 90 * n, 1.0) for n in range(4)],
        "triangle": [(-90 + 120 * n, 1.0) for n in range(3)],
        "star": [(-90 + 36 * n, 1.0 if n % 2 == 0 else 0.42) for n in range(10)],
        "cross": [
            (90 * n + d, r) for n in range(4) for d, r in ((-18, 0.95), (18, 0.95), (45, 0.4))
        ],
    }
    return [
        (r * math.cos(math.radians(angle) + turn), r * math.sin(math.radians(angle) + turn))
        for angle, r in radii.get(shape, [])
    ]
