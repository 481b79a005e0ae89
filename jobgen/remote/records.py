"""What this computer knows of the jobs that it submitted: a file each, beside the job.

It is written before the first request, so that whatever breaks off, the next call finds out what
became of it. Nothing in it is secret.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from jobgen.errors import MALFORMED, RemoteError
from jobgen.files import shown, write_atomically
from jobgen.target import UPLOAD, job_of, upload_of
from jobgen_runtime.record.text import utc_now

FOLDER = "submitted"
VERSION = 1
# What was done last, in order. Until `submitted` a call of `submit` finishes it.
ASKED, CREATED, UPLOADED, CONFIRMING, CONFIRMED, SUBMITTED = (
    *("asked", "created", "uploaded", "confirming", "confirmed", "submitted"),
)
DROPPED = "dropped"
# In the first of these AI Studio was not told to start the job; in the others it was, or may be.
HALF_MADE, MAY_RUN = (ASKED, CREATED, UPLOADED), (CONFIRMING, CONFIRMED)


@dataclass(frozen=True)
class Record:
    """A submission. `name` is the job's on AI Studio, which no other has; `body` the request that
    made it; `digest` the SHA-256 of its zip."""

    path: Path
    name: str
    job: str  # its id; empty until AI Studio has given one
    state: str
    bundle: str
    digest: str
    bytes: int
    body: dict[str, Any]
    address: str
    created: str
    # Which of the job's submissions it is, from 1; a clock may have been set back.
    number: int = 0
    # The stage before the confirmation: another one shows that it arrived.
    first_stage: str = ""
    history: list[list[str]] = field(default_factory=list)

    @property
    def open(self) -> bool:
        return self.state in (*HALF_MADE, *MAY_RUN)

    def saved(self, state: str, **changes: Any) -> Record:
        """The record with a new state, on disk."""
        history = [*self.history, [utc_now(), state]]
        found = replace(self, state=state, history=history, **changes)
        data = {"version": VERSION, **asdict(found)}
        del data["path"]
        write_atomically(self.path, (json.dumps(data, indent=2) + "\n").encode())
        return found


def records_folder(target: Path) -> Path:
    """Where the records of a job lie: beside its upload folder."""
    upload = upload_of(target).resolve()
    return (upload.parent if upload.name == UPLOAD else upload) / FOLDER


def read_records(folder: Path) -> list[Record]:
    """Those of a job, oldest first. Raises RemoteError for one that can't be read: it may be of a
    job that runs."""
    found = [read_record(path) for path in sorted(folder.glob("*.json"))]
    return sorted(found, key=lambda record: (record.number, record.created))


def read_record(path: Path) -> Record:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("version") != VERSION:
            raise ValueError("another version")
        return Record(path=path, **data)
    except MALFORMED as error:
        raise RemoteError(
            f"{path} is no record of a submitted job ({type(error).__name__})",
            "Your jobs are listed by: jobgen jobs. Move that file away once they are as you want.",
        ) from error


def newest(target: Path, address: str) -> Record:
    """The last submission of a job to this AI Studio that came so far as to run. Raises RemoteError
    where there is none."""
    records = [each for each in read_records(records_folder(target)) if each.address == address]
    ran = [record for record in records if record.state in (*MAY_RUN, SUBMITTED)]
    if ran:
        return ran[-1]
    half_made = [record for record in records if record.state in HALF_MADE]
    if half_made:
        last = half_made[-1]
        raise RemoteError(
            f"the submission of {target} broke off before its start: {last.name} {last.job}",
            f"Finish it: jobgen submit {shown(target)}",
        )
    raise RemoteError(
        f"{target} was not submitted from this computer to {address}",
        "Your jobs, and their ids: jobgen jobs",
    )


def is_job(target: Path) -> bool:
    """Whether a word that was typed means a job on this computer, rather than an id. A file or a
    folder that only happens to have a number for its name is none."""
    try:
        found = job_of(target)
        is_number = str(target).isdecimal() and found == target
        return (found.is_file() and not is_number) or records_folder(target).is_dir()
    except OSError:  # too long for a path
        return False
