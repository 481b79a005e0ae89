"""A loopback AI Studio: the jobs' API, the storage (BOS), the repositories (gitea and LFS).

Made from what aistudio-sdk 0.3.9 and bce-python-sdk send and read, and tried by that client itself
(test_remote_sdk.py). It runs what is submitted, and can be told to fail: `fault` is asked before
each answer, with the name of the request and how many came before, and gives the name of a fault.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

TOKEN = "4f2c9d1e8b7a605f3c2d1e0f9a8b7c6d5e4f3a2b"
ACCESS, SECRET, SESSION, BUCKET = "access-1", "secret-1", "session/1+=", "bkt"
HOME = "/home/aistudio"
# What `fault` may answer. Those of the second row are after the request was carried out.
BEFORE = ("502", "refuse", "drop", "html", "slow")
AFTER = ("lost", "502-after", "524-after", "cut", "wrong-length", "wrong-bytes")
Fault = Callable[[str, int], str | None]


@dataclass
class Job:
    id: str
    body: dict[str, Any]
    home: Path
    stage: str = "created"
    created: str = ""
    starts: int = 0
    process: subprocess.Popen[bytes] | None = None
    outputs: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Seen:
    """A request as it arrived."""

    what: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Reply = tuple[int, bytes, dict[str, str]]


def said(value: Any, status: int = 200, **headers: str) -> Reply:
    """An answer in JSON."""
    return status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers}


def enveloped(result: Any, code: Any = 0, message: str = "") -> Reply:
    """An answer of the jobs' API."""
    return said({"logId": "L1", "errorCode": code, "errorMsg": message, "result": result})


