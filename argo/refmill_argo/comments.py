"""What a run's manifests do not say, for people who read them: which stages a pod runs, and their commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from refmill.model.plans import Plan
from refmill.texts import Text, Translate, text
from refmill_argo.pods import Pod, stuck


def comments(plan: Plan, pods: Iterable[Pod], say: Translate) -> str:
    """Lines that begin with “#”, whatever names and commands hold."""
    return "".join(
        f"# {line}".rstrip() + "\n" for sentence in _lines(plan, list(pods), say) for line in _safe(sentence)
    )


def _lines(plan: Plan, pods: list[Pod], say: Translate) -> Iterator[str]:
    def told(sentence: Text) -> str:
        return sentence.to(say)

    stages = sum(len(pod.stages) for pod in pods)
    yield told(text("stages: %(stages)s, pods: %(pods)s", stages=stages, pods=len(pods)))
    if cached := [item.stage.address for item in plan.stages if item.verdict == "cached"]:
        yield told(text("cached, without a pod: %(names)s", names=", ".join(cached)))
    if blocked := [item.stage.address for item in stuck(plan)]:
        yield told(text("cannot run: %(names)s", names=", ".join(blocked)))
    for pod in pods:
        yield f"s{pod.number:04d}"
        if pod.pause:
            yield "  " + told(text("waits for consent"))
        for item in pod.stages:
            yield f"  {item.stage.address}"
            yield from (f"    {line}" for command in item.stage.commands for line in command.split("\n"))


def _safe(sentence: str) -> Iterator[str]:
    """The lines of `sentence`. Whatever else YAML may take for the end of one, or a terminal for an order, is spelt."""
    for line in sentence.split("\n"):
        yield "".join(
            character if character.isprintable() or character == "\t" else character.encode("unicode_escape").decode()
            for character in line
        )
