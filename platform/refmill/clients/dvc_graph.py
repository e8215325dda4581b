"""Who needs whose output, and in which order DVC would execute: dvc.repo.graph and dvc.repo.reproduce, on the model.

The order is byte-relevant (new entries of dvc.lock stand in it), so nodes and edges are put in exactly as DVC does:
nodes in the order of its walk over the files; a stage's edges by its dependencies as written, then its parameter files;
for each, outputs above it from the shortest path down, then those inside it in the order of their stages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pygtrie import Trie

from refmill.clients.dvc_sites import Sites
from refmill.clients.findings import Findings
from refmill.model.pipelines import DataFile, Dependency, ParamsDependency, Stage
from refmill.texts import text


@dataclass(frozen=True, slots=True)
class Graph:
    """`upstream` by address; `order` is DVC's."""

    upstream: Mapping[str, tuple[str, ...]]
    order: tuple[str, ...]


class Outputs:
    """All outputs of a project by path. The trie is DVC's own kind, for its order; the rest answers most questions."""

    def __init__(self) -> None:
        self._trie = Trie()
        self._owners: dict[str, str] = {}
        self._above: set[str] = set()

    def add(self, root: str, address: str) -> str | None:
        """Note an output; gives the path of one that is the same, lies above or inside it (then nothing is noted)."""
        if clash := next(iter(self.overlapping(root)), None):
            return clash
        parts = root.split("/")
        self._trie[tuple(parts)] = root
        self._owners[root] = address
        self._above.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
        return None

    def owner(self, root: str) -> str:
        """Who writes the output `root`."""
        return self._owners[root]

    def roots(self) -> Iterable[str]:
        """Every output's path."""
        return self._owners

    def overlapping(self, root: str) -> list[str]:
        """The outputs that `root` is, lies in, or contains, in DVC's order."""
        if above := self.above(root):
            return [above]
        return list(map(str, self._trie.values(prefix=tuple(root.split("/"))))) if root in self._above else []

    def above(self, path: str) -> str | None:
        """The output that `path` is or lies in; there is at most one, because outputs never overlap."""
        while path not in self._owners:
            path, _, name = path.rpartition("/")
            if not path or not name:
                return None
        return path


def collect(nodes: Iterable[Stage | DataFile], sites: Sites, findings: Findings) -> tuple[Outputs, bool]:
    """All outputs of `nodes`; overlaps are told, and make the second value False."""
    outputs = Outputs()
    sound = True
    for node in nodes:
        for out in node.outs:
            clash = outputs.add(out.root, node.address)
            if clash is None:
                continue
            sound = False
            if clash == out.root:
                message = text(
                    "“%(path)s” is written by %(one)s and by %(other)s",
                    path=out.root,
                    one=outputs.owner(clash),
                    other=node.address,
                )
                remedy = text("Let one of them write it, or give each a path of its own.")
                kind = "duplicate-output"
            else:
                message = text("“%(path)s” of %(other)s and “%(clash)s” of %(one)s lie inside each other",
                               path=out.root, other=node.address, clash=clash, one=outputs.owner(clash))  # fmt: skip
                remedy = text("Outputs must be apart: give each a directory or a file of its own.")
                kind = "overlapping-outputs"
            findings.add(kind, sites.place(node, ("out", out.root)), message, remedy)
    return outputs, sound


def build(nodes: Mapping[str, Stage | DataFile], outputs: Outputs, sites: Sites, findings: Findings) -> Graph | None:
    """The graph of `nodes` (in the order of DVC's walk), or None with every cycle told."""
    needs: dict[str, dict[str, None]] = {address: {} for address in nodes}
    for address, node in nodes.items():
        reads: list[Dependency | ParamsDependency] = [*node.deps, *node.params] if isinstance(node, Stage) else []
        for item in reads:
            needs[address].update(dict.fromkeys(outputs.owner(root) for root in outputs.overlapping(item.root)))
    if postorder(needs) is None:
        _tell_cycles(needs, nodes, sites, findings)
        return None
    upstream = {address: tuple(above) for address, above in needs.items()}
    order = postorder({address: () if nodes[address].frozen else above for address, above in needs.items()})
    return Graph(upstream, tuple(order or ()))


def postorder(needs: Mapping[str, Iterable[str]]) -> list[str] | None:
    """Every node behind all that it needs, as networkx.dfs_postorder_nodes gives them; None where there is a cycle.

    By hand: networkx takes a quarter of the time in which all of DVC's parser is imported, and every first command in
    a working copy waits for that.
    """
    ended: dict[str, bool] = {}  # False: entered, and somewhere above the node that is looked at
    order: list[str] = []
    for start in needs:
        if start in ended:
            continue
        ended[start] = False
        stack = [(start, iter(needs[start]))]
        while stack:
            node, rest = stack[-1]
            below = next(rest, None)
            if below is None:
                stack.pop()
                ended[node] = True
                order.append(node)
            elif below not in ended:
                ended[below] = False
                stack.append((below, iter(needs[below])))
            elif not ended[below]:
                return None
    return order


def _tell_cycles(
    needs: Mapping[str, Iterable[str]], nodes: Mapping[str, Stage | DataFile], sites: Sites, findings: Findings
) -> None:
    import networkx  # noqa: PLC0415 - see `postorder`; few projects have a cycle

    graph = networkx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from((address, above) for address, found in needs.items() for above in found)
    for members in networkx.strongly_connected_components(graph):
        if len(members) == 1 and not any(graph.has_edge(member, member) for member in members):
            continue
        cycle = [edge[0] for edge in networkx.find_cycle(graph.subgraph(members))]
        first = min(cycle, key=list(nodes).index)
        turn = cycle.index(first)
        names = [*cycle[turn:], *cycle[:turn], first]
        findings.add(
            "cycle", sites.place(nodes[first]),
            text("These need each other, so that none can start: %(cycle)s", cycle=" → ".join(names[:20])),
            text("Take one of the dependencies away, or split a stage in two."),
        )  # fmt: skip
