"""A submission without AI Studio: the very requests are shown, and nothing leaves this computer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

import httpx

from jobgen.remote.jobs import CONFIRM, CREATE, GRANT, LIST
from jobgen.remote.records import SUBMITTED, Record

JOB, MADE = "PIPELINE-ID", "(made)"
HIDDEN = {"authorization": "Authorization", "x-bce-security-token": "x-bce-security-token"}
SHOWN_HEADERS = ("content-type", "content-length", "content-md5")


class Rehearsal(httpx.BaseTransport):
    """Stands in for the network: tells each request to `say`, its secrets hidden, and answers as
    AI Studio does that has the jobs of `records`."""

    def __init__(self, say: Callable[[str], None], records: Iterable[Record] = ()) -> None:
        self._say = say
        # Id to name and stage.
        self._jobs = {
            record.job: (record.name, self._stage_of(record)) for record in records if record.job
        }

    @staticmethod
    def _stage_of(record: Record) -> str:
        return "succeeded" if record.state == SUBMITTED else record.first_stage or MADE

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        self._say(told(request, body))
        path = request.url.path
        if path == CREATE:
            self._jobs[JOB] = (json.loads(body)["name"], MADE)
            return answered({"pipelineId": JOB})
        if path == LIST:
            rows = [{"pipelineId": job, "pipelineName": name, "stage": stage, "createTime": ""}
                    for job, (name, stage) in self._jobs.items()]  # fmt: skip
            asked = json.loads(body)["pipelineId"]
            return answered([row for row in rows if asked in ("", row["pipelineId"])])
        if path == GRANT:
            return answered({
                "endpoint": "https://bj.bcebos.com", "bucketName": "BUCKET", "fileKey": "FILE-KEY",
                "accessKeyId": "ACCESS-KEY", "secretAccessKey": "-", "sessionToken": "-",
            })  # fmt: skip
        if path == CONFIRM:
            asked = json.loads(body)
            stage = "(confirmed)" if asked["success"] else "stopped"
            self._jobs[asked["pipelineId"]] = (self._jobs[asked["pipelineId"]][0], stage)
            return answered({"stage": stage, "createTime": ""})
        headers = {"ETag": hashlib.md5(body).hexdigest()}
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(b""))


def answered(result: Any) -> httpx.Response:
    envelope = {"errorCode": 0, "errorMsg": "", "logId": "", "result": result}
    return httpx.Response(200, stream=httpx.ByteStream(json.dumps(envelope).encode()))


def told(request: httpx.Request, body: bytes) -> str:
    """A request as a person reads it."""
    lines = [f"{request.method} {str(request.url).partition('?')[0]}"]
    if request.url.query:
        lines.append(f"  ?{unquote(request.url.query.decode())}")
    lines += [f"  {name}: ***" for key, name in HIDDEN.items() if key in request.headers]
    lines += [f"  {n}: {request.headers[n]}" for n in SHOWN_HEADERS if n in request.headers]
    if request.headers.get("content-type") == "application/json":
        lines.append(f"  {body.decode()}")
    elif body:
        lines.append(f"  ({len(body):,} bytes)")
    return "\n".join(lines)
