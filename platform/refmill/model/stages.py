"""The platform's own settings of one stage, as engines take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from refmill.model.placement import Toleration


@dataclass(frozen=True, slots=True)
class StageSettings:
    """The platform's own settings of one stage, from refmill.yaml.

    `cpu` in cores, `memory` in bytes (0 = the engine's default), `gpu` in slots, `timeout` in seconds (None = none).
    `requirements` is the path of a requirements file, "" for none. `pause`: it starts only when somebody consents.
    `secrets` are variables of the environment, each with the name of the repository's secret that is its value.
    Of a cluster: `node_selector` are labels of its nodes, `python` tells whether the image has one (None = by its
    name), `fuse` whether the stage may share a pod with those before and after it.
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
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    priority_class: str = ""
    python: bool | None = None
    fuse: bool = True
