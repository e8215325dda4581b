"""Asks an API server, as a person would."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.calling import call
from cluster.errors import ClusterError


@dataclass(frozen=True, slots=True)
class Kubectl:
    """`kubectl` with one cluster's settings."""

    program: Path
    kubeconfig: Path

    def command(self, *words: str) -> list[str]:
        """What is run."""
        return [str(self.program), f"--kubeconfig={self.kubeconfig}", *words]

    def __call__(self, *words: str, stdin: str = "", seconds: float = 120) -> str:
        """What it prints; raises ClusterError with its complaint."""
        return call(self.command(*words), stdin=stdin, seconds=seconds)

    def data(self, *words: str) -> Any:
        """The same, read from JSON."""
        return json.loads(self(*words, "-o", "json"))

    def tried(self, *words: str, stdin: str = "", seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """The same where it may fail."""
        return subprocess.run(
            self.command(*words), input=stdin, capture_output=True, text=True, check=False, timeout=seconds
        )

    def apply(self, *manifests: dict[str, Any]) -> str:
        """Make objects, or make them as they are told."""
        return self("apply", "-f", "-", stdin=_listed(manifests))

    def apply_file(self, path: Path, *words: str, seconds: float = 120) -> str:
        """The same from a file or the files of a folder."""
        return self("apply", *words, "-f", str(path), seconds=seconds)

    def answers(self) -> bool:
        """Whether the API server is ready."""
        try:
            return self("get", "--raw", "/readyz", "--request-timeout=2s", seconds=10) == "ok"
        except ClusterError:
            return False


def _listed(manifests: tuple[dict[str, Any], ...]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})


def environment(kubeconfig: Path) -> dict[str, str]:
    """What a program needs to speak to the cluster."""
    return os.environ | {"KUBECONFIG": str(kubeconfig)}
