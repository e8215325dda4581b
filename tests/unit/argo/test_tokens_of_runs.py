"""The token that a pod shows, and plan.json in its place."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from refmill.settings import Settings
from refmill_argo import papers, tokens
from refmill_web import places

RUN = "abcdefghij234567abcd"


def test_a_token_leads_to_its_run_under_its_own_key_alone() -> None:
    token = tokens.run_token(b"key", RUN)
    assert token == tokens.run_token(b"key", RUN)
    assert tokens.run_of(b"key", token) == RUN
    assert tokens.run_of(b"another", token) is None


@pytest.mark.parametrize("place", [5, 23, 24, 25, 60, 88])
def test_a_token_that_was_changed_anywhere_is_none(place: int) -> None:
    token = tokens.run_token(b"key", RUN)
    changed = token[:place] + ("3" if token[place] != "3" else "5") + token[place + 1 :]
    assert tokens.run_of(b"key", changed) is None


@pytest.mark.parametrize(
    "odd", ["", "rfr_", "rfm_abc", f"rfr_{RUN}_", f"rfr_{RUN}_" + "0" * 64, "rfr_\u0663_" + "0" * 64]
)
def test_what_is_no_token_leads_nowhere(odd: str) -> None:
    assert tokens.run_of(b"key", odd) is None
    assert tokens.run_of(b"key", tokens.run_token(b"key", RUN) + "\n") is None


def test_the_key_is_made_once_and_is_that_of_the_secrets(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    key = places.key(settings)
    assert key == places.key(settings) == (tmp_path / "data" / "secrets.key").read_bytes()
    kept = places.records(settings)
    try:
        kept.people.add("ann", None)
        repository = kept.catalogue.add("ann", "digits")
        kept.secrets.set(repository.id, "TOKEN", "a value", "ann")
        assert kept.secrets.values(repository.id, ["TOKEN"]) == {"TOKEN": "a value"}
    finally:
        kept.close()
    assert places.key(settings) == key


def test_plan_json_is_kept_whole_and_once(tmp_path: Path) -> None:
    assert papers.read_plan(tmp_path, RUN) is None
    papers.write_plan(tmp_path, RUN, {"pods": [[{"entry": {"params": date(2026, 1, 2)}, "cmd": "echo \udc80 ü"}]]})
    papers.write_plan(tmp_path, RUN, {"pods": []})
    found = papers.read_plan(tmp_path, RUN)
    assert found == {"pods": [[{"entry": {"params": "2026-01-02"}, "cmd": "echo \udc80 ü"}]]}
    (tmp_path / RUN / papers.PLAN).write_text("[")
    assert papers.read_plan(tmp_path, RUN) is None
