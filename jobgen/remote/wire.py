"""Requests to AI Studio: time-outs, what is repeated and what not, and every answer looked at.

The envelope of an answer is {logId, errorCode, errorMsg, timestamp, result}; errorCode 0 is good,
whatever the HTTP status says (aistudio-sdk 0.3.9).
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

import httpx

from jobgen import __version__
from jobgen.catalog import platform
from jobgen.errors import RemoteError
from jobgen.hidden import without_secrets
from jobgen.remote.token import Token
from jobgen_runtime.record.text import redacted

TIMEOUT = httpx.Timeout(60.0, connect=15.0)
TRIES = 5
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0
# Of a server that names a time itself (Retry-After).
LONGEST_WANTED = 120.0
LARGEST_ANSWER = 32 * 2**20
Done = TypeVar("Done")
LOOPBACK = frozenset(["localhost", "127.0.0.1", "::1"])
# Statuses after which the same request may succeed, beside those of a server's own faults.
PASSING = frozenset([408, 425, 429])
SERVER_FAULT = 500


class Refused(RemoteError):
    """AI Studio understood the request and says no. `code` is its errorCode or the HTTP status."""

    def __init__(self, message: str, hint: str | None = None, code: int = 0) -> None:
        super().__init__(message, hint)
        self.code = code


class Unreachable(RemoteError):
    """No sound answer came, and the request was not received or changes nothing. `after` is in how
    many seconds the other side asks to be asked again."""

    def __init__(self, message: str, hint: str | None = None, after: float = 0.0) -> None:
        super().__init__(message, hint)
        self.after = after


class Unsure(RemoteError):
    """The request was sent, no sound answer came: it may have been carried out."""


@dataclass(frozen=True)
class Answer:
    """An answer, read whole; its headers in lower case."""

    status: int
    headers: httpx.Headers
    content: bytes


def need_safe(address: str) -> str:
    """An address to which a token may be sent: HTTPS, or this computer itself; without the slash
    at its end. Raises RemoteError."""
    parts = parted(address)
    is_safe = parts is not None and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    )
    if parts is None or not (is_safe and parts.hostname) or parts.username or parts.password:
        raise RemoteError(
            f"{address.rpartition('@')[2]} is no https address",
            "A token is sent over HTTPS only; the address is set by JOBGEN_AISTUDIO and "
            "JOBGEN_AISTUDIO_GIT, or in the settings.",
        )
    return address.rstrip("/")


def parted(address: str) -> SplitResult | None:
    """The parts of an address; None for what is none."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return None
    return parts


