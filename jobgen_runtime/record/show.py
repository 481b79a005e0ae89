"""What the executed notebook shows below its cells: the curves, and a few predictions.

Pictures are an extra: whatever goes wrong with them changes nothing of the run.
"""

import glob
import io
import os
from typing import Any, Dict, List

from jobgen_runtime.record.charts import curve
from jobgen_runtime.record.outcome import outcome
from jobgen_runtime.train.trainwatch import read_metrics

MOST_PICTURES = 3
# A notebook holds them as text; a larger one would make it slow to open.
MOST_BYTES = 400000


def show_curves() -> None:
    """Loss and accuracy over the epochs, drawn by matplotlib where it is installed."""
    rows = read_metrics(outcome().path("metrics.csv"))
    try:
        picture = curves_picture(rows)
    except Exception as error:
        print("no curves are shown here: %s" % error)
        return
    if picture:
        show(picture)


def curves_picture(rows: List[Dict[str, Any]]) -> bytes:
    """A PNG with two charts; empty where there is nothing to draw."""
    # Without pyplot: the notebook's own use of it stays as it is.
    from matplotlib.figure import Figure

    figures = [("mAP@0.5", "mAP50"), ("mAP", "mAP")]
    if any("top1" in row for row in rows):
        figures = [("top-1", "top1"), ("top-5", "top5")]
    name = "mAP" if figures[1][0] == "mAP" else "accuracy"
    charts = [("loss", [("loss", "loss")]), (name, figures)]
    drawn = [(title, [(label, curve(rows, column)) for label, column in series])
             for title, series in charts]  # fmt: skip
    if not any(points for _, series in drawn for _, points in series):
        return b""
    figure = Figure(figsize=(9.0, 2.6), dpi=90)
    for number, (title, series) in enumerate(drawn, 1):
        axes = figure.add_subplot(1, 2, number)
        for name, points in series:
            marker = "." if len(points) < 40 else ""
            axes.plot([x for x, _ in points], [y for _, y in points], marker=marker, label=name)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.tight_layout()
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def show_pictures(caption: str = "annotation left, prediction right") -> None:
    """The first few pictures of predictions/, what is there beside what was found."""
    found = glob.glob(os.path.join(outcome().path("predictions"), "**", "*.*"), recursive=True)
    pictures = [path for path in sorted(found) if path.lower().endswith((".jpg", ".jpeg", ".png"))]
    small = [path for path in pictures if os.path.getsize(path) <= MOST_BYTES]
    names = ", ".join(os.path.basename(path) for path in small[:MOST_PICTURES])
    if names:
        print("%s: %s" % (caption, names))
    for path in small[:MOST_PICTURES]:
        with open(path, "rb") as stream:
            show(stream.read())


def show(picture: bytes) -> None:
    """A PNG or JPEG below the cell; where no notebook is, nothing."""
    try:
        from IPython import get_ipython
        from IPython.display import Image, display
    except ImportError:
        return
    if get_ipython() is None:
        return
    display(Image(data=picture, width=800))  # type: ignore[no-untyped-call]
