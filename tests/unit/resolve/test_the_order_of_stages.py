"""The order in which DVC would execute, found without networkx."""

from __future__ import annotations

import random
import subprocess
import sys

import networkx
import pytest

from refmill.clients.dvc_graph import postorder


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
