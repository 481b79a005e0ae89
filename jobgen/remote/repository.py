"""AI Studio's repositories of data sets and models: gitea with LFS (aistudio-sdk 0.3.9)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from jobgen.errors import RemoteError, SpecError
from jobgen.files import write_atomically
from jobgen.remote.fetching import read_mark
from jobgen.remote.storage import Grant, Storage, md5_in, secure
from jobgen.remote.token import Token
from jobgen.remote.wire import (
    AGAIN,
    Refused,
    Unreachable,
    Unsure,
    Wire,
    is_passing,
    make_client,
    parted,
    persist,
    read_whole,
    table,
    told_plainly,
)
from jobgen.text import one_line

BRANCH = "master"
BLOCK = 2**20
# Of the storage: one request takes up to 5 GB, an upload in parts at most 10,000 of them.
LARGEST_PUT = 5 * 2**30
SMALLEST_PART, MOST_PARTS = 8 * 2**20, 9000
# What a repository takes outside of LFS.
LARGEST_PLAIN = 5 * 2**20
LFS_HEADERS = dict.fromkeys(("Content-Type", "Accept"), "application/vnd.git-lfs+json")
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
# A grant's fields in the answer about an upload to LFS.
STS_FIELDS = ("bosHost", "bucketName", "key", "accessKeyId", "secretAccessKey", "sessionToken")
ADD_MODEL = "/modelcenter/v2/models/sdk/add"
Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class LocalFile:
    """A file to be uploaded, with its hashes (hex)."""

    path: Path
    size: int
    sha256: str
    md5: str
    git: str

    @classmethod
    def read(cls, path: Path, told: Told) -> LocalFile:
        """Raises OSError."""
        size = path.stat().st_size
        hashes = hashlib.sha256(), hashlib.md5(), hashlib.sha1(b"blob %d\0" % size)
        done = 0
        with path.open("rb") as stream:
            while block := stream.read(BLOCK):
                for found in hashes:
                    found.update(block)
                done += len(block)
                told("hashed", done, size)
        return cls(path, size, *(found.hexdigest() for found in hashes))


def repository_name(text: str) -> str:
    """USER/NAME as it is given. Raises SpecError for anything else."""
    user, slash, name = text.strip().strip("/").partition("/")
    is_word = all(re.fullmatch(r"(?!\.)[^\s/\\?#%:]+", part) for part in (user, name))
    if not (slash and is_word):
        raise SpecError(
            f"{text!r} is no repository",
            "It is your user name on AI Studio and the repository's, as in its address: USER/NAME",
        )
    return f"{user}/{name}"


class Repository:
    """One repository. `kept` is a folder for what an upload has to remember."""

    def __init__(
        self,
        address: str,
        name: str,
        token: Token,
        kept: Path,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = repository_name(name)
        self._wire = Wire(address, token, pause)
        self._kept = kept
        user, _, own = self.name.partition("/")
        self._path = f"/{quote(user, safe='')}/{quote(own, safe='')}"
        self._api = f"/api/v1/repos{self._path}"

    def close(self) -> None:
        self._wire.close()

    def exists(self) -> bool:
        """Whether there is such a repository that the token may see."""
        try:
            self._described("README.md")
        except Refused as error:
            if error.code != 404:
                raise
            return False
        return True

    def has(self, file: LocalFile, path: str) -> bool:
        """Whether the repository has just this file at `path`."""
        return self._is_same(self._described(path), file)

    @staticmethod
    def _is_same(there: dict[str, Any], file: LocalFile) -> bool:
        if "Sha256" in there:
            return str(there["Sha256"]).lower() == file.sha256
        return there.get("sha") == file.git

    def _described(self, path: str) -> dict[str, Any]:
        """What the repository says of a file; empty where it has none. Raises RemoteError where
        there is no such repository."""
        address = f"{self._api}/contents/{quote(path, safe='')}"
        try:
            found = self._wire.answer("GET", address, repeat=True)
        except Refused as error:
            if error.code != 404:
                raise
            if "target" in error.message.lower():  # gitea's words where the repository is not there
                raise self._no_repository() from error
            return {}
        return found if isinstance(found, dict) else {}

    def _no_repository(self) -> RemoteError:
        return Refused(
            f"there is no repository {self.name}, or your token may not see it",
            "Make it on AI Studio's page, or correct its name.",
            code=404,
        )

    def put(self, file: LocalFile, path: str, message: str, told: Told) -> bool:
        """Bring a file into the repository and see that it is there; False where it was there
        before. An upload in parts that broke off is resumed."""
        there = self._described(path)
        if self._is_same(there, file):
            return False
        body = {"files": [{"path": path}]}
        try:
            answer = self._wire.answer(
                "POST", f"{self._api}/preupload/{BRANCH}", repeat=True, json=body
            )
        except Refused as error:
            raise self._no_repository() if error.code == 404 else error from error
        is_lfs = bool(_first(answer, "files").get("lfs"))
        if is_lfs:
            self._to_lfs(file, told)
            content = POINTER.format(sha256=file.sha256, size=file.size).encode()
        elif file.size > LARGEST_PLAIN:
            raise RemoteError(
                f"{file.path} has {file.size:,} bytes, and AI Studio keeps files of its kind up to "
                f"{LARGEST_PLAIN:,}",
                "Put it into a zip.",
            )
        else:
            content = file.path.read_bytes()
        self._commit(file, path, content, message, str(there.get("sha") or ""), is_lfs=is_lfs)
        return True

    def _to_lfs(self, file: LocalFile, told: Told) -> None:
        body = {
            "operation": "upload",
            "objects": [{"oid": file.sha256, "size": file.size}],
            "transfers": ["lfs-standalone-file", "basic"],
            "ref": {"name": f"refs/heads/{BRANCH}"},
            "hash_algo": "sha256",
        }
        answer = self._wire.answer(
            "POST", f"{self._path}.git/info/lfs/objects/batch", repeat=True,
            content=json.dumps(body).encode(), headers=LFS_HEADERS,
        )  # fmt: skip
        row = _first(answer, "objects")
        if isinstance(row.get("error"), dict):
            why = one_line(str(row["error"].get("message") or "no reason is given"))
            raise Refused(f"AI Studio refuses {file.path.name}: {why}")
        actions = table(row.get("actions"))
        upload = table(actions.get("upload"))
        if not upload:
            return  # its bytes are there already
        grant = Grant.of(upload.get("sts_token"), STS_FIELDS)
        if grant is not None:
            self._in_parts(file, grant, told)
        else:
            self._in_one(file, upload, told)
        verify = table(actions.get("verify")).get("href")
        if isinstance(verify, str) and verify:
            self._wire.request(
                "POST", self._on_this_host(verify), repeat=True,
                content=json.dumps({"oid": file.sha256, "size": file.size}).encode(),
                headers=LFS_HEADERS,
            )  # fmt: skip

    def _on_this_host(self, address: str) -> str:
        """The path of an address, which must be this very service's: it gets the token."""
        parts = parted(address)
        if parts is None or parts.hostname != urlsplit(self._wire.address).hostname:
            where = parts.hostname if parts is not None else "no address"
            raise Refused(f"AI Studio names {where} to verify the upload at", AGAIN)
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def _in_one(self, file: LocalFile, upload: dict[str, Any], told: Told) -> None:
        """One request to the storage's address, which gets what it asks for and no token."""
        if file.size > LARGEST_PUT:
            raise RemoteError(
                f"{file.path} has {file.size / 1e9:.1f} GB, and one upload takes "
                f"{LARGEST_PUT / 1e9:.1f}",
                "Upload it on AI Studio's page.",
            )
        href = secure(str(upload.get("href") or ""))
        headers = {str(k): str(v) for k, v in table(upload.get("header")).items()}
        headers |= {"Content-Type": "application/octet-stream", "Content-Length": str(file.size)}

        def once() -> None:
            client = make_client(href)
            try:
                with (
                    told_plainly(str(urlsplit(href).hostname), repeat=True),
                    client.stream("PUT", href, headers=headers, content=_blocks(file, told)) as got,
                ):
                    answer = read_whole(got)
            finally:
                client.close()
            if answer.status >= 300:
                line = f"the storage answers with HTTP {answer.status} for {file.path.name}"
                raise (Unreachable if is_passing(answer.status) else Refused)(line, AGAIN)
            if md5_in(answer.headers) not in ("", file.md5):
                raise Unreachable(f"{file.path.name} was stored otherwise than it was sent", AGAIN)

        persist(once, self._wire.pause)

    def _in_parts(self, file: LocalFile, grant: Grant, told: Told) -> None:
        """Part by part; what is there from a call that broke off is not sent again."""
        storage = Storage(grant, self._wire.pause)
        mark = self._kept / f"{file.sha256}.json"
        size = max(SMALLEST_PART, -(-file.size // MOST_PARTS))
        try:
            upload, there = self._resumed(storage, mark, grant, size)
            etags: dict[int, str] = {}
            with file.path.open("rb") as stream:
                number = 0
                while block := stream.read(size):
                    number += 1
                    digest = hashlib.md5(block).hexdigest()
                    if there.get(number) != digest:
                        storage.put_part(grant.key, upload, number, block)
                    etags[number] = digest
                    told("uploaded", min(number * size, file.size), file.size)
            storage.end_parts(grant.key, upload, etags)
        finally:
            storage.close()
        mark.unlink(missing_ok=True)

    @staticmethod
    def _resumed(
        storage: Storage, mark: Path, grant: Grant, size: int
    ) -> tuple[str, dict[int, str]]:
        """The upload of an earlier call and the parts that it brought, or a new one."""
        before = read_mark(mark)
        if before.get("key") == grant.key and before.get("part") == size:
            try:
                return str(before["upload"]), storage.parts(grant.key, str(before["upload"]))
            except Refused:
                pass  # the storage has forgotten it
        upload = storage.begin_parts(grant.key)
        data = {"key": grant.key, "part": size, "upload": upload}
        # Without it a later call begins anew.
        with contextlib.suppress(OSError):
            write_atomically(mark, json.dumps(data).encode())
        return upload, {}

    def _commit(
        self, file: LocalFile, path: str, content: bytes, message: str, sha: str, *, is_lfs: bool
    ) -> None:
        """Write the file into the branch; where the answer is lost, the repository is asked."""
        row: dict[str, Any] = {
            "path": path,
            "content": base64.b64encode(content).decode(),
            "operation": "update" if sha else "create",
            "lfsPointer": is_lfs,
        }
        if sha:
            row["sha"] = sha
        body = {"branch": BRANCH, "message": message, "files": [row]}
        try:
            self._wire.request("POST", f"{self._api}/contents", repeat=False, json=body)
        except (Unsure, Refused):
            if not self.has(file, path):
                raise
        if not self.has(file, path):
            raise Unreachable(f"{self.name} does not have {path} as it was sent", AGAIN)


def add_model(address: str, token: Token, name: str, *, private: bool, card: str) -> None:
    """Make a model repository of the token's owner; one that is there stays. Raises RemoteError."""
    own = repository_name(name).partition("/")[2]
    body = {
        "repoType": 0 if private else 1,
        "repoName": own,
        "modelName": own,
        "desc": card,
        "license": "Apache License 2.0",
    }
    wire = Wire(address, token)
    try:
        wire.api("POST", ADD_MODEL, repeat=False, json=body)
    except Refused as error:
        if "already" not in error.message:
            raise
    finally:
        wire.close()


def _first(answer: Any, key: str) -> dict[str, Any]:
    """The one row of an answer about one file. Raises Unreachable."""
    rows = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
        raise Unreachable("AI Studio's answer about a file is not as it was in 2026", AGAIN)
    return rows[0]


def _blocks(file: LocalFile, told: Told) -> Iterator[bytes]:
    done = 0
    with file.path.open("rb") as stream:
        while block := stream.read(BLOCK):
            yield block
            done += len(block)
            told("uploaded", done, file.size)