def make_client(address: str, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """A client that follows no redirect. Proxies of the environment are used, but for loopback.
    Raises RemoteError where such a proxy can't be meant. `transport` takes the network's place."""
    on_this_computer = urlsplit(address).hostname in LOOPBACK
    try:
        return httpx.Client(
            timeout=TIMEOUT,
            follow_redirects=False,
            trust_env=not on_this_computer and transport is None,
            transport=transport,
            # Nothing packed: how much has come is then what the length says.
            headers={"User-Agent": f"jobgen/{__version__}", "Accept-Encoding": "identity"},
        )
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
        raise RemoteError(
            f"the proxy or certificates of the environment can't be used: {error}",
            "They are set by HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE; a proxy is written as "
            "http://host:port or socks5://host:port.",
        ) from error


class Wire:
    """One AI Studio service. `pause` waits (seconds) between tries."""

    def __init__(
        self,
        address: str,
        token: Token | None,
        pause: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.address = need_safe(address)
        self.pause = pause
        self.transport = transport
        self._token = token
        self._client = make_client(self.address, transport)

    def close(self) -> None:
        self._client.close()

    def api(self, method: str, path: str, *, repeat: bool, **extra: Any) -> Any:
        """The `result` of a request to the jobs' API; `extra` is httpx's. Only what changes
        nothing may be repeated. Raises Refused, Unreachable, Unsure."""
        answer = self.answer(method, path, repeat=repeat, **extra)
        if not isinstance(answer, dict) or "errorCode" not in answer:
            raise Unsure(f"AI Studio's answer to {path} has no errorCode", AGAIN)
        if answer["errorCode"] not in (0, "0"):
            said = str(answer.get("errorMsg") or "no reason is given")
            place = f"errorCode {answer['errorCode']}, logId {answer.get('logId')}"
            raise Refused(
                f"AI Studio refuses: {said} ({place})",
                refusal_hint(said),
                code=answer["errorCode"] if isinstance(answer["errorCode"], int) else -1,
            )
        return answer.get("result")

    def answer(self, method: str, path: str, *, repeat: bool, **extra: Any) -> Any:
        """The JSON of an answer. Raises Refused, Unreachable, Unsure."""
        found = self.request(method, path, repeat=repeat, **extra)
        try:
            return json.loads(found.content)
        except (ValueError, RecursionError):
            said = f"AI Studio's answer to {path} is no JSON (HTTP {found.status})"
            raise (Unreachable if repeat else Unsure)(said, AGAIN) from None

    def request(self, method: str, path: str, *, repeat: bool, **extra: Any) -> Answer:
        """A good answer. What was certainly not received is sent again; what may have been, only
        where it may be repeated."""
        return persist(lambda: self._once(method, path, repeat=repeat, **extra), self.pause)

    def _once(self, method: str, path: str, *, repeat: bool, **extra: Any) -> Answer:
        headers = dict(extra.pop("headers", {}))
        if self._token is not None:
            headers["Authorization"] = f"token {self._token.secret}"
        where = urlsplit(self.address).hostname
        with told_plainly(str(where), repeat=repeat):
            url = path if path.startswith(("http://", "https://")) else self.address + path
            self._refuse_other_host(url)
            with self._client.stream(method, url, headers=headers, **extra) as response:
                answer = read_whole(response)
        return self._looked_at(answer, path, repeat=repeat)

    def _refuse_other_host(self, url: str) -> None:
        if urlsplit(url)[:2] != urlsplit(self.address)[:2]:
            raise Refused(f"an address of another host than {self.address} gets no token")

    def _looked_at(self, answer: Answer, path: str, *, repeat: bool) -> Answer:
        status = answer.status
        if status < 300:
            return answer
        said = words_of(answer)
        line = f"AI Studio answers {path} with HTTP {status}" + (f": {said}" if said else "")
        if is_passing(status):
            if repeat or status == 429:
                raise Unreachable(line, AGAIN, wanted_pause(answer))
            raise Unsure(line, AGAIN)
        if status < 400:
            raise self._sent_on(answer, path)
        raise Refused(line, refusal_hint(said, status), code=status)

    def _sent_on(self, answer: Answer, path: str) -> RemoteError:
        """To another host a network's login page sends on, before the request has arrived; it may
        let it through later."""
        goal = answer.headers.get("location", "nowhere")
        line = f"AI Studio sends {path} on to {redacted(goal)}"
        hint = "A network that asks for a login does this; a token is sent nowhere else."
        host = parted(goal)
        if host is not None and host.hostname not in (None, urlsplit(self.address).hostname):
            return Unreachable(line, hint)
        return Refused(line, hint, code=answer.status)


def wanted_pause(answer: Answer) -> float:
    """Seconds until the other side wants to be asked again, as far as one can wait for that."""
    text = answer.headers.get("retry-after", "")
    return min(float(text), LONGEST_WANTED) if text.isdecimal() else 0.0


def is_passing(status: int) -> bool:
    """Whether a server that answers so may answer otherwise later."""
    return status in PASSING or status >= SERVER_FAULT


AGAIN = "Try again in a while; what was done is kept."


def refusal_hint(said: str, status: int = 0) -> str | None:
    """What to do about a refusal, where its words say."""
    words = said.lower()
    if status in (401, 403) or "token" in words or "auth" in words or "鉴权" in said:
        return f"Is the token still valid? {platform().tokens_page}"
    return None


def pause_after(number: int) -> float:
    """Seconds to wait after a try, from 0 on: twice as long each time, a part of it by chance, so
    that many clients do not come back at once."""
    whole = min(FIRST_PAUSE * 2.0**number, LONGEST_PAUSE)
    return whole * random.uniform(0.5, 1.0)


@contextmanager
def told_plainly(host: str, *, repeat: bool) -> Iterator[None]:
    """Turn httpx's faults into Unreachable or, where a request may have arrived, Unsure."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.PoolTimeout) as error:
        raise Unreachable(f"{host} can't be reached: {words_or_kind(error)}", NETWORK) from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeError, httpx.LocalProtocolError):
        # Its words would show a header, which may be a secret.
        raise Refused(
            f"a request to {host} can't be sent: an address or a header is not as it should be",
            "Look at JOBGEN_AISTUDIO and the proxy; else AI Studio's answer was no good.",
        ) from None
    except (httpx.HTTPError, httpx.StreamError) as error:
        kind = Unreachable if repeat else Unsure
        raise kind(f"{host} broke off: {words_or_kind(error)}", AGAIN) from error


def words_or_kind(error: Exception) -> str:
    """What an error says, of which httpx leaves some without a word."""
    return str(error) or type(error).__name__


NETWORK = "Is the network there? Behind a proxy: set HTTPS_PROXY."


def persist(work: Callable[[], Done], pause: Callable[[float], None]) -> Done:
    """Do it again, after a pause, while its answer is Unreachable; at most TRIES times."""
    for number in range(TRIES - 1):
        try:
            return work()
        except Unreachable as error:
            pause(max(error.after, pause_after(number)))
    return work()


def read_whole(response: httpx.Response) -> Answer:
    """An answer, of which nobody says how long it is, as far as memory is safe. Raises
    httpx.RemoteProtocolError for one that is cut short."""
    data = bytearray()
    for block in response.iter_raw():
        data += block
        if len(data) > LARGEST_ANSWER:
            raise httpx.RemoteProtocolError(f"an answer over {LARGEST_ANSWER:,} bytes")
    wanted = response.headers.get("content-length", "")
    if wanted.isdigit() and int(wanted) != len(data):
        raise httpx.RemoteProtocolError(f"{len(data)} of {wanted} bytes")
    return Answer(response.status_code, response.headers, bytes(data))


def words_of(answer: Answer) -> str:
    """What an answer that is no good says, in a line."""
    try:
        found = json.loads(answer.content)
    except (ValueError, RecursionError):
        return ""  # a page of HTML says nothing to anybody
    if isinstance(found, dict):
        found = found.get("errorMsg") or found.get("message") or ""
    # Before it is cut: a piece of a secret is one too.
    return without_secrets(" ".join(str(found).split()))[:200]


def table(value: Any) -> dict[str, Any]:
    """A part of an answer that should be a table; empty for anything else."""
    return value if isinstance(value, dict) else {}
