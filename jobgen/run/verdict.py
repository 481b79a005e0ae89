"""What a run came to, from its result.json, also where the kernel could not write the end."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobgen.files import write_atomically
from jobgen.resultfile import write_result as write_record
from jobgen.run.kernel import STOPPED
from jobgen.run.page import report_page
from jobgen.run.workspace import Workspace
from jobgen_runtime.record.figures import evaluation_text, figure_text
from jobgen_runtime.record.identity import process_identity
from jobgen_runtime.record.outcome import weak_text
from jobgen_runtime.record.report import read_run

GOOD = ("ok", "ok-smoke")
# Classes that are named with their F1, the lowest first.
WORST = 5


@dataclass(frozen=True)
class Verdict:
    """The status of a run, and for a failure its stage, message, remedy and log."""

    status: str
    result: dict[str, Any]

    @property
    def good(self) -> bool:
        return self.status in GOOD

    def lines(self, workspace: Workspace) -> list[str]:
        """For people: the verdict, then where to look."""
        metrics = self.result.get("metrics", {})
        best = metrics.get("best") or {}
        found = [f"{self.status}"]
        if figure_text(best):
            found[0] += f": {figure_text(best)}"
        trend = metrics.get("loss")
        if trend:
            found[0] += f", loss {trend['first']:.3f} -> {trend['last']:.3f}"
        if self.status == "ok" and weak_text(self.result):
            found.append(weak_text(self.result))
        found += after_lines(metrics, workspace.output)
        failure = self.result.get("failure")
        if failure:
            found[0] = f"{failure['stage']}  {self.status}: {failure['message']}"
            found += [line for line in (failure["remedy"], failure["log"]) if line]
        for item in self.result.get("artefacts", []):
            if item["path"].startswith("weights/"):
                found.append(f"{item['path']}  {item['bytes']:,} bytes  sha256 {item['sha256']}")
        found.append(f"result: {workspace.output / 'result.json'}")
        if (workspace.output / "report.html").is_file():
            found.append(f"report: {workspace.output / 'report.html'}")
        return found


def after_lines(metrics: dict[str, Any], output: Path) -> list[str]:
    """What followed training, a line a stage."""
    found = []
    figures, best = metrics.get("evaluation"), metrics.get("best_f1") or {}
    if figures and "top1" in figures:
        found.append(f"evaluation: {evaluation_text(figures)} on {figures['images']} images")
        worst = sorted(metrics["per_class"], key=lambda row: row["F1"])[:WORST]
        rows = (f"{row['class']} {row['F1']:.3f}" for row in worst)
        found.append(f"lowest F1: {', '.join(rows)}")
    elif figures:
        found.append(
            f"evaluation: mAP@0.5 {figures['mAP50']:.3f}, mAP {figures['mAP']:.3f} on "
            f"{figures['images']} images; best F1 {best['f1']:.3f} at a score of "
            f"{best['threshold']:.2f}"
        )
        if len(metrics["per_class"]) > 1:
            rows = (f"{row['class']} {row['AP50']:.3f}" for row in metrics["per_class"])
            found.append(f"AP@0.5 of each class: {', '.join(rows)}")
    drawn = metrics.get("inference")
    if drawn:
        found.append(f"predictions: {drawn['images']} pictures in {output / 'predictions'}")
    for form, row in (metrics.get("parity") or {}).items():
        if "unlike" in row:
            found.append(
                f"export, {form}: the same class for {row['images']} images, scores at most "
                f"{row['largest_score']:.7f} from the trained model's"
            )
            continue
        found.append(
            f"export, {form}: {row['boxes']} boxes on {row['images']} images, at most "
            f"{row['largest_px']:.5f} px from the trained model's"
        )
    took = metrics.get("latency")
    if took:
        found.append(f"export, onnx: {took['milliseconds']:.1f} ms a picture on one thread")
    if metrics.get("parity"):
        found.append(f"model: {output / 'inference'}")
    return found


def judged(workspace: Workspace, fault: str | None, before: dict[str, Any]) -> Verdict:
    """The verdict over a run whose notebook ended with `fault` (None: it came to its end).

    `before` is the result that an earlier attempt had left: it says nothing of this one.

    A result that still says `running` belongs to a kernel that was killed: it is
    corrected on disk, so that nobody takes it for one at work.
    """
    result = workspace.result()
    if result == before:
        result = {}
    status = str(result.get("status", ""))
    if not result:
        failure = _failure("start", fault or "the notebook wrote no result")
        return Verdict("interrupted" if fault == STOPPED else "failed", {"failure": failure})
    if status == "running":
        stopped = fault in (None, STOPPED)
        result = close_result(result, "interrupted" if stopped else "failed", fault)
        status = result["status"]
    if not result.get("closed"):
        write_result(workspace.output, {**result, "closed": True})
    else:
        # The notebook's own page has no advice.
        draw_page(workspace.output, result)
    return Verdict(status, result)


def is_alive(result: dict[str, Any]) -> bool | None:
    """Whether the process that keeps this record is at work; None where this machine can't say:
    it is another one's, or a container's, or was before the last boot."""
    process = result.get("process") or {}
    boot = process_identity(os.getpid())["boot"]
    if not process.get("started") or not boot or process.get("boot") != boot:
        return None
    return process_identity(process["pid"]) == process


def close_result(result: dict[str, Any], status: str, fault: str | None) -> dict[str, Any]:
    """A record whose process was killed, with the verdict that it could not write."""
    running = [s for s in result.get("stages", []) if s["status"] == "running"]
    stage = running[-1]["name"] if running else "between two stages"
    stages = [
        {**record, "status": status} if record in running else record
        for record in result.get("stages", [])
    ]
    message = f"{fault or 'the notebook ended'} while {stage} was running"
    return {**result, "status": status, "stages": stages, "failure": _failure(stage, message)}


def write_result(output: Path, result: dict[str, Any]) -> None:
    """Replace result.json, and draw its page anew."""
    write_record(output, result)
    draw_page(output, result)


def draw_page(output: Path, result: dict[str, Any]) -> None:
    """report.html of a result, in the job's language."""
    language = str(result.get("language", "en"))
    page = report_page(read_run(str(output), result), language)
    write_atomically(output / "report.html", page.encode())


def _failure(stage: str, message: str) -> dict[str, Any]:
    return {
        "stage": stage,
        "cause": "kernel",
        "exit_status": None,
        "message": message,
        "remedy": "Run again: what is done is kept, and training resumes from its last whole "
        "checkpoint. The executed notebook shows the last cell.",
        "log": None,
        "tail": [],
    }
