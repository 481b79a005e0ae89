"""Baidu's object storage (BOS), which holds a job's files: signed requests, lists, parts.

Signature bce-auth-v1: https://cloud.baidu.com/doc/Reference/s/njwvz1yfu; the tests compare it with
bce-python-sdk 0.9.79, which is 22 MB with what it needs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from jobgen.errors import MALFORMED, RemoteError
from jobgen.hidden import keep_secret
from jobgen.remote.wire import (
    AGAIN,
    LOOPBACK,
    Answer,
    Refused,
    Unreachable,
    is_passing,
    make_client,
    parted,
    persist,
    read_whole,
    told_plainly,
    wanted_pause,
    words_of,
)

CLOCK = "Is the clock of this computer right? A request is signed with its time."
# Seconds for which a signature holds.
VALID = 1800
PAGE = 1000
# Pages of a list one after the other that have nothing on them.
MOST_EMPTY = 10
UNRESERVED = "-_.~"
PRINTABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Grant:
    """Leave to read or write below `key` of a bucket for a while: an answer of AI Studio, which
    calls the key `file_key`."""

    endpoint: str
    bucket: str
    file_key: str
    access_key: str
    secret_key: str = field(repr=False)
    session: str = field(repr=False)

    @property
    def key(self) -> str:
        return self.file_key.lstrip("/")

    @classmethod
    def of(cls, answer: Any, names: Sequence[str]) -> Grant | None:
        """From an answer that has the fields, in their order here, under `names`; None where one
        is missing or can't be meant. Raises RemoteError for an address that is none."""
        values = [answer.get(name) for name in names] if isinstance(answer, dict) else [None]
        if not all(isinstance(value, str) and value for value in values):
            return None
        endpoint, bucket, key, *secrets = map(str, values)
        # What can't stand in a header or an address would be shown by the error about it.
        if not all(PRINTABLE.fullmatch(value) for value in (endpoint, bucket, *secrets)):
            return None
        keep_secret(*secrets[1:])
        return cls(secure(endpoint), bucket, key, *secrets)


@dataclass(frozen=True)
class Item:
    """An object in a list: its key, its size in bytes, and its ETag, which is the MD5 of one that
    was not put together of parts."""

    key: str
    size: int
    etag: str


def secure(endpoint: str) -> str:
    """A storage address with https, which the SDK leaves out; loopback stays as it is. Raises
    RemoteError for what is no address."""
    full = endpoint if "://" in endpoint else f"https://{endpoint}"
    parts = parted(full)
    if (
        parts is None
        or not parts.hostname
        or parts.scheme not in ("http", "https")
        or parts.username
    ):
        raise RemoteError("AI Studio's answer names no storage address")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        full = "https" + full.removeprefix("http")
    return full.rstrip("/")


