"""Somebody signs in, follows a run live, and reads its metrics."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from platforms import Platform, new_copy

PIPELINE = """\
stages:
  prepare:
    cmd: cp in.txt a.txt
    deps: [in.txt]
    outs: [a.txt]
  train:
    cmd: |
      for i in 1 2 3 4 5 6 7 8 9 10; do echo "epoch $i"; sleep 0.5; done
      echo '{"accuracy": 0.875}' > metrics.json
    deps: [a.txt]
    params: [rate]
    metrics:
      - metrics.json:
          cache: false
"""


def sign_in(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.address}/login")
    page.get_by_label(re.compile("name", re.IGNORECASE)).fill("alice")
    page.locator("input[type=password]").fill("secret-alice")
    page.locator("input[type=password]").press("Enter")
    expect(page.locator("body")).to_contain_text("alice")


def test_a_run_is_followed_live_and_its_metrics_are_read(platform: Platform, page: Page, tmp_path: Path) -> None:
    sign_in(page, platform)
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": PIPELINE, "in.txt": "x\n", "params.yaml": "rate: 0.1\n"})
    copy.git("push", "--quiet", platform.url("alice/live", "alice"), "main")
    page.goto(f"{platform.address}/alice/live/runs/1?stage=train")
    expect(page.locator("body")).to_contain_text("epoch 2", timeout=15_000, use_inner_text=True)
    expect(page.locator("body")).to_contain_text("Running", use_inner_text=True)
    expect(page.locator("body")).to_contain_text("epoch 10", timeout=15_000)
    expect(page.locator("h1, h2").first.locator("xpath=..")).to_contain_text("succeeded", timeout=15_000)
    platform.ended("alice/live")
    expect(page.locator("body")).to_contain_text("0.875", timeout=15_000)


MEASURES = """\
stages:
  train:
    cmd: |
      echo '{"accuracy": 0.125}' > metrics.json
      until [ -e on ]; do sleep 0.1; done
      echo '{"accuracy": 0.375}' > metrics.json
      until [ -e through ]; do sleep 0.1; done
    metrics:
      - metrics.json:
          cache: false
"""


def test_what_a_running_stage_measures_is_in_the_table_and_grows(
    platform: Platform, page: Page, tmp_path: Path
) -> None:
    sign_in(page, platform)
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": MEASURES})
    copy.git("push", "--quiet", platform.url("alice/grows", "alice"), "main")
    page.goto(f"{platform.address}/alice/grows/runs/1")
    table = page.get_by_role("region", name="Metrics")
    expect(table).to_contain_text("0.125", timeout=15_000)
    (tree,) = (platform.data / "work" / str(page.locator("#run").get_attribute("data-run"))).glob("*/tree")
    (tree / "on").touch()
    expect(table).to_contain_text("0.375", timeout=15_000)
    expect(page.locator("#run-state")).to_contain_text("Running")
    (tree / "through").touch()
    platform.ended("alice/grows")
    expect(table).to_contain_text("0.375")


def test_pages_need_somebody_who_may_see_them(platform: Platform, page: Page, tmp_path: Path) -> None:
    copy = new_copy(tmp_path / "copy", {"README.md": "# secret\n"})
    copy.git("push", "--quiet", platform.url("alice/hidden", "alice"), "main")
    page.goto(f"{platform.address}/alice/hidden")
    expect(page.locator("input[type=password]")).to_be_visible()
    assert "secret" not in page.content()
    sign_in(page, platform)
    page.goto(f"{platform.address}/alice/hidden")
    expect(page.get_by_role("heading", name="secret")).to_be_visible()
