"""The curves of runs as one PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from jobgen_runtime.record.charts import DRAWN, Points, curve, nice_ticks
from jobgen_runtime.record.measured import RunRecord

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

SIZE = (900, 300)
INSET = (70, 34, 20, 34)  # left, top, right, bottom
COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2")
PANELS = (
    ("loss", "loss"),
    ("mAP@0.5", "mAP50"),
    ("top-1", "top1"),
    ("learning rate", "learning_rate"),
    ("images/s", "ips"),
)


def curves_png(records: list[RunRecord]) -> bytes:
    """Loss, mAP@0.5 or top-1, learning rate and speed over epochs, below one another."""
    from PIL import Image, ImageDraw, ImageFont

    panels = []
    for title, column in PANELS:
        series = [(record.title, finite(curve(record.rows, column))) for record in records]
        if any(points for _, points in series):
            panels.append((title, series))
    image = Image.new("RGB", (SIZE[0], SIZE[1] * max(1, len(panels))), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(14)
    for number, (title, series) in enumerate(panels):
        _panel(draw, font, SIZE[1] * number, title, series)
    if not panels:
        draw.text((20, 20), "no curves yet", fill="black", font=font)
    sink = io.BytesIO()
    image.save(sink, "PNG")
    return sink.getvalue()


def finite(points: Points) -> Points:
    return [(x, y) for x, y in points if abs(x) < DRAWN and abs(y) < DRAWN]


def _panel(
    draw: ImageDraw, font: Any, above: int, title: str, series: list[tuple[str, Points]]
) -> None:
    left, top, right, bottom = INSET
    width, height = SIZE[0] - left - right, SIZE[1] - top - bottom
    every = [point for _, points in series for point in points]
    x_end = max(x for x, _ in every) or 1.0
    low, high = min(y for _, y in every), max(y for _, y in every)
    low = 0.0 if 0 < low < high / 2 else low
    if high - low <= 1e-9 * abs(high):
        low, high = low - max(0.5, abs(low) / 2), high + max(0.5, abs(high) / 2)

    def place(x: float, y: float) -> tuple[float, float]:
        return left + x / x_end * width, above + top + (high - y) / (high - low) * height

    draw.text((left, above + 10), title, fill="black", font=font)
    for tick in nice_ticks(low, high):
        y = place(0, tick)[1]
        draw.line([(left, y), (left + width, y)], fill="#d8dde6")
        draw.text((8, y - 8), f"{tick:.4g}", fill="#667085", font=font)
    for tick in nice_ticks(0, x_end, 8):
        at = (place(tick, low)[0] - 6, above + SIZE[1] - bottom + 6)
        draw.text(at, f"{tick:.4g}", fill="#667085", font=font)
    for number, (name, points) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        corners = [place(x, y) for x, y in points]
        if len(corners) > 1:
            draw.line(corners, fill=colour, width=2, joint="curve")
        if len(series) > 1:
            at = (left + 120 + 160 * number, above + 10)
            draw.text(at, name, fill=colour, font=font)