def sign(
    grant: Grant, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str],
    now: float,
) -> str:  # fmt: skip
    """The Authorization header: of `headers` host, x-bce-* and those of the content count."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    start = f"bce-auth-v1/{grant.access_key}/{stamp}/{VALID}"
    signing_key = _hmac(grant.secret_key, start)
    counted = {"host", "content-md5", "content-length", "content-type"}
    rows = [
        f"{_encoded(name)}:{_encoded(value.strip())}"
        for name, value in ((name.lower(), value) for name, value in headers.items())
        if value.strip() and (name in counted or name.startswith("x-bce-"))
    ]
    asked = [f"{_encoded(n)}={_encoded(v)}" for n, v in query.items() if n != "authorization"]
    text = "\n".join([method, path, "&".join(sorted(asked)), "\n".join(sorted(rows))])
    return f"{start}//{_hmac(signing_key, text)}"


def _hmac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def _encoded(text: str) -> str:
    return quote(text, safe=UNRESERVED)


class Storage:
    """Objects of one grant. Every request here may be repeated: it reads, or writes the same
    again."""

    def __init__(
        self,
        grant: Grant,
        pause: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.grant = grant
        self.pause = pause
        parts = urlsplit(grant.endpoint)
        host = str(parts.hostname)
        # As the SDK does: the bucket before the host on Baidu's own, else in the path.
        before = host.endswith(".bcebos.com") and host.count(".") == 2 and "." not in grant.bucket
        own = before or host.startswith(grant.bucket + ".")
        self._netloc = f"{grant.bucket}.{parts.netloc}" if before else parts.netloc
        self._address = f"{parts.scheme}://{self._netloc}"
        self._root = "/" if own else f"/{_encoded(grant.bucket)}/"
        self._client = make_client(self._address, transport)

    def close(self) -> None:
        self._client.close()

    def _path(self, key: str) -> str:
        return (
            self._root + quote(key, safe=UNRESERVED + "/") if key else self._root.rstrip("/") or "/"
        )

    @contextmanager
    def _sent(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str],
        content: Any = None,
    ) -> Iterator[httpx.Response]:  # fmt: skip
        """One signed request; its answer is still to be read."""
        now = time.time()
        sent = {
            "Host": self._netloc,
            "x-bce-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            "x-bce-security-token": self.grant.session,
            **headers,
        }
        path = self._path(key)
        sent["Authorization"] = sign(self.grant, method, path, query, sent, now)
        asked = "&".join(f"{_encoded(n)}={_encoded(v)}" if v else _encoded(n)
                         for n, v in query.items())  # fmt: skip
        url = self._address + path + (f"?{asked}" if asked else "")
        with (
            told_plainly(str(urlsplit(self._address).hostname), repeat=True),
            self._client.stream(method, url, headers=sent, content=content) as response,
        ):
            yield response

    def _whole(
        self, method: str, key: str, query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None, content: bytes | None = None,
    ) -> Answer:  # fmt: skip
        def once() -> Answer:
            with self._sent(method, key, query or {}, headers or {}, content) as response:
                return self._looked_at(read_whole(response), key)

        return persist(once, self.pause)

    def _looked_at(self, answer: Answer, key: str) -> Answer:
        """An answer of the storage that is good. Raises Refused, Unreachable."""
        if answer.status < 300:
            return answer
        said = words_of(answer)
        line = f"the storage answers with HTTP {answer.status} for {key or 'its list'}"
        line += f": {said}" if said else ""
        if is_passing(answer.status):
            raise Unreachable(line, AGAIN, wanted_pause(answer))
        hint = CLOCK if b"RequestExpired" in answer.content else AGAIN
        raise Refused(line, hint, code=answer.status)

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Write an object. Raises RemoteError where the storage has another MD5 of it."""
        digest = hashlib.md5(data).digest()
        headers = {
            "Content-Type": content_type,
            "Content-Length": str(len(data)),
            "Content-MD5": base64.b64encode(digest).decode(),
        }
        answer = self._whole("PUT", key, headers=headers, content=data)
        need_same_md5(key, digest.hex(), etag_of(answer.headers))

    def items(self, prefix: str) -> Iterator[Item]:
        """Every object below a prefix, all pages of it."""
        marker, empty = "", 0
        while True:
            query = {"maxKeys": str(PAGE), "prefix": prefix}
            if marker:
                query["marker"] = marker
            found = json_of(self._whole("GET", "", query), prefix)
            contents = found.get("contents") or []
            if not isinstance(contents, list):
                raise Unreachable(f"the storage's list of {prefix} is none", AGAIN)
            rows = [item_of(row, prefix) for row in contents]
            yield from (item for item in rows if item.key > marker or not marker)
            after = str(found.get("nextMarker") or (rows[-1].key if rows else ""))
            if not found.get("isTruncated"):
                return
            empty = 0 if rows else empty + 1
            if not after > marker or empty > MOST_EMPTY:
                raise Refused(f"the list of {prefix} does not come to its end", AGAIN)
            marker = after

    @contextmanager
    def reading(self, key: str, start: int = 0) -> Iterator[httpx.Response]:
        """An object's bytes from `start` on, to be read by the caller; tried once. The status is
        200 or 206."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._sent("GET", key, {}, headers) as response:
            if response.status_code not in (200, 206):
                self._looked_at(read_whole(response), key)
            yield response

    def begin_parts(self, key: str) -> str:
        """The id of an upload in parts."""
        answer = self._whole("POST", key, {"uploads": ""}, {"Content-Length": "0"})
        found = json_of(answer, key).get("uploadId")
        if not isinstance(found, str) or not found:
            raise Unreachable(f"the storage begins no upload of {key}", AGAIN)
        return found

    def parts(self, key: str, upload: str) -> dict[int, str]:
        """The parts that are there already, number to ETag. Raises Refused where there is no such
        upload any more."""
        found: dict[int, str] = {}
        marker = 0
        while True:
            query = {"uploadId": upload, "partNumberMarker": str(marker)}
            answer = json_of(self._whole("GET", key, query), key)
            try:
                rows = answer["parts"]
                found |= {int(row["partNumber"]): str(row["eTag"]).strip('"') for row in rows}
                after = int(answer.get("nextPartNumberMarker") or 0)
            except MALFORMED as error:
                raise Refused(f"the storage does not say which parts of {key} it has") from error
            if not answer.get("isTruncated") or after <= marker:
                return found
            marker = after

    def put_part(self, key: str, upload: str, number: int, data: bytes) -> str:
        """Write a part, from 1 on; its ETag."""
        digest = hashlib.md5(data).digest()
        headers = {
            "Content-Length": str(len(data)),
            "Content-MD5": base64.b64encode(digest).decode(),
        }
        query = {"partNumber": str(number), "uploadId": upload}
        answer = self._whole("PUT", key, query, headers, data)
        need_same_md5(f"part {number} of {key}", digest.hex(), etag_of(answer.headers))
        return digest.hex()

    def end_parts(self, key: str, upload: str, etags: Mapping[int, str]) -> None:
        """Put the parts together."""
        rows = [{"partNumber": number, "eTag": etags[number]} for number in sorted(etags)]
        content = json.dumps({"parts": rows}).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        self._whole("POST", key, {"uploadId": upload}, headers, content)


def item_of(row: Any, prefix: str) -> Item:
    """A row of a list. Raises Unreachable for what is none."""
    try:
        key, size = row["key"], int(row["size"])
        if not isinstance(key, str) or size < 0:
            raise TypeError
        return Item(key, size, str(row.get("eTag") or "").strip('"'))
    except MALFORMED as error:
        raise Unreachable(
            f"the storage's list of {prefix} is not as it was in 2026", AGAIN
        ) from error


def etag_of(headers: httpx.Headers) -> str:
    return str(headers.get("etag", "")).strip('"')


def need_same_md5(what: str, ours: str, theirs: str) -> None:
    """Raise Unreachable where what was stored is not, or not said to be, what was sent."""
    if theirs.lower() != ours:
        raise Unreachable(f"the storage does not say that it has {what} as it was sent", AGAIN)


def json_of(answer: Answer, what: str) -> dict[str, Any]:
    """An answer as JSON. Raises Unreachable where it is none."""
    try:
        found = json.loads(answer.content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unreachable(f"the storage's answer about {what} is no JSON", AGAIN)
    return found


def md5_in(headers: httpx.Headers) -> str:
    """The MD5 (hex) that an answer gives of an object; empty where it gives none."""
    try:
        found = base64.b64decode(headers.get("content-md5", ""), validate=True).hex()
    except (binascii.Error, ValueError):
        found = ""
    etag = etag_of(headers)
    return found if len(found) == 32 else etag.lower() if len(etag) == 32 else ""
