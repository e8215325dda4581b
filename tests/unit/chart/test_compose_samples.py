"""deploy/compose.yaml and its env.example say what the platform takes, in words that Docker and podman understand alike.
(No test starts them: the operator guide says when somebody did.)"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from refmill import settings
from refmill.clients.database import server_url

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
USED = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def sample() -> dict[str, str]:
    """All lines of env.example, as if they were chosen."""
    lines = (DEPLOY / "env.example").read_text(encoding="utf-8").splitlines()
    return dict(re.findall(r"^#?([A-Z0-9_]+)=(.*)$", "\n".join(lines), re.MULTILINE))


def services() -> dict[str, Any]:
    """The containers by name."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return found


def environment(chosen: dict[str, str]) -> dict[str, str]:
    """What the platform's container gets."""
    given: dict[str, str] = services()["refmill"]["environment"]
    return {
        name: USED.sub(lambda found: chosen.get(found[1]) or found[2] or "", value) for name, value in given.items()
    }


@pytest.mark.parametrize("chosen", [{}, sample()], ids=["nothing", "all"])
def test_what_is_chosen_is_loaded(chosen: dict[str, str], tmp_path: Path) -> None:
    told = environment(chosen)
    known = {variable for variable, _ in settings.names().values()}
    assert {name for name in told if name.startswith("REFMILL_")} <= known
    loaded = settings.load({"data": tmp_path}, told)
    assert loaded.objects == ("s3://refmill/objects" if chosen else "")
    assert not chosen or server_url(loaded.database)


def test_every_choice_of_the_sample_is_used() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert set(sample()) - {"COMPOSE_PROFILES"} <= {name for name, _ in USED.findall(text)}


def test_podman_knows_where_to_pull_from() -> None:
    images = {name: USED.sub(lambda found: found[2], each["image"]) for name, each in services().items()}
    assert images.pop("refmill") == "refmill:local"  # it is built
    assert {image.partition("/")[0] for image in images.values()} == {"docker.io"}


def test_what_is_compiled_below_tmp_runs_there() -> None:
    (folder,) = services()["refmill"]["tmpfs"]
    assert "exec" in folder.rpartition(":")[2].split(",")


def test_a_database_is_healthy_when_it_can_be_reached() -> None:
    assert "--host=127.0.0.1" in services()["postgres"]["healthcheck"]["test"]
