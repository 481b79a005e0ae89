"""`jobgen evaluate`: measure weights that were downloaded."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from jobgen.cli.after import in_tiles, known_best, run_stage, shared
from jobgen.cli.console import Console
from jobgen.language import label, translated

# A label is named from this doubt on (0 to 1), so many at most.
DOUBTFUL, SHOWN = 0.3, 10
EXAMPLES = """\b
Examples:
  jobgen evaluate output.zip --archive ssdd.zip
  jobgen evaluate output.zip --archive ssdd.zip --split test
  jobgen evaluate output.zip --archive scenes.zip --tiles 640
  jobgen evaluate best_model.pdparams --model MODEL --archive ssdd.zip
"""


@click.command(epilog=EXAMPLES)
@shared
@in_tiles
@click.option(
    "--split",
    type=click.Choice(["test", "eval"]),
    help="The split to measure: job.yaml's dataset.test, or the archive's.  [default: eval]",
)
@click.pass_obj
def command(console: Console, /, **given: Any) -> None:
    """Measure the weights in OUTPUT on the evaluation's images: mAP, each class, which score.

    OUTPUT is a run, an output folder, the zip that AI Studio gives, or a .pdparams file; weights
    that were trained without jobgen do too. It is the notebook's own stage, on this machine. Then
    what each kind of mistake costs of AP@0.5, as TIDE has it, and which labels look wrong; all
    of them are in mistakes.json.
    """
    run_stage(console, "evaluate", given, more=partial(explain_mistakes, console))


def explain_mistakes(
    console: Console, _plan: Any, _before: dict[str, Any], output: Path, result: dict[str, Any]
) -> dict[str, Any]:
    """Say what the mistakes of an evaluation cost, and write them beside it; nothing for a
    classification, whose mistakes are its confusion matrix."""
    import json

    from jobgen.cli.table import table
    from jobgen.files import write_atomically
    from jobgen.report.mistakes import find_mistakes, images_of, listed, truth_of
    from jobgen.report.mistakes_page import Judged, mistakes_page
    from jobgen.report.suspects import suspects, write_suspects

    finds = output / "evaluation" / "bbox.json"
    truth, images = truth_of(result), images_of(result)
    if truth is None or not finds.is_file():
        return {}
    record, found = json.loads(truth.read_bytes()), json.loads(finds.read_bytes())
    mistakes = find_mistakes(record, found)
    score = known_best(result).get("threshold", 0.0)
    rows = [(label(kind), [f"{cost:.3f}", f"{mistakes.count(kind, found, score):,}"])
            for kind, cost in sorted(mistakes.costs.items(), key=lambda row: -row[1])]  # fmt: skip
    score_text = translated(f"from a score of {score:.2f}")
    console.verbatim(table([(label("mistake"), [translated("costs AP@0.5"), score_text]), *rows]))
    doubtful = suspects(mistakes, record, found)
    goal = output / "evaluation"
    written = {**listed(mistakes, record, found), "suspects": doubtful}
    write_atomically(goal / "mistakes.json", json.dumps(written, indent=1).encode())
    judged = Judged(str(result.get("name")), record, found, mistakes, doubtful, score, images)
    write_atomically(goal / "mistakes.html", mistakes_page(judged).encode())
    say_suspects(console, doubtful, goal, write_suspects(judged, goal / "suspects"))
    console.say(f"the mistakes with pictures: {goal / 'mistakes.html'}")
    return {"mistakes": mistakes.costs, "suspects": doubtful}


def say_suspects(
    console: Console, doubtful: list[dict[str, Any]], goal: Path, in_labelme: bool
) -> None:
    """Name the labels that are most worth a look, and how to open them."""
    from jobgen.cli.table import table
    from jobgen.files import shown

    rows = [(row["image"], [translated(row["reason"]), f"{row['doubt']:.2f}",
                            " ".join(f"{side:.0f}" for side in row["bbox"])])
            for row in doubtful if row["doubt"] >= DOUBTFUL][:SHOWN]  # fmt: skip
    if rows:
        head = (label("image"), [label("what"), label("doubt"), translated("x y width height")])
        console.data("Labels to look at, as the model has it:")
        console.verbatim(table([head, *rows]))
        console.say(f"all of them: {goal / 'mistakes.json'}")
    if in_labelme:
        console.say(f"to put them right: labelme {shown(goal / 'suspects')}")
