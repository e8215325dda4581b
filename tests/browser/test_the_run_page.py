"""The run page in a browser: true without loading it again, usable by click, key and address, and without scripts."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from platforms import Copy, Platform, new_copy

TRAIN = """\
import json, pathlib, time
go = pathlib.Path({go!r})
print("loading", flush=True)
while not go.exists():
    time.sleep(0.05)
print("\\033[32mdone\\033[0m", flush=True)
pathlib.Path("metrics.json").write_text(json.dumps({{"auc": 0.875}}))
"""
PIPELINE = """\
stages:
  prepare:
    cmd: echo 1 > clean.txt
    outs: [clean.txt]
  train:
    cmd: python3 train.py
    deps: [clean.txt, train.py]
    metrics:
      - metrics.json:
          cache: false
"""


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """The stage `train` waits until this file is there."""
    return tmp_path / "go"


@pytest.fixture
def project(tmp_path: Path, go: Path) -> Copy:
    """A pipeline of two stages; the second one prints, waits, prints and measures."""
    return new_copy(tmp_path / "copy", {"dvc.yaml": PIPELINE, "train.py": TRAIN.format(go=str(go))})


def sign_in(page: Page, platform: Platform, address: str) -> None:
    """Open an address, sign in there and arrive."""
    page.goto(platform.address + address)
    page.fill("#name", "alice")
    page.fill("#password", "secret-alice")
    page.press("#password", "Enter")
    page.wait_for_url(platform.address + address)


def test_everything_changes_without_loading_the_page_again(
    page: Page, platform: Platform, project: Copy, go: Path
) -> None:
    project.git("push", "--quiet", platform.url("alice/true", "alice"), "main")
    sign_in(page, platform, "/alice/true/runs/1?stage=train")
    page.evaluate("window.sameDocument = true")
    page.get_by_text("loading", exact=True).wait_for()
    page.locator("#run-state .state.running").wait_for()
    assert "running.svg" in str(page.locator("#favicon").get_attribute("href"))

    go.touch()
    page.locator(".log .f2", has_text="done").wait_for()
    page.locator("#run-state .state.succeeded").wait_for()
    page.locator("#results td", has_text="0.875").wait_for()
    page.locator("#run-actions button", has_text="Run again").wait_for()
    page.locator("#panel .state.succeeded").wait_for()
    assert "succeeded.svg" in str(page.locator("#favicon").get_attribute("href"))
    assert page.evaluate("window.sameDocument") is True


def test_stages_are_chosen_by_click_key_and_address(page: Page, platform: Platform, project: Copy, go: Path) -> None:
    go.touch()
    project.git("push", "--quiet", platform.url("alice/choose", "alice"), "main")
    platform.ended("alice/choose")
    sign_in(page, platform, "/alice/choose/runs/1")
    page.get_by_role("button", name="prepare: succeeded").click()
    page.locator('#panel[data-stage="prepare"]').wait_for()
    assert page.url.endswith("?stage=prepare")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator('#panel[data-stage="train"]').wait_for()
    page.go_back()
    page.locator('#panel[data-stage="prepare"]').wait_for()
    page.get_by_role("button", name="table", exact=True).click()
    assert page.locator("#stage-table").is_visible()


def test_a_run_is_stopped_with_the_button_also_without_scripts(
    browser: Browser, platform: Platform, project: Copy
) -> None:
    project.git("push", "--quiet", platform.url("alice/stopped", "alice"), "main")
    context = browser.new_context(java_script_enabled=False, locale="en")
    page = context.new_page()
    sign_in(page, platform, "/alice/stopped/runs/1")
    assert page.locator("#stage-table").is_visible()
    page.get_by_role("button", name="Stop").click()
    assert platform.ended("alice/stopped")["status"] == "stopped"
    context.close()


@pytest.mark.parametrize(("width", "scheme", "locale"), [(390, "dark", "zh-CN"), (1280, "light", "en-GB")])
def test_no_page_is_wider_than_the_screen(
    browser: Browser, platform: Platform, project: Copy, go: Path, *, width: int, scheme: str, locale: str
) -> None:
    go.touch()
    name = f"alice/width{width}"
    project.git("push", "--quiet", platform.url(name, "alice"), "main")
    platform.ended(name)
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme="dark" if scheme == "dark" else "light", locale=locale
    )
    page = context.new_page()
    sign_in(page, platform, "/")
    pages = ("", "/runs", "/runs/1", "/commits", "/commit/main", "/blob/main/dvc.yaml", "/tree/main", "/nothing")
    for address in ("/", "/runs", "/settings/tokens", *(f"/{name}{part}" for part in pages)):
        page.goto(platform.address + address)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
    context.close()
