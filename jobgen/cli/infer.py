"""`jobgen infer`: draw what downloaded weights find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jobgen.cli.after import in_tiles, run_stage, shared
from jobgen.cli.console import Console

EXAMPLES = """\b
Examples:
  jobgen infer output.zip --archive ssdd.zip --image 000031.jpg
  jobgen infer output.zip --images photos --as labelme
  jobgen infer runs/ssdd-1104-093000 --archive ssdd.zip --threshold 0.3
"""


@click.command(epilog=EXAMPLES)
@shared
@in_tiles
@click.option("--image", "names", multiple=True,
              help="An image of the data set, by its name.  [default: twelve]")  # fmt: skip
@click.option("--images", type=click.Path(path_type=Path),
              help="A folder or archive of images without labels, in place of a set.")  # fmt: skip
@click.option("--as", "tool", type=click.Choice(["labelme", "voc", "coco"]),
              help="With --images: write the boxes as a labelling tool reads them.")  # fmt: skip
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Draw boxes from this score on.  [default: of the best F1 in OUTPUT, else 0.5]",
)
@click.pass_obj
def command(
    console: Console, /, names: tuple[str, ...], images: Path | None, tool: str | None,
    threshold: float | None, **given: Any,
) -> None:  # fmt: skip
    """Draw what the weights in OUTPUT find beside what is there: pictures and a JSON file.

    All boxes, whatever their score, are in boxes.json (COCO's form of results) and boxes.csv.
    """
    if tool and images is None:
        raise click.UsageError("--as goes with --images")
    if images is not None and (names or given["archives"]):
        raise click.UsageError("give --images, or --archive and --image; not both")

    def change(spec: dict[str, Any], best: dict[str, Any]) -> dict[str, Any]:
        if spec["task"] == "classification":
            if names or threshold or images:
                raise click.UsageError("--image, --images and --threshold are for detection")
            return spec
        score = threshold or (best.get("threshold") if best.get("f1") else None)
        infer = dict(spec["infer"])
        if names:
            infer["images"] = list(names)
        if images is not None:
            infer["images"] = "all"
        if score:
            infer["threshold"] = score
        return {**spec, "infer": infer}

    made = run_stage(console, "infer", {**given, "images": images}, change)
    if images is not None and tool is not None:
        _write_prelabels(console, images, made, tool)


def _write_prelabels(console: Console, images: Path, made: Path, tool: str) -> None:
    from jobgen.datasets.contents import open_contents
    from jobgen.datasets.prelabels import write_prelabels
    from jobgen.run.unlabelled import predictions

    found = predictions(made)
    goal = made / "labels"
    classes, files = found["classes"], open_contents(images)
    count = write_prelabels(files, found["images"], classes, tool, goal)
    console.data(f"{goal}: {count:,} boxes with a score of {found['threshold']:.2f} or more")
