"""deploy/compose.yaml and its env.example say what the platform takes. (No test starts them: that needs Docker.)"""

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


def environment(chosen: dict[str, str]) -> dict[str, str]:
    """What the platform's container gets."""
    services: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    given: dict[str, str] = services["refmill"]["environment"]
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