class AiStudio:
    """`work` does in place of a job's command what it is given: the job's home folder. `live`
    shows the output of jobs that run."""

    def __init__(self, root: Path, work: Callable[[Path], str | None] | None = None) -> None:
        self.root = root
        self.work = work
        self.live = True
        self.page = 1000
        self.ends = {0: "succeeded"}
        self.env: dict[str, str] = {}
        self.datasets: dict[int, Path] = {}
        self.fault: Fault = lambda _what, _number: None
        # Answers, by what is asked and the path, in place of its own.
        self.instead: Callable[[str, str], Reply | None] = lambda _what, _path: None
        self.jobs: dict[str, Job] = {}
        self.code: dict[str, bytes] = {}
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.pointers: dict[str, set[str]] = {}
        self.lfs: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.sts = False
        # What the upload of the code makes of a job's stage, and a digest of the ETag.
        self.stage_of_code = ""
        self.etag: Callable[[str], str] = str
        self.seen: list[Seen] = []
        self.counts: Counter[str] = Counter()
        self.lock = threading.RLock()
        self.threads: list[threading.Thread] = []
        handler = type("Handler", (Handler,), {"studio": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        for job in self.jobs.values():
            end(job, signal.SIGKILL)
        self.server.shutdown()
        self.server.server_close()

    # The jobs.

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            number = str(70000 + len(self.jobs))
            created = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + 8 * 3600))
            self.jobs[number] = Job(number, body, self.root / number / "home", created=created)
        return {"pipelineId": number}

    def confirm(self, body: dict[str, Any]) -> dict[str, Any]:
        job = self.jobs[body["pipelineId"]]
        with self.lock:
            if not body["success"]:
                job.stage = "failed"
            elif job.id not in self.code:
                raise Refusal(31, "the code was not uploaded")
            elif job.stage not in ("created", self.stage_of_code):
                raise Refusal(32, "the job was started before")
            else:
                assert body["fileKey"] == f"/code/{job.id}.zip"
                job.stage, job.starts = "queuing", job.starts + 1
                thread = threading.Thread(target=self._run, args=(job,), daemon=True)
                self.threads.append(thread)
                thread.start()
        return {"stage": job.stage, "createTime": job.created}

    def listed(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        with self.lock:
            rows = [
                {
                    "pipelineId": job.id,
                    "pipelineName": job.body["name"],
                    "stage": job.stage,
                    "createTime": job.created,
                }
                for job in reversed(self.jobs.values())
            ]
        asked = {"pipelineId": body.get("pipelineId"), "stage": body.get("stage")}
        rows = [row for row in rows if all(not v or row[k] == v for k, v in asked.items())]
        return [row for row in rows if (body.get("pipelineName") or "") in row["pipelineName"]]

    def stop(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["pipelineId"] not in self.jobs:
            raise Refusal(21, "no such pipeline")
        job = self.jobs[body["pipelineId"]]
        with self.lock:
            if job.stage in ("created", "queuing", "running"):
                job.stage = "stopped"
            end(job, signal.SIGTERM)
        return {}

    def _run(self, job: Job) -> None:
        """Unpack as the platform does, mount the data, run the command, keep output/."""
        job.home.mkdir(parents=True)
        archive = self.root / job.id / "code.zip"
        archive.write_bytes(self.code[job.id])
        with zipfile.ZipFile(archive) as code:
            code.extractall(job.home)
        for row in job.body["dataset"]:
            source = self.datasets[int(row["datasetId"])]
            goal = job.home / "data" / f"data{row['datasetId']}" / source.name
            goal.parent.mkdir(parents=True)
            goal.symlink_to(source)
        with self.lock:
            if job.stage != "queuing":
                return
            job.stage = "running"
        if self.work is not None:
            stage = self.work(job.home) or self.ends[0]
        else:
            stage = self._command(job)
        with self.lock:
            if job.stage == "running":
                job.stage = stage

    def _command(self, job: Job) -> str:
        command = job.body["cmd"].replace(HOME, str(job.home))
        log = (self.root / job.id / "platform.log").open("wb")
        env = {**os.environ, "HOME": str(job.home), **self.env}
        job.process = subprocess.Popen(
            ["sh", "-c", command],
            cwd=job.home,
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code = job.process.wait()
        log.close()
        return self.ends.get(code, "failed")

    def wait(self) -> None:
        for thread in self.threads:
            thread.join(900)

    # The storage.

    def grant(self, query: dict[str, str]) -> dict[str, Any]:
        job = query["pipelineId"]
        if job not in self.jobs:
            raise Refusal(21, "no such pipeline")
        key = f"/code/{job}.zip" if query["source"] == "SDK" else f"/out/{job}/output"
        return {
            "endpoint": self.address,
            "bucketName": BUCKET,
            "fileKey": key,
            "accessKeyId": ACCESS,
            "secretAccessKey": SECRET,
            "sessionToken": SESSION,
        }

    def objects(self) -> dict[str, Path | bytes]:
        """Every object of the bucket, key to content."""
        found: dict[str, Path | bytes] = {f"code/{j}.zip": data for j, data in self.code.items()}
        for job in list(self.jobs.values()):
            if job.stage == "running" and not self.live:
                continue
            place = job.home / "output"
            for path in sorted(place.rglob("*")) if place.is_dir() else []:
                if path.is_file():
                    found[f"out/{job.id}/output/{path.relative_to(place).as_posix()}"] = path
            found.update({f"out/{job.id}/output/{n}": data for n, data in job.outputs.items()})
        return found

    def object_at(self, key: str) -> Path | bytes | None:
        """One object, without a look at all of them."""
        parts = key.split("/", 3)
        if parts[0] == "out" and parts[1] in self.jobs and len(parts) == 4:
            job = self.jobs[parts[1]]
            if parts[3] in job.outputs:
                return job.outputs[parts[3]]
            path = job.home / "output" / parts[3]
            return path if path.is_file() else None
        return self.objects().get(key)


class Refusal(Exception):
    """An errorCode with its words."""


class Handler(BaseHTTPRequestHandler):
    studio: AiStudio
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.answer("GET")

    def do_POST(self) -> None:
        self.answer("POST")

    def do_PUT(self) -> None:
        self.answer("PUT")

    def handle(self) -> None:
        # A client that was killed reads no answer.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def answer(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        what, work = self.route(method, parts.path, query, body)
        studio = self.studio
        with studio.lock:
            number = studio.counts[what]
            studio.counts[what] += 1
            headers = {name.lower(): value for name, value in self.headers.items()}
            studio.seen.append(Seen(what, method, self.path, headers, body))
            fault = studio.fault(what, number)
        if fault == "drop":
            self.close_connection = True
            self.connection.close()
            return
        if fault == "502":
            self.send(
                502, b"<html><body>502 Bad Gateway</body></html>", {"Content-Type": "text/html"}
            )
            return
        if fault == "html":
            self.send(200, b"<html>log in to the network</html>", {"Content-Type": "text/html"})
            return
        if fault == "refuse":
            self.json({"errorCode": 7, "errorMsg": "quota exceeded", "logId": "L1"})
            return
        if fault == "slow":
            time.sleep(0.05)
        status, data, headers = studio.instead(what, parts.path) or work()
        if fault == "slow-after":
            time.sleep(1.0)
        if fault == "lost":
            self.close_connection = True
            self.connection.close()
            return
        if fault == "502-after":
            self.send(
                502, b"<html><body>502 Bad Gateway</body></html>", {"Content-Type": "text/html"}
            )
            return
        self.send(status, data, headers, fault)

    def send(
        self, status: int, data: bytes, headers: dict[str, str], fault: str | None = None
    ) -> None:
        if fault == "wrong-bytes" and data:
            data = bytes([data[0] ^ 1]) + data[1:]
        self.send_response(status)
        length = len(data)
        if fault == "wrong-length":
            data = data[: max(0, length - 3)]
            length = len(data)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if fault == "cut":
            self.wfile.write(data[: length // 2])
            self.close_connection = True
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(data)

    def json(self, value: Any, status: int = 200) -> None:
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    # What each request is, and what it does.

    def route(
        self, method: str, path: str, query: dict[str, str], body: bytes
    ) -> tuple[str, Callable[[], tuple[int, bytes, dict[str, str]]]]:
        studio = self.studio
        api = {
            "/paddlex/v3/pipelines/sdk/create": ("create", studio.create),
            "/paddlex/v3/pipelines/sdk/create/callback": ("confirm", studio.confirm),
            "/paddlex/v3/pipelines/sdk/list": ("list", studio.listed),
            "/paddlex/v3/pipelines/sdk/stop": ("stop", studio.stop),
        }
        if path in api:
            what, function = api[path]
            return what, lambda: self.enveloped(lambda: function(json.loads(body)))
        if path == "/paddlex/v3/file/api/bosacl":
            return "grant", lambda: self.enveloped(lambda: studio.grant(query))
        if path == "/modelcenter/v2/models/sdk/add":
            return "add", lambda: self.enveloped(lambda: self.add_model(json.loads(body)))
        if path.rstrip("/") == f"/{BUCKET}":
            return "objects", lambda: self.signed(lambda: self.list_objects(query))
        if path.startswith(f"/{BUCKET}/"):
            key = unquote(path.removeprefix(f"/{BUCKET}/"))
            return f"{method.lower()}-object", lambda: self.signed(
                lambda: self.object(method, key, query, body)
            )
        return self.git(method, path, query, body)

    def enveloped(self, work: Callable[[], Any]) -> tuple[int, bytes, dict[str, str]]:
        answer: dict[str, Any] = {"logId": "L1", "errorCode": 0, "errorMsg": "", "timestamp": 1}
        if self.headers.get("Authorization") != f"token {TOKEN}":
            answer.update(errorCode=2, errorMsg="invalid token")
        else:
            try:
                answer["result"] = work()
            except Refusal as refusal:
                answer.update(errorCode=refusal.args[0], errorMsg=refusal.args[1])
        return 200, json.dumps(answer).encode(), {"Content-Type": "application/json"}

    def signed(
        self, work: Callable[[], tuple[int, bytes, dict[str, str]]]
    ) -> tuple[int, bytes, dict[str, str]]:
        """The storage looks at the signature as bce-python-sdk makes it."""
        from baidubce.auth.bce_credentials import BceCredentials
        from baidubce.auth.bce_v1_signer import sign

        given = self.headers.get("Authorization", "")
        match = re.fullmatch(
            r"bce-auth-v1/access-1/([\dTZ:-]+)/(\d+)/([^/]*)/([0-9a-f]{64})", given
        )
        if not match or self.headers.get("x-bce-security-token") != SESSION:
            return self.bos_fault(403, "AccessDenied")
        parts = urlsplit(self.path)
        then = time.mktime(time.strptime(match[1], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        headers = {k.lower().encode(): v.encode() for k, v in self.headers.items()}
        params = {k.encode(): v.encode() for k, v in parse_qsl(parts.query, keep_blank_values=True)}
        counted = [name.encode() for name in match[3].split(";")] if match[3] else None
        wanted = sign(
            *(BceCredentials(ACCESS, SECRET), self.command.encode(), parts.path.encode()),
            *(headers, params, int(then), int(match[2]), counted),
        )
        if wanted.decode() != given:
            return self.bos_fault(403, "SignatureDoesNotMatch")
        return work()

    def bos_fault(self, status: int, code: str) -> tuple[int, bytes, dict[str, str]]:
        data = json.dumps({"code": code, "message": code, "requestId": "R1"}).encode()
        return status, data, {"Content-Type": "application/json"}

    def list_objects(self, query: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        prefix, marker = query.get("prefix", ""), query.get("marker", "")
        most = min(int(query.get("maxKeys", 1000)), self.studio.page)
        delimiter = query.get("delimiter", "")
        keys, folders = [], set()
        everything = self.studio.objects()
        for key in sorted(everything):
            if not key.startswith(prefix) or key <= marker:
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                keys.append(key)
        shown = keys[:most]
        rows = []
        for key in shown:
            data = content(everything[key])
            rows.append({"key": key, "size": len(data), "eTag": self.studio.etag(hashlib.md5(data).hexdigest()),
                         "lastModified": "2026-01-01T00:00:00Z", "storageClass": "STANDARD",
                         "owner": {"id": "1", "displayName": "1"}})  # fmt: skip
        answer: dict[str, Any] = {
            "name": BUCKET, "prefix": prefix, "marker": marker, "maxKeys": most,
            "delimiter": delimiter, "isTruncated": len(keys) > most, "contents": rows,
            "commonPrefixes": [{"prefix": folder} for folder in sorted(folders)],
        }  # fmt: skip
        if len(keys) > most:
            answer["nextMarker"] = shown[-1]
        return 200, json.dumps(answer).encode(), {"Content-Type": "application/json"}

    def object(
        self, method: str, key: str, query: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        studio = self.studio
        if "uploads" in query or "uploadId" in query:
            return self.parts(method, key, query, body)
        if method == "PUT":
            given = self.headers.get("Content-MD5")
            digest = hashlib.md5(body)
            if given and base64.b64decode(given) != digest.digest():
                return self.bos_fault(400, "BadDigest")
            with studio.lock:
                job = studio.jobs[key.removeprefix("code/").removesuffix(".zip")]
                job.stage = studio.stage_of_code or job.stage
                studio.code[key.removeprefix("code/").removesuffix(".zip")] = body
            return 200, b"", {"ETag": f'"{digest.hexdigest()}"'}
        there = studio.object_at(key)
        if there is None:
            return self.bos_fault(404, "NoSuchKey")
        data = content(there)
        etag = hashlib.md5(data)
        headers = {
            "ETag": f'"{studio.etag(etag.hexdigest())}"',
            "Content-MD5": base64.b64encode(etag.digest()).decode(),
            "Content-Type": "application/octet-stream",
        }
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not match:
            return 200, data, headers
        start, end = int(match[1]), int(match[2] or len(data) - 1)
        if start >= len(data):
            return self.bos_fault(416, "InvalidRange")
        headers["Content-Range"] = f"bytes {start}-{min(end, len(data) - 1)}/{len(data)}"
        return 206, data[start : end + 1], headers

    def parts(
        self, method: str, key: str, query: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        studio = self.studio
        json_type = {"Content-Type": "application/json"}
        if "uploads" in query:
            upload = f"u{len(studio.uploads)}"
            studio.uploads[upload] = {}
            answer: dict[str, Any] = {"bucket": BUCKET, "key": key, "uploadId": upload}
            return 200, json.dumps(answer).encode(), json_type
        upload = query["uploadId"]
        if upload not in studio.uploads:
            return self.bos_fault(404, "NoSuchUpload")
        there = studio.uploads[upload]
        if method == "PUT":
            there[int(query["partNumber"])] = body
            return 200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}
        if method == "GET":
            rows = [
                {"partNumber": n, "eTag": hashlib.md5(d).hexdigest(), "size": len(d)}
                for n, d in sorted(there.items())
            ]
            answer = {"parts": rows, "isTruncated": False, "nextPartNumberMarker": len(rows)}
            return 200, json.dumps(answer).encode(), json_type
        wanted = json.loads(body)["parts"]
        for row in wanted:
            assert hashlib.md5(there[row["partNumber"]]).hexdigest() == row["eTag"]
        data = b"".join(there[row["partNumber"]] for row in wanted)
        studio.lfs[key.removeprefix("lfs/")] = data
        del studio.uploads[upload]
        answer = {"key": key, "eTag": "-" + hashlib.md5(data).hexdigest()}
        return 200, json.dumps(answer).encode(), json_type

    # The repositories.

    def add_model(self, body: dict[str, Any]) -> dict[str, Any]:
        name = f"me/{body['repoName']}"
        if name in self.studio.repositories:
            raise Refusal(33, "repo already created")
        self.studio.repositories[name] = {}
        return {**body, "modelName": body["modelName"]}

    def git(
        self, method: str, path: str, query: dict[str, str], body: bytes
    ) -> tuple[str, Callable[[], tuple[int, bytes, dict[str, str]]]]:
        store = re.fullmatch(r"/store/([0-9a-f]{64})", path)
        if store:
            return "put-lfs", lambda: self.store(store[1], body)
        match = re.fullmatch(
            r"/(?:api/v1/repos/)?([\w-]+/[\w-]+?)(?:\.git)?/(preupload/master|info/lfs/objects/batch"
            r"|verify|contents(?:/.*)?)",
            path,
        )
        if not match:
            return "unknown", lambda: (404, b'{"message": "not found"}', {})
        what = match[2].split("/")[0]
        names = {"preupload": "preupload", "info": "batch", "verify": "verify",
                 "contents": "commit" if method == "POST" else "contents"}  # fmt: skip
        return names[what], lambda: self.repository(names[what], match[1], match[2], query, body)

    def store(self, oid: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        self.studio.lfs[oid] = body
        digest = hashlib.md5(body)
        return 200, b"", {"Content-Md5": base64.b64encode(digest.digest()).decode()}

    def repository(
        self, what: str, name: str, rest: str, query: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        studio = self.studio
        if self.headers.get("Authorization") != f"token {TOKEN}":
            return 401, b'{"message": "token is required"}', {"Content-Type": "application/json"}
        if name not in studio.repositories:
            return 404, b'{"message": "The target couldn\'t be found."}', {}
        files = studio.repositories[name]
        if what == "contents":
            file = unquote(rest.removeprefix("contents/"))
            if file not in files:
                return 404, b'{"message": "object does not exist"}', {}
            return 200, json.dumps(self.described(name, file)).encode(), {}
        asked = json.loads(body)
        if what == "preupload":
            rows = [{"path": f["path"], "lfs": not f["path"].endswith((".md", ".yml", ".json", ".txt"))}
                    for f in asked["files"]]  # fmt: skip
            return 200, json.dumps({"files": rows}).encode(), {}
        if what == "batch":
            return (
                200,
                json.dumps({"objects": [self.batch(name, asked["objects"][0])]}).encode(),
                {},
            )
        if what == "verify":
            there = studio.lfs.get(asked["oid"])
            good = there is not None and hashlib.sha256(there).hexdigest() == asked["oid"]
            good = good and len(there or b"") == asked["size"]
            return (200, b"{}", {}) if good else (404, b'{"message": "no such object"}', {})
        for row in asked["files"]:
            self.committed(name, row)
        return 201, json.dumps({"files": []}).encode(), {}

    def batch(self, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        oid = asked["oid"]
        if oid in self.studio.lfs:
            return {"oid": oid, "size": asked["size"]}
        upload: dict[str, Any] = {"href": f"{self.studio.address}/store/{oid}", "header": {}}
        if self.studio.sts:
            upload["sts_token"] = {
                "bosHost": self.studio.address, "bucketName": BUCKET, "key": f"lfs/{oid}",
                "accessKeyId": ACCESS, "secretAccessKey": SECRET, "sessionToken": SESSION,
            }  # fmt: skip
        verify = {"href": f"{self.studio.address}/{name}.git/verify"}
        return {"oid": oid, "size": asked["size"], "actions": {"upload": upload, "verify": verify}}

    def committed(self, name: str, row: dict[str, Any]) -> None:
        files = self.studio.repositories[name]
        assert (row["operation"] == "update") == (row["path"] in files)
        files[row["path"]] = base64.b64decode(row["content"])
        marks = self.studio.pointers.setdefault(name, set())
        (marks.add if row["lfsPointer"] else marks.discard)(row["path"])

    def described(self, name: str, file: str) -> dict[str, Any]:
        data = self.studio.repositories[name][file]
        found: dict[str, Any] = {
            "path": file,
            "sha": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(),
            "size": len(data),
        }
        pointer = re.search(rb"oid sha256:([0-9a-f]{64})\nsize (\d+)", data)
        if file in self.studio.pointers.get(name, set()) and pointer:
            found.update(Sha256=pointer[1].decode(), size=int(pointer[2]))
        return found


def end(job: Job, number: signal.Signals) -> None:
    """End whatever a job's command has started."""
    if job.process is not None and job.process.poll() is None:
        os.killpg(job.process.pid, number)


def content(there: Path | bytes) -> bytes:
    return there if isinstance(there, bytes) else there.read_bytes()


def remove(studio: AiStudio) -> None:
    """End it, and what its jobs left."""
    studio.close()
    shutil.rmtree(studio.root, ignore_errors=True)
