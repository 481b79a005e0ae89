"""Pipeline jobs: what can be asked of AI Studio about them (aistudio-sdk 0.3.9)."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from jobgen.catalog import platform
from jobgen.remote.storage import Grant, Storage
from jobgen.remote.token import Token
from jobgen.remote.wire import AGAIN, Refused, Unreachable, Unsure, Wire
from jobgen.settings import Settings

CREATE = "/paddlex/v3/pipelines/sdk/create"
CONFIRM = "/paddlex/v3/pipelines/sdk/create/callback"
LIST = "/paddlex/v3/pipelines/sdk/list"
STOP = "/paddlex/v3/pipelines/sdk/stop"
GRANT = "/paddlex/v3/file/api/bosacl"
GRANT_FIELDS = (
    *("endpoint", "bucketName", "fileKey"),
    *("accessKeyId", "secretAccessKey", "sessionToken"),
)
CODE, OUTPUT = "SDK", "customCodeOutput"

# Words of a refusal that is about what pays.
PAYING = ("quota", "balance", "coupon", "余额", "额度", "算力")
# No list of stages is published; whatever is none of these words is taken for running, and then
# what the job itself left decides (watch.py).
GOOD_ENDS = frozenset(["succeeded", "success", "successful", "finished", "completed", "complete"])
BAD_ENDS = frozenset(["failed", "failure", "fail", "error", "expired", "timeout", "killed"])
STOPPED_ENDS = frozenset(
    ["stopped", "stop", "canceled", "cancelled", "terminated", "aborted", "deleted"]
)


@dataclass(frozen=True)
class RemoteJob:
    """A job as AI Studio lists it: `stage` and `created` are its own words."""

    id: str
    name: str
    stage: str
    created: str

    @property
    def ended(self) -> bool:
        return self.stage.lower() in GOOD_ENDS | BAD_ENDS | STOPPED_ENDS

    @property
    def was_stopped(self) -> bool:
        return self.stage.lower() in STOPPED_ENDS

    def age(self, now: datetime.datetime) -> str:
        """How long ago it was made, as 3 h; its own words where they are no time."""
        then = moment(self.created)
        if then is None:
            return self.created or "?"
        seconds = max(0.0, (now - then).total_seconds())
        for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
            if seconds >= size:
                return f"{seconds / size:.0f} {unit}"
        return f"{seconds:.0f} s"


def moment(text: str) -> datetime.datetime | None:
    """A time of AI Studio, whose form nobody says: seconds, milliseconds or microseconds since
    1970, or ISO, which without a zone is China's. None for anything else."""
    china = datetime.timezone(datetime.timedelta(hours=8))
    try:
        if text.isdecimal():
            value = int(text) / 10 ** {13: 3, 16: 6}.get(len(text), 0)
            return datetime.datetime.fromtimestamp(value, datetime.timezone.utc)
        found = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=china)


class Unknown(Refused):
    """AI Studio lists no such job."""


class Jobs:
    """AI Studio's pipeline jobs, for the owner of a token."""

    def __init__(
        self,
        address: str,
        token: Token,
        pause: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.wire = Wire(address, token, pause, transport)

    def close(self) -> None:
        self.wire.close()

    def page(self, job: str) -> str:
        """Where a person sees the job, and its log."""
        return f"{self.wire.address}/pipeline/{job}/detail"

    def list(self, job: str = "", name: str = "") -> list[RemoteJob]:
        """The jobs, or the one with this id, or with exactly this name."""
        body = {"pipelineId": job, "pipelineName": name, "stage": ""}
        answer = self.wire.api("POST", LIST, repeat=True, json=body)
        rows = rows_of(answer)
        found = [
            RemoteJob(
                str(row["pipelineId"]), str(row.get("pipelineName") or ""),
                str(row.get("stage") or "?"), str(row.get("createTime") or ""),
            )
            for row in rows
            if isinstance(row, dict) and row.get("pipelineId")
        ]  # fmt: skip
        # Whether AI Studio looks for a part of a name or all of it is not known.
        return list_unique(j for j in found if job in ("", j.id) and name in ("", j.name))

    def one(self, job: str) -> RemoteJob:
        """Raises Unknown where there is no such job."""
        found = self.list(job=job)
        if not found:
            raise Unknown(f"AI Studio knows no job {job} of yours", "Yours are: jobgen jobs")
        return found[0]

    def create(self, body: dict[str, Any]) -> str:
        """Make a job, which waits for its code; its id. Raises Unsure where it may have been
        made: then ask by its name."""
        try:
            answer = self.wire.api("POST", CREATE, repeat=False, json=body)
        except Refused as error:
            if any(word in error.message.lower() for word in PAYING):
                error.hint = "Is there enough left? --payment coupon or --payment acoin"
            raise
        job = answer.get("pipelineId") if isinstance(answer, dict) else None
        if not job:
            raise Unsure("AI Studio's answer names no job", AGAIN)
        return str(job)

    def grant(self, job: str, source: str) -> Grant:
        """Leave to write the code of a job (CODE), or to read its output (OUTPUT). Raises Refused
        where none is given, as perhaps of a job that has left nothing yet."""
        asked = {"source": source, "pipelineId": job}
        grant = Grant.of(self.wire.api("GET", GRANT, repeat=True, params=asked), GRANT_FIELDS)
        if grant is None:
            raise Refused("AI Studio's answer about its storage is not as it was in 2026", AGAIN)
        return grant

    def storage(self, job: str, source: str) -> Storage:
        return Storage(self.grant(job, source), self.wire.pause, self.wire.transport)

    def confirm(self, job: str, key: str, file: str) -> str:
        """Tell that the code was uploaded: the job starts. Its stage. Raises Unsure."""
        body = {"pipelineId": job, "success": True, "fileKey": key, "fileName": file}
        answer = self.wire.api("POST", CONFIRM, repeat=False, json=body)
        return str(answer.get("stage") or "?") if isinstance(answer, dict) else "?"

    def give_up(self, job: str) -> None:
        """Tell that no code will come, for a job that was only made."""
        body = {"pipelineId": job, "success": False, "fileKey": None, "fileName": None}
        self.wire.api("POST", CONFIRM, repeat=True, json=body)

    def stop(self, job: str) -> None:
        """Stop a job; one that has ended already stays so."""
        try:
            self.wire.api("POST", STOP, repeat=True, json={"pipelineId": job})
        except Refused:
            # An answer may have been lost, and the repeated request refused for that.
            if not self.one(job).ended:
                raise


def rows_of(answer: Any) -> list[Any]:
    """The rows of a list: an array, as it was in 2026, or one inside of an object; none for null.
    Raises Unreachable for anything else."""
    if isinstance(answer, dict):
        inner = [value for value in answer.values() if isinstance(value, list)]
        answer = inner[0] if len(inner) == 1 else None if None in answer.values() else answer
    if answer is None:
        return []
    if not isinstance(answer, list):
        raise Unreachable("AI Studio's list of jobs is not as it was in 2026", AGAIN)
    return answer


def list_unique(jobs: Any) -> list[RemoteJob]:
    """Each job once, in order: a list may name one twice."""
    return list({job.id: job for job in jobs}.values())


def open_jobs(settings: Settings, token: Token) -> Jobs:
    return Jobs(settings.aistudio or platform().address, token)
