"""The rules of this computer, each on the facts of one that has that one fault."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobgen.check.machine import machine_findings
from jobgen.check.machine_facts import (
    PROXIES,
    MachineFacts,
    answers,
    machine_facts,
    silent_addresses,
)
from jobgen.check.rules import MACHINE, chosen_rules, rules
from jobgen.settings import load_settings
from tests.conftest import Answer

GIB = 2**30
CARD = {
    "name": "Tesla V100",
    "memory_mib": 16160,
    "used_mib": 3,
    "uuid": "GPU-1",
    "driver": "470.1",
    "compute_capability": "7.0",
}
SOUND = MachineFacts("Linux", True, (), "", Path("cache"), 20 * GIB, 8 * GIB, False)
FAULTS: dict[str, dict[str, Any]] = {
    "MA001": {"system": "Windows"},
    "MA002": {"git": False},
    "MA003": {"lacking": ("nbclient",)},
    "MA004": {"python": "no Python 3.10 to 3.12 was found"},
    "MA005": {"disk_free": 2 * GIB},
    "MA006": {"memory": GIB},
    "MA007": {"shared_memory": 64 << 20},
    "MA008": {"silent": ("gitee.com", "github.com")},
    "MA009": {"cards": ({**CARD, "name": "RTX 4090", "compute_capability": "8.9"},)},
    "MA010": {"cards": ({**CARD, "used_mib": 9000},)},
    "MA011": {"cards": ({**CARD, "used_mib": 3000},), "training_mib": 13_500},
    "MA012": {"damaged": ("paddledetection-v2.6.0: git finds it damaged",)},
}


def codes(facts: MachineFacts) -> list[str]:
    return [f.code for f in machine_findings(facts, chosen_rules(family=MACHINE))]


def test_every_rule_has_its_machine() -> None:
    assert set(FAULTS) == set(rules(MACHINE))
    assert codes(SOUND) == []


@pytest.mark.parametrize("code", FAULTS)
def test_one_fault_one_finding(code: str) -> None:
    assert codes(replace(SOUND, **FAULTS[code])) == [code]


def test_a_made_environment_needs_less_space() -> None:
    assert codes(replace(SOUND, disk_free=2 * GIB, environment_made=True)) == []


def test_the_facts_are_this_machines(tmp_path: Path) -> None:
    facts = machine_facts(load_settings(tmp_path / "not" / "yet"))
    assert facts.disk_free > 0
    assert not facts.environment_made
    assert facts.memory is None or facts.memory > 0
    assert "nbclient" not in facts.lacking


def test_an_address_answers_or_it_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/simple"
        assert answers(address)
    assert not answers(address)
    assert answers("file:///mirror")


def test_a_first_run_needs_addresses_and_a_second_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    assert silent_addresses(environment_made=False, mirrored=True) == ("127.0.0.1",)
    assert silent_addresses(environment_made=True, mirrored=True) == ()
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert silent_addresses(environment_made=False, mirrored=False) == ()


@pytest.mark.waits
def test_the_machine_is_checked_on_its_own(jobgen: Callable[..., Answer]) -> None:
    answer = jobgen("check", "--machine", "--json")
    assert answer.json["checked"] == ["machine"]
    assert jobgen("check", "--machine", "--select", "MA002", "--json").json["findings"] == []
