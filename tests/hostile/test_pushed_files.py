"""Files of each kind of harm, by their names: what is said about them, and how soon. Generated ones meet more of them."""

from __future__ import annotations

import pytest
from commits import FILE, LINK, SUBMODULE, Files, Repository
from raw import push
from watching import Watch

from platforms import Platform
from refmill.clients.resolver import SocketResolver
from refmill.ports.resolver import Source

STAGE = b"stages:\n  a: {cmd: 'true', %s}\n"
M50 = b", ".join(b"k%d: 1" % number for number in range(50))
MERGES = b"m0: &m0 {%s}\n" % M50 + b"".join(
    b"m%d: &m%d {<<: [%s]}\n" % (new, new, b", ".join([b"*m%d" % (new - 1)] * 50)) for new in range(1, 9)
)
TEN = b", ".join(b"k%d: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" % number for number in range(7))
OUT = b"outs:\n- {path: x, md5: d41d8cd98f00b204e9800998ecf8427e, hash: md5}\n"
FILES: dict[str, tuple[dict[bytes, bytes | tuple[int, bytes]], str]] = {
    "deep nesting": ({b"dvc.yaml": b"a: " + b"[" * 20_000}, "nested more than 64 levels deep"),
    "a huge scalar": (
        {b"dvc.yaml": STAGE % b"params: [a]", b"params.yaml": b"a: " + b"x" * (9 << 20)},
        "has 9437187 bytes; at most 8388608 are read",
    ),
    "a key twice": ({b"dvc.yaml": STAGE % b"" + b"  a: {cmd: y}\n"}, "stands here a second time"),
    "merge keys that multiply": (
        {b"dvc.yaml": STAGE % b"params: [m0]", b"params.yaml": MERGES},
        "too large when their aliases are expanded",
    ),
    "a matrix of 10^7": (
        {b"dvc.yaml": b"stages:\n  m: {matrix: {%s}, cmd: x}\n" % TEN},
        "The project has more than 5000 stages",
    ),
    "a loop over itself": (
        {b"dvc.yaml": b"stages:\n  a: {foreach: '${l}', do: {cmd: '${item.${item}}'}}\n", b"params.yaml": b"l: ['${l}']\n"},
        "There is no variable",
    ),
    "a link as a pipeline": ({b"dvc.yaml": (LINK, b"/etc/passwd")}, "This is a link or a submodule"),
    "a submodule as a pipeline": ({b"dvc.yaml": (SUBMODULE, b"1" * 20)}, "This is a link or a submodule"),
    "a link as a lock": ({b"dvc.yaml": STAGE % b"", b"dvc.lock": (LINK, b"../../etc/passwd")}, "cannot be read"),
    "a link as parameters": (
        {b"dvc.yaml": STAGE % b"params: [root]", b"params.yaml": (LINK, b"/etc/passwd")},
        "there is no file “params.yaml” in this commit",
    ),
    "an output through a link": ({b"dvc.yaml": STAGE % b"outs: [up/x]", b"up": (LINK, b"..")}, "behind a symbolic link"),
    "a directory that is a link": (
        {b"dvc.yaml": STAGE % b"wdir: up, outs: [x]", b"up": (LINK, b"/tmp")},
        "behind a symbolic link",
    ),
    ".dvc: /etc": ({b"x.dvc": OUT.replace(b"path: x", b"path: /etc/passwd")}, "lies outside of the repository"),
    ".dvc: a working directory": ({b"x.dvc": b"wdir: /etc\n" + OUT}, "lies outside of the repository"),
    ".dvc: an absurd hash": ({b"x.dvc": OUT.replace(b"d41d", b"../../")}, "x.dvc"),
    ".dvc: NUL": ({b"x.dvc": OUT.replace(b"path: x", b'path: "x\\0y"')}, "x.dvc"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_a_harmful_file_is_refused_in_words(
    watched: Watch, platform: Platform, repository: Repository, kind: str
) -> None:
    files, told = FILES[kind]
    made: Files = {path: data if isinstance(data, tuple) else (FILE, data) for path, data in files.items()}
    resolver = SocketResolver(platform.data / "run/resolver.sock")
    found = resolver.check(Source(repository.path, repository.commit(made)))
    assert any(told in f"{problem.place} {problem.message}" for problem in found.problems), found.problems


HASH = b"d41d8cd98f00b204e9800998ecf8427e"
LOCKED = {
    b"short": b"path: short, md5: zz, size: 1",
    b"elsewhere": b"path: elsewhere, md5: ../../../../etc/passwd, size: 1",
    b"long": b"path: long, md5: %s, size: 1" % (b"a" * 100_000),
    b"absolute": b"path: /etc/passwd, md5: %s, size: 1" % HASH,
    b"above": b"path: ../../above, md5: %s, size: 1" % HASH,
    b"nul": b'path: "nul\\0x", md5: %s, size: 1' % HASH,
    b"small": b"path: small, md5: %s, size: -1" % HASH,
    b"large": b"path: large, md5: %s, size: 99999999999999999999999" % HASH,
}
"""What stands in the lock for the output of the stage of that name."""


def test_a_lock_of_absurd_hashes_and_paths_is_as_good_as_none(
    watched: Watch, platform: Platform, name: str, repository: Repository
) -> None:
    stages = b"".join(b"  %s: {cmd: echo %s > %s, outs: [%s]}\n" % (out, out, out, out) for out in LOCKED)
    entries = b"".join(
        b"  %s: {cmd: echo %s > %s, outs: [{hash: md5, %s}]}\n" % (out, out, out, inner)
        for out, inner in LOCKED.items()
    )
    files: Files = {
        b"dvc.yaml": (FILE, b"stages:\n" + stages),
        b"dvc.lock": (FILE, b"schema: '2.0'\nstages:\n" + entries),
    }
    push(platform, name, repository, files)
    assert platform.ended(f"alice/{name}")["status"] == "succeeded"
