"""What a run came to, from its result.json, also where the kernel could not write the end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from jobgen.files import write_atomically
from jobgen.run.kernel import STOPPED
from jobgen.run.workspace import Workspace

GOOD = ("ok", "ok-smoke")


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
        if best:
            found[0] += f": mAP@0.5 {best['mAP50']:.3f} (epoch {int(best['epoch']) + 1})"
        trend = metrics.get("loss")
        if trend:
            found[0] += f", loss {trend['first']:.3f} -> {trend['last']:.3f}"
        failure = self.result.get("failure")
        if failure:
            found[0] = f"{failure['stage']}  {self.status}: {failure['message']}"
            found += [line for line in (failure["remedy"], failure["log"]) if line]
        for item in self.result.get("artefacts", []):
            if item["path"].startswith("weights/"):
                found.append(f"{item['path']}  {item['bytes']:,} bytes  sha256 {item['sha256']}")
        found.append(f"result: {workspace.output / 'result.json'}")
        return found


def settle(workspace: Workspace, fault: str | None, before: dict[str, Any]) -> Verdict:
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
        return Verdict("failed", {"failure": failure})
    if status == "running":
        running = [s for s in result["stages"] if s["status"] == "running"]
        stage = running[-1]["name"] if running else "between two stages"
        message = f"{fault or 'the notebook ended'} while {stage} was running"
        result["status"] = status = "interrupted" if fault in (None, STOPPED) else "failed"
        for record in running:
            record["status"] = status
        result["failure"] = _failure(stage, message)
        text = json.dumps(result, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        write_atomically(workspace.output / "result.json", text.encode())
    return Verdict(status, result)


def _failure(stage: str, message: str) -> dict[str, Any]:
    return {
        "stage": stage,
        "cause": "kernel",
        "message": message,
        "remedy": "Run again: what is done is kept, and training goes on from its last whole "
        "checkpoint. The executed notebook shows the last cell.",
        "log": None,
        "tail": [],
    }
