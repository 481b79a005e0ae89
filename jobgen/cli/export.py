"""`jobgen export`: a model for deployment from downloaded weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobgen.cli.after import run_stage, shared
from jobgen.cli.console import Console

if TYPE_CHECKING:
    from jobgen.deploy.forms import Form
    from jobgen.deploy.make import Judged
    from jobgen.deploy.source import Source

EXAMPLES = """\b
Examples:
  jobgen export output.zip --archive ssdd.zip --onnx
  jobgen export output.zip --archive ssdd.zip --to onnx-int8,mnn
"""
FORMS = "forms"


@click.command(epilog=EXAMPLES)
@shared
@click.option("--onnx/--no-onnx", default=None, help="Write ONNX too.  [default: the job's]")
@click.option("--nms/--no-nms", default=None, help="Leave NMS in the model.  [default: the job's]")
@click.option("--format", "form", type=click.Choice(["auto", "pdmodel", "json"]),
              help="Paddle's file form.  [default: the job's]")  # fmt: skip
@click.option("--to", "to", metavar="FORMS",
              help="Forms to make and prove, such as onnx-int8,mnn,page,server.")  # fmt: skip
@click.option("--ort-web", metavar="PATH", type=click.Path(exists=True, path_type=Path),
              help="Folder or .tgz of onnxruntime-web.  [default: by npm]")  # fmt: skip
@click.pass_obj
def command(
    console: Console,
    /,
    onnx: bool | None,
    nms: bool | None,
    form: str | None,
    to: str | None,
    ort_web: Path | None,
    **given: Any,
) -> None:
    """Export the weights in OUTPUT, and prove that the exported model finds the same boxes."""
    from jobgen.deploy.source import source_of_run

    wanted = _forms(to) if to is not None else []
    if wanted and (nms or onnx is False):
        raise click.UsageError(
            "--to makes its forms from ONNX without NMS: leave out --nms, --no-onnx"
        )
    judged: list[Judged] = []

    def change(spec: dict[str, Any], _best: dict[str, Any]) -> dict[str, Any]:
        asked = {"onnx": onnx, "nms": nms, "format": form}
        if spec["task"] == "classification" and (nms is not None or form is not None or wanted):
            raise click.UsageError("--nms, --format and --to are for detection")
        if wanted:
            asked.update(onnx=True, nms=False)
            asked["format"] = form or next((f.format for f in wanted if f.format), None)
        chosen = {name: value for name, value in asked.items() if value is not None}
        return {**spec, "export": {**spec["export"], **chosen}}

    def more(plan: Any, trained: Any, output: Path, result: dict[str, Any]) -> dict[str, Any]:
        if wanted:
            source = source_of_run(output, result, plan.nms, trained)
            judged.extend(_make(console, wanted, source, ort_web))
            _record(output, result, judged)
        return {"forms": [_facts(each) for each in judged]} if wanted else {}

    made = run_stage(console, "export", given, change, more)
    for each in judged:
        if not each.fault:
            console.say(f"{each.name}: {made / FORMS / each.name}")
    if any(each.fault for each in judged):
        from jobgen.errors import RunError

        raise click.exceptions.Exit(RunError.exit_code)


def _forms(to: str) -> list[Form]:
    from jobgen.deploy.forms import forms

    known = forms()
    names = list(dict.fromkeys(filter(None, (name.strip() for name in to.split(",")))))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise click.BadParameter(
            f"{', '.join(unknown) or 'nothing'} is no form; there are {', '.join(known)}",
            param_hint="--to",
        )
    return [known[name] for name in names]


def _make(
    console: Console, wanted: list[Form], source: Source, by_hand: Path | None
) -> list[Judged]:
    from jobgen.deploy.make import Workshop, make_forms
    from jobgen.settings import load_settings

    language = source.result.get("language", "en")
    workshop = Workshop(load_settings().cache, language, console.say, by_hand)
    judged = make_forms(wanted, source, source.folder / FORMS, workshop)
    console.data("\n".join(_lines(judged)))
    return judged


def _record(output: Path, result: dict[str, Any], judged: list[Judged]) -> None:
    """The forms in the run's result and on its page."""
    from jobgen.files import write_atomically
    from jobgen.report.read import record_of
    from jobgen.resultfile import write_result
    from jobgen.run.page import report_page

    result["metrics"]["forms"] = {
        each.name: {**each.measured, "fault": each.fault} for each in judged
    }
    write_result(output, result)
    record = record_of(output, writable=False)
    assert record
    # The curve there is would be of the training that the weights came from.
    page = report_page(record._replace(rows=[]), result.get("language", "en"))
    write_atomically(output / "report.html", page.encode())


def _lines(judged: list[Judged]) -> list[str]:
    """A row for each form: what it measured beside the trained model."""
    rows = []
    for each in judged:
        m = each.measured
        if each.fault:
            rows.append(f"{each.name:<10} not kept: {each.fault}")
            continue
        rows.append(
            f"{each.name:<10} {m['bytes'] / 1e6:.2f} MB  "
            f"mAP {m['mAP']:.3f} ({m['model_mAP']:.3f})  "
            f"mAP@0.5 {m['mAP50']:.3f} ({m['model_mAP50']:.3f})  {m['milliseconds']:.1f} ms "
            f"({m['model_milliseconds']:.1f})  {m['boxes']} boxes, {m['lost']} lost, "
            f"{m['gained']} gained, {m['mean_px']:.4f} px apart, at most {m['largest_px']:.4f}"
        )
    return [*rows, "in brackets: the trained model, as ONNX on one thread"]


def _facts(each: Judged) -> dict[str, Any]:
    return {"name": each.name, "fault": each.fault, "measured": each.measured}
