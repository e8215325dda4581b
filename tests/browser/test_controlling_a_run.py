"""Somebody pauses a run, lets it go on, consents and stops, by the buttons of its page; the page follows by itself."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from platforms import Platform, new_copy

PIPELINE = """\
stages:
  first: {cmd: 'touch %(at)s/first && while test ! -e %(at)s/go; do sleep 0.05; done && cp in.txt a.txt', deps: [in.txt], outs: [a.txt]}
  publish: {cmd: 'cp a.txt b.txt', deps: [a.txt], outs: [b.txt]}
  last: {cmd: 'sleep 7011', deps: [b.txt]}
"""
SPEC = "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\nspec: {stages: {publish: {pause: true}}}\n"


def sign_in(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.address}/login")
    page.get_by_label(re.compile("name", re.IGNORECASE)).fill("alice")
    page.locator("input[type=password]").fill("secret-alice")
    page.locator("input[type=password]").press("Enter")
    expect(page.locator("body")).to_contain_text("alice")


def buttons(page: Page, *names: str) -> None:
    """The page offers these and no others."""
    expect(page.locator("#run-actions button")).to_have_text(list(names), timeout=15_000)


def test_a_run_is_paused_resumed_consented_to_and_stopped(platform: Platform, page: Page, tmp_path: Path) -> None:
    sign_in(page, platform)
    files = {"dvc.yaml": PIPELINE % {"at": tmp_path}, "in.txt": "x\n", "refmill.yaml": SPEC}
    copy = new_copy(tmp_path / "copy", files)
    copy.git("push", "--quiet", platform.url("alice/controlled", "alice"), "main")
    page.goto(f"{platform.address}/alice/controlled/runs/1?stage=first")
    buttons(page, "Pause", "Stop")
    page.get_by_role("button", name="Pause").click()
    buttons(page, "Go on", "Stop")
    expect(page.locator("#run-state")).to_have_text("paused; 1 still running")
    (tmp_path / "go").touch()
    expect(page.locator("#run-state")).to_have_text("paused", timeout=15_000)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#run-why")).to_have_text("waits for your consent to start publish", timeout=15_000)
    buttons(page, "Go on", "Stop")
    page.get_by_role("button", name="Go on").click()
    buttons(page, "Pause", "Stop")
    expect(page.locator("#run-why")).to_have_text("")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#run-state")).to_have_text("stopped", timeout=15_000)
    buttons(page, "Run all again", "Run again", "Run")


def test_the_page_follows_what_others_ask_of_the_run(platform: Platform, page: Page, tmp_path: Path) -> None:
    sign_in(page, platform)
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": "stages:\n  long: {cmd: 'echo begun && sleep 7011', outs: [x]}\n"})
    copy.git("push", "--quiet", platform.url("alice/followed", "alice"), "main")
    page.goto(f"{platform.address}/alice/followed/runs/1")
    expect(page.locator("#log")).to_contain_text("begun", timeout=15_000)
    buttons(page, "Pause", "Stop")
    platform.refmill("pause", "alice/followed#1")
    buttons(page, "Go on", "Stop")
    platform.refmill("stop", "alice/followed#1")
    buttons(page, "Run all again", "Run again", "Run")
