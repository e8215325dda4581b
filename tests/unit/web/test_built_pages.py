"""What a browser loads first: small, from this installation only, and with the licences of what others made."""

import gzip
import json
import re
from pathlib import Path

import pytest

from fakes.web_world import World
from refmill.model.people import Repository
from refmill_web import assets

STATIC = Path(assets.__file__).parent / "static"
BUDGET = 150 * 1024
needs_build = pytest.mark.skipif(not assets.built(), reason="the pages were not built (REFMILL_SKIP_UI=1)")


@needs_build
def test_the_first_load_of_the_run_page_is_small(world: World, churn: Repository) -> None:
    run = world.run(churn)
    page = world.browser().get(f"/{churn.full_name}/runs/{run.number}").text
    loaded = set(re.findall(r'(?:href|src)="/static/(dist/[^"]+)"', page))
    assert {name.rpartition(".")[2] for name in loaded} == {"css", "js"}
    assert sum(len(gzip.compress((STATIC / name).read_bytes())) for name in loaded) < BUDGET


@needs_build
def test_nothing_is_loaded_from_elsewhere() -> None:
    for style in STATIC.glob("dist/assets/*.css"):
        addresses = re.findall(r"url\(([^)]+)\)", style.read_text(encoding="utf-8"))
        assert addresses
        assert all(address.strip("\"'").startswith(("./", "data:")) for address in addresses)


def test_what_others_made_comes_with_its_licence() -> None:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in STATIC.glob("licences/*.txt")}
    assert texts.keys() == {"inter", "jetbrains-mono", "tabler"}
    assert "SIL OPEN FONT LICENSE" in texts["inter"].upper()
    assert "MIT License" in texts["tabler"]


def test_every_icon_and_state_that_pages_name_is_there() -> None:
    icons = json.loads(assets.ICONS.read_text(encoding="utf-8"))
    pages = "".join(path.read_text(encoding="utf-8") for path in assets.HERE.glob("pages/*.html"))
    named = set(re.findall(r'icon\("([\w-]+)"', pages)) | {"clock", "link", "loader-2", "bolt", "circle-check",
                                                          "circle-x", "circle-minus", "player-stop", "player-pause"}  # fmt: skip
    assert named <= icons.keys()
