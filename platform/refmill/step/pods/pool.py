"""The same work for many things, by a few threads."""

from __future__ import annotations

import threading
from typing import Callable, Iterable, List, TypeVar

WORKERS = 8  # enough to hide the way to a store; more only takes memory

T = TypeVar("T")


def each(work: Callable[[T], object], items: Iterable[T], workers: int = WORKERS) -> None:
    """Do `work` for each item; after the first error nothing new begins, and it is raised."""
    left = list(items)
    left.reverse()
    if len(left) < 2:
        for item in left:
            work(item)
        return
    errors: List[BaseException] = []

    def run() -> None:
        while not errors:
            try:
                item = left.pop()
            except IndexError:
                return
            try:
                work(item)
            except BaseException as error:  # noqa: BLE001 - it is raised where it was asked for
                errors.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(min(workers, len(left)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
