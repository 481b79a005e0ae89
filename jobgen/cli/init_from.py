"""`jobgen init NAME --from OUTPUT`: the next job, by what the last one's figures speak for."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobgen.cli.console import Console
from jobgen.language import translated

if TYPE_CHECKING:
    from jobgen.run.advice import Advice
    from jobgen_runtime.record.measured import RunRecord


def next_job(console: Console, name: str, path: Path, output: Path) -> None:
    """Write `path`, the job of OUTPUT with all that is advised. Raises RunError where its result
    does not say what job it was of, and SpecError where the two don't go together."""
    from jobgen.files import shown, write_atomically
    from jobgen.job.tasks import plan_any
    from jobgen.run.advice import advice
    from jobgen.spec import parse_any
    from jobgen.yamlio import load

    record = record_with_job(output)
    found = advice(record.result, record.rows)
    text = head(output, record, found) + job_text(record.result["job"], name, found)
    plan_any(*parse_any(load(text, str(path))))
    write_atomically(path, text.encode())
    console.result(job=str(path), changes={k: v for each in found for k, v in each.changes.items()},
                   advice=[each.text for each in found])  # fmt: skip
    for each in found:
        console.data(each.text)
        for place, value in each.changes.items():
            before = value_at(record.result["job"], place)
            console.verbatim(f"  {place}: {before} -> {value}")
    if not found:
        console.data("The figures speak for no change: it is the same job.")
    console.data(str(path))
    console.say(f"Next: jobgen build {shown(path)}")


def record_with_job(output: Path) -> RunRecord:
    """The newest result of an output that says what job it is of. Raises RunError."""
    from jobgen.errors import RunError
    from jobgen.report.read import read_records

    with tempfile.TemporaryDirectory(prefix="jobgen-") as spare:
        records = [each for each in read_records(output, Path(spare)) if each.result.get("job")]
    if not records:
        raise RunError(
            f"{output} does not say what job it is of",
            "Results of jobgen 0.1 and later do; else write a job anew: jobgen init NAME --archive "
            "FILE",
        )
    return records[-1]


def head(output: Path, record: RunRecord, found: Sequence[Advice]) -> str:
    """Where the job is from, and why it differs, as comments."""
    from jobgen.text import one_line

    figure = ", ".join(f"{name} {value:.3f}" for name, value in
                       ((record.result.get("metrics") or {}).get("best") or {}).items()
                       if name in ("mAP50", "mAP", "top1"))  # fmt: skip
    lines = [translated(f"From {record.title}, {output.name}: {figure or 'not measured'}")]
    lines += [f"{each.change_text}: {translated(each.text)}" for each in found]
    return "".join(f"# {one_line(line)}\n" for line in lines)


def job_text(job: dict[str, Any], name: str, found: Sequence[Advice]) -> str:
    """The job of a result as job.yaml, without what is as ever, and with the changes."""
    import json

    from jobgen.job.changed import changed_job
    from jobgen.spec import parse_any
    from jobgen.yamlio import load

    spec, _ = parse_any(load(json.dumps(job, ensure_ascii=False), "result.json"))
    changes = {path: value for each in found for path, value in each.changes.items()}
    return changed_job(spec, name, changes)


def value_at(job: dict[str, Any], place: str) -> Any:
    """What a job has at a path such as `train.epochs`; `-` where it has nothing."""
    value: Any = job
    for step in place.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return "-" if value is None else value
