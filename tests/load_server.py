"""Good and bad requests at once for minutes: python tests/load_server.py [SECONDS]

Each kind has the status that it has to have; none may be lost, the service may not grow, and it has
to stop with nothing cut. The bench runs a minute of it.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.bench_server import photo
from tests.server_world import Service, running, service_folder
from tests.test_server import bomb, form

Row = tuple[str, str, str, float, float]
# More clients than one core has, fewer than are admitted: no request may be told to come again.
CLIENTS = 6
MOST_GROWTH = 1.05
STOP_SECONDS = 5.0
KSERVE = "/v2/models/detector/infer"


@dataclass
class Told:
    """What the clients were answered: how often each kind had its status, and what was not."""

    right: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def kinds() -> dict[str, tuple[str, bytes, str, int]]:
    """Address, body, content type and the status that is right."""
    data = photo()
    several, of_form = form(("a.jpg", data), ("b.jpg", data))
    tensor = {"name": "images", "datatype": "BYTES", "shape": [1]}
    inputs = {"inputs": [{**tensor, "data": [base64.b64encode(data).decode()]}]}
    return {
        "picture": ("/detect", data, "image/jpeg", 200),
        "pictures": ("/detect", several, of_form, 200),
        "kserve": (KSERVE, json.dumps(inputs).encode(), "application/json", 200),
        "text": ("/detect", b"no picture at all", "image/jpeg", 415),
        "cut": ("/detect", data[:-500], "image/jpeg", 415),
        "bomb": ("/detect", bomb(60000, 60000), "image/png", 413),
        "empty": ("/detect", b"", "image/jpeg", 400),
        "too long": ("/detect", b"\0" * (21 * 2**20), "image/jpeg", 413),
        "no tensor": (KSERVE, b"[" * 1000, "application/json", 400),
        "elsewhere": ("/no/address", data, "image/jpeg", 404),
    }


def ask_until(port: int, end: float, seed: int, told: Told) -> None:
    chosen, known = random.Random(seed), kinds()
    names = ["picture"] * 10 + [name for name in known if name != "too long"]
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    count = 0
    while time.monotonic() < end:
        count += 1
        name = "too long" if count % 200 == 0 else chosen.choice(names)
        path, body, kind, status = known[name]
        try:
            line.request("POST", path, body, {"Content-Type": kind})
            answer = line.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            told.wrong.append(f"{name}: {error!r}")
            line.close()
            continue
        if answer.status == status and said:
            told.right[name] += 1
        else:
            told.wrong.append(f"{name}: {answer.status} {said[:80]!r}")


def under_load(service: Service, seconds: float) -> tuple[Told, float]:
    """What was answered, and the memory of the last tenth beside that of the second one."""
    told, process = Told(), psutil.Process(service.process.pid)
    end = time.monotonic() + seconds
    clients = [
        threading.Thread(target=ask_until, args=(service.port, end, seed, told))
        for seed in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    memory = []
    while time.monotonic() < end:
        memory.append(process.memory_info().rss)
        time.sleep(seconds / 200)
    for client in clients:
        client.join()
    tenth = max(1, len(memory) // 10)
    early, late = memory[tenth : 2 * tenth] or memory, memory[-tenth:]
    return told, statistics.median(late) / statistics.median(early)


def stopped(service: Service) -> tuple[float, list[int]]:
    """Seconds of the stop while pictures are being looked at, and how they were answered."""
    answers: list[int] = []
    data = photo()

    def ask() -> None:
        answers.append(service.ask("/detect", data).status)

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(0.02)
    begun = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    for client in clients:
        client.join()
    service.process.wait(30)
    return time.monotonic() - begun, answers


def load_rows(folder: Path, seconds: float) -> list[Row]:
    with running(service_folder(folder)) as service:
        told, growth = under_load(service, seconds)
        took, answers = stopped(service)
    total = sum(told.right.values())
    wrong = len(told.wrong) + sum(status != 200 for status in answers)
    for line in told.wrong[:5]:
        print(line)
    span = f"{seconds:.0f} s"
    return [
        (f"service, {span}: answers that are wrong or lost", f"{total}", f"{wrong}", wrong, 0.0),
        (f"service, {span}: memory at the end / at the beginning", "", "", growth, MOST_GROWTH),
        ("service, seconds of its stop / 5", f"{took:.1f} s", "5 s", took / STOP_SECONDS, 1.0),
    ]


if __name__ == "__main__":
    length = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    with tempfile.TemporaryDirectory() as spare:
        for row in load_rows(Path(spare), length):
            print(row)
