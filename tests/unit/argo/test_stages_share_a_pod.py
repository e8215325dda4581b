"""Which stages share a pod, held against a model that tries every chain there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmill_argo.fusing import LOOK_AHEAD, Link, chains


@st.composite
def graphs(draw: st.DrawFn) -> list[Link]:
    """Up to nine stages; most are of one kind, and each needs some before it."""
    return [
        Link(
            tuple(sorted(draw(st.sets(st.integers(max(0, number - 3), number - 1), max_size=2)))) if number else (),
            draw(st.sampled_from("aaab")), draw(st.sampled_from([True] * 4 + [False])),
            draw(st.sampled_from([False] * 4 + [True])),
        )
        for number in range(draw(st.integers(1, 9)))
    ]  # fmt: skip


def users(links: Sequence[Link], number: int) -> set[int]:
    return {user for user, link in enumerate(links) if number in link.needs}


def whole(links: Sequence[Link], chain: Sequence[int]) -> bool:
    """What a chain is, word by word."""
    first = links[chain[0]]
    return (
        all(before in links[after].needs for before, after in pairwise(chain))
        and all(set(links[number].needs) <= set(chain[:at]) for at, number in enumerate(chain) if at)
        and all(users(links, number) <= set(chain[at + 1 :]) for at, number in enumerate(chain[:-1]))
        and (len(chain) == 1 or all(links[number].joins and links[number].kind == first.kind for number in chain))
        and not any(links[number].first for number in chain[1:])
    )


def all_from(links: Sequence[Link], chain: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    yield chain
    for user in users(links, chain[-1]):
        yield from all_from(links, (*chain, user))


@given(graphs())
def test_pods_are_the_longest_chains(links: list[Link]) -> None:
    expected, taken = [], set[int]()
    for number in range(len(links)):
        if number not in taken:
            chain = max((chain for chain in all_from(links, (number,)) if whole(links, chain)), key=len)
            taken.update(chain)
            expected.append(chain)
    assert chains(links) == expected


@given(graphs())
def test_a_pod_comes_after_those_that_it_needs(links: list[Link]) -> None:
    found = chains(links)
    assert sorted(number for chain in found for number in chain) == list(range(len(links)))
    pod = {number: at for at, chain in enumerate(found) for number in chain}
    for number, link in enumerate(links):
        for need in link.needs:
            assert pod[need] <= pod[number]
            assert pod[need] == pod[number] or need == found[pod[need]][-1]


@pytest.mark.parametrize(
    ("needs", "pods"),
    [
        ([(), (0,), (1,)], [(0, 1, 2)]),
        ([(), (0,), (1,), (1, 2)], [(0, 1, 2, 3)]),  # the last one needs two, both in its pod
        ([(), (0,), (0,)], [(0,), (1,), (2,)]),  # those two could run side by side
        ([(), (), (0, 1)], [(0,), (1,), (2,)]),
        ([(), (0,), (), (1, 2)], [(0, 1), (2,), (3,)]),
        ([(), (0,), (1,), (0,)], [(0,), (1, 2), (3,)]),  # somebody else waits for the first
    ],
)
def test_chains_that_people_write(needs: list[tuple[int, ...]], pods: list[tuple[int, ...]]) -> None:
    assert chains([Link(mine, "k") for mine in needs]) == pods


def test_five_thousand_in_a_row_are_one_pod() -> None:
    assert chains([Link((number - 1,) if number else (), "k") for number in range(5000)]) == [tuple(range(5000))]


def test_a_chain_whose_end_is_too_far_is_given_up() -> None:
    far = LOOK_AHEAD + 5
    links = [Link((number - 1,) if number else (), "k") for number in range(far)]
    assert chains([*links, Link((0, far - 1), "k")])[0] == (0,)
