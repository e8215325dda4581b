"""The platform's own settings of one stage, as engines take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StageSettings:
    """The platform's own settings of one stage, from refmill.yaml.

    `cpu` in cores, `memory` in bytes (0 = the engine's default), `gpu` in slots, `timeout` in seconds (None = none).
    `requirements` is the path of a requirements file, "" for none. `pause`: it starts only when somebody consents.
    `secrets` are variables of the environment, each with the name of the repository's secret that is its value.
    """

    cpu: float = 1.0
    memory: int = 0
    gpu: int = 0
    retries: int = 0
    timeout: float | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    requirements: str = ""
    image: str = ""
    pause: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict)
