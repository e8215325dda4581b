"""The order in which DVC would execute, found without networkx."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import networkx
import pytest

from refmill.clients.dvc_graph import postorder
from refmill.clients.resolver.warming import SAMPLE


@pytest.mark.parametrize("seed", range(60))
def test_it_is_that_of_networkx_for_any_graph(seed: int) -> None:
    chance = random.Random(seed)
    names = [str(number) for number in range(chance.randrange(1, 30))]
    chance.shuffle(names)
    edges = [(chance.choice(names), chance.choice(names)) for _ in range(chance.randrange(2 * len(names)))]
    if seed % 3:  # else there may be cycles
        edges = [(max(edge), min(edge)) for edge in edges if edge[0] != edge[1]]
    graph = networkx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from(edges)
    expected = None
    if networkx.is_directed_acyclic_graph(graph):
        expected = list(networkx.dfs_postorder_nodes(graph))
    assert postorder({name: list(graph.successors(name)) for name in names}) == expected


def test_a_long_chain_needs_no_deep_stack() -> None:
    found = postorder({str(number): [str(number + 1)] if number < 50_000 else [] for number in range(50_001)})
    assert found == [str(number) for number in range(50_000, -1, -1)]


def test_reading_a_project_imports_no_networkx() -> None:
    script = "import sys; from refmill.clients import dvc_parsing; sys.exit('networkx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(("left_out", "loaded"), [("refmill.yaml", False), ("more.json", True)])
def test_a_project_without_refmill_yaml_is_read_without_pydantic(left_out: str, loaded: bool, tmp_path: Path) -> None:
    for name, data in SAMPLE.items():
        if name != left_out:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(data)
    script = """
import pathlib, sys
import refmill_web.cli.run
from refmill_web import local
local.open_project(pathlib.Path(sys.argv[1]))
sys.exit(3 if "pydantic" in sys.modules else 4)
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    assert done.returncode == (3 if loaded else 4)
