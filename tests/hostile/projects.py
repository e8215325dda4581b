"""Hostile projects from seeds: the files of one commit, by path. `python tests/hostile/projects.py SEED` prints one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from random import Random

from commits import EXECUTABLE, FILE, LINK, SUBMODULE, Files
from evil import HASHES, KEYS, VALUES, WHERE, flow, noise, quoted, yaml

DEFINITIONS = [
    "dvc.yaml", "dvc.lock", "params.yaml", "refmill.yaml", "data.dvc", ".dvcignore", ".dvc/config", ".gitattributes",
    ".gitmodules", "sub/dvc.yaml", "sub/dvc.lock", "sub/params.yaml", "more.json", "more.toml", "more.py", "requirements.txt",
    "sub/.dvcignore", "sub/.gitattributes", "README.md", "sub/x.dvc",
]  # fmt: skip
GOOD = {
    "dvc.yaml": b"stages:\n  a: {cmd: 'true', deps: [src, data], params: [lr, more.json: [k], more.toml: [k], more.py: [K]]}\n"
    b"  b: {cmd: 'true', deps: [src/link, sub], outs: [o]}\n",
    "params.yaml": b"lr: 1\n",
    "more.json": b'{"k": 1}',
    "more.toml": b"k = 1\n",
    "more.py": b"K = 1\n",
    "src/a.txt": b"a\n",
    ".dvc/config": b"",
}
"""A project that works, so that harm in one file is met by everything that reads the others."""


def make(seed: int) -> Files:
    """The project of a seed."""
    dice = Random(seed)
    files: Files = {name.encode(): (FILE, data) for name, data in GOOD.items()}
    for _ in range(dice.randint(1, 4)):
        dice.choice(HARMS)(dice, files)
    return files


def _stages(dice: Random, files: Files) -> None:
    """Stages whose every part may be anything."""
    lines = ["stages:"]
    for number in range(dice.randint(1, 5)):
        name = dice.choice([f"s{number}", quoted(dice.choice(WHERE)), "a", "<<"])
        lines.append(f"  {name}:")
        lines.append(f"    {dice.choice(['cmd: true', 'cmd: [echo a, echo b]', 'cmd: ' + flow(dice, 1)])}")
        keys = dice.sample(KEYS[1:13], dice.randint(0, 4))
        lines += [f"    {key}: {_paths(dice) if dice.random() < 0.6 else flow(dice)}" for key in keys]
    files[dice.choice([b"dvc.yaml", b"sub/dvc.yaml"])] = (FILE, _bytes("\n".join(lines)))


def _paths(dice: Random) -> str:
    return "[" + ", ".join(quoted(dice.choice(WHERE)) for _ in range(dice.randint(1, 4))) + "]"


def _loops(dice: Random, files: Files) -> None:
    """Loops that multiply, nest or go over themselves."""
    count = dice.choice([2, 10, 200, 10_000])
    items = "[" + ", ".join(map(str, range(count))) + "]"
    shape = dice.choice(
        [
            "matrix: {" + ", ".join(f"k{n}: {items}" for n in range(dice.choice([1, 2, 7]))) + "}",
            f"foreach: {items}\n    do: {{cmd: 'true ${{item}}', outs: ['${{item}}']}}",
            "foreach: ${all}\n    do: {cmd: '${item.${item}}'}", "matrix: {k: '${all}'}", f"matrix: {{k: {flow(dice)}}}",
        ]
    )  # fmt: skip
    body = f"stages:\n  m:\n    {shape}\n" + ("" if "do:" in shape else "    cmd: 'true ${item.k0} ${item.k}'\n")
    files[b"dvc.yaml"] = (FILE, _bytes(body))
    files[b"params.yaml"] = (FILE, _bytes(f"lr: 1\nall: {dice.choice([items, flow(dice), quoted('${all}')])}\n"))


def _templates(dice: Random, files: Files) -> None:
    """Variables in variables, and files of variables that are none."""
    sources = [quoted(dice.choice([*WHERE, "params.yaml:lr", "more.py", "dvc.yaml", "sub"])) for _ in range(3)]
    expression = dice.choice(
        ["${lr}", "${a}" * 5000, "${" * 500 + "}" * 500, "\\${a}", "${a.__class__}", "${0}", "${a[-1]}"]
    )
    body = f"vars: [{', '.join(sources)}, {flow(dice, 2)}]\nstages:\n  t: {{cmd: {quoted('echo ' + expression)}}}\n"
    files[b"dvc.yaml"] = (FILE, _bytes(body))


def _lock(dice: Random, files: Files) -> None:
    """A lock with hashes and paths that are none."""
    items = [
        "{{path: {}, md5: {}, size: {}, hash: {}, nfiles: {}}}".format(
        quoted(dice.choice(WHERE)), quoted(dice.choice(HASHES)), dice.choice(VALUES[:18]), dice.choice(["md5", "sha256", "[]"]),
           dice.choice(VALUES[:10]))
        for _ in range(dice.randint(1, 4))
    ]  # fmt: skip
    body = f"schema: {dice.choice(['2.0', quoted('2.0'), *VALUES[:8]])}\nstages:\n"
    for stage in ("a", "b"):
        part = dice.choice(["deps", "outs"])
        body += f"  {stage}: {{cmd: 'true', {part}: [{', '.join(items)}], params: {flow(dice, 2)}}}\n"
    files[b"dvc.lock"] = (FILE, _bytes(body))


def _pointer(dice: Random, files: Files) -> None:
    """A .dvc file that points outside, elsewhere, or at nothing that can be."""
    where, md5 = quoted(dice.choice(WHERE)), quoted(dice.choice(HASHES))
    good = f"outs:\n- {{path: data, md5: {md5}, hash: md5}}\n"
    body = dice.choice(
        [
            f"outs:\n- {{path: {where}, md5: {md5}, size: {dice.choice(VALUES[:14])}, hash: md5}}\n",
            f"deps:\n- {{path: {where}, md5: {md5}, hash: md5}}\nouts:\n- {{path: data, md5: {md5}, hash: md5}}\n",
            f"deps:\n- path: {where}\n  repo: {{url: {quoted(dice.choice(WHERE))}, rev: {where}, rev_lock: {md5}}}\n{good}",
            f"wdir: {where}\nouts:\n- {{path: data, md5: {md5}, hash: md5}}\n",
            f"outs:\n- {{path: data, md5: {md5}, cloud: {flow(dice)}, files: {flow(dice)}, remote: {where}}}\n",
            f"md5: {md5}\nfrozen: {flow(dice, 1)}\nouts: {flow(dice)}\n",
        ]
    )  # fmt: skip
    files[dice.choice([b"data.dvc", b"sub/data.dvc", b".dvc", b"\xff.dvc", b"a\nb.dvc"])] = (FILE, _bytes(body))


def _settings(dice: Random, files: Files) -> None:
    """A refmill.yaml that asks for everything, or for nothing that there is."""
    spec = ", ".join(
        f"{key}: {dice.choice([flow(dice, 2), quoted(dice.choice(WHERE)), '1e99', '-1'])}"
        for key in dice.sample(["image", "resources", "retries", "timeout", "env", "secrets", "requirements", "stages", "on",
                                "results", "onError", "priority", "notify", "zzz"], 4)
    )  # fmt: skip
    head = dice.choice(["apiVersion: refmill/v1\nkind: Pipeline\n", "kind: Pipeline\n", "kind: [x]\n", ""])
    body = (head + f"metadata: {{name: {flow(dice, 1)}}}\nspec: {{{spec}}}\n---\n") * dice.choice([1, 1, 2, 150])
    files[b"refmill.yaml"] = (FILE, _bytes(body))


def _patterns(dice: Random, files: Files) -> None:
    """Patterns of .dvcignore that a backtracking matcher dies of, or that hide everything."""
    lines = [dice.choice(["**/" * 60 + "x", "*a" * 100, "[z-a]", "[" * 300, "x\\", "!*", "/**/", "a" * 70_000, "\u202e", "#"])
             for _ in range(dice.choice([1, 3, 30]))]  # fmt: skip
    if dice.random() < 0.1:
        lines = [f"p{number}" for number in range(200_000)]
    files[dice.choice([b".dvcignore", b"sub/.dvcignore", b"src/.dvcignore"])] = (FILE, _bytes("\n".join(lines)))
    files[b"a" * 200 + b"/" + b"a" * 200] = (FILE, b"x")


def _attributes(dice: Random, files: Files) -> None:
    """.gitattributes that convert, filter, include or are simply long."""
    line = dice.choice(
        ["* text eol=crlf", "* ident", "* working-tree-encoding=UTF-16", "* working-tree-encoding=" + "x" * 1000, "* filter=evil",
         "* working-tree-encoding=//TRANSLIT", "[attr]x eol=crlf\n* x", "* eol=crlf working-tree-encoding=UTF-7", "*" * 3000 + " ident"]
    )  # fmt: skip
    files[dice.choice([b".gitattributes", b"src/.gitattributes", b"src/" + b"n" * 300 + b"/.gitattributes"])] = (
        FILE, _bytes(f"{line}\n" * dice.choice([1, 1, 50_000])),
    )  # fmt: skip
    files[b"src/" + b"n" * 300 + b"/x"] = (FILE, b"$Id$\n")


def _links(dice: Random, files: Files) -> None:
    """Symbolic links out of the tree, in circles, through folders, as definitions; submodules in the way."""
    targets = [
        "/etc/passwd",
        "/",
        "..",
        "../..",
        ".",
        "loop",
        "src",
        "up/up/up",
        "a\0b",
        "x" * 5000,
        "",
        "\udcff",
        "/proc/self/mem",
    ]
    for name in dice.sample(["src/link", "loop", "up", "link", "dvc.yaml", "dvc.lock", "params.yaml", ".dvc", "data.dvc", "sub",
                             ".gitattributes", ".dvcignore", "refmill.yaml", "requirements.txt"], dice.randint(1, 4)):  # fmt: skip
        _clear(files, name.encode())
        if dice.random() < 0.2:
            files[name.encode()] = (SUBMODULE, b"1" * 20)
        else:
            files[name.encode()] = (LINK, dice.choice(targets).encode("utf-8", "surrogateescape"))
    files.setdefault(b"dvc.yaml", (FILE, b"stages:\n  a: {cmd: 'true', deps: [src, link/passwd, up/x, loop, sub]}\n"))


def _clear(files: Files, name: bytes) -> None:
    """Take away what lies below `name`, so that it can be a file."""
    for path in [path for path in files if path.startswith(name + b"/")]:
        del files[path]


def _names(dice: Random, files: Files) -> None:
    """Names that disks, terminals, URLs or people take for something else."""
    for name in dice.sample(WHERE, 6):
        parts = [part for part in name.split("/") if part not in ("", ".", "..") and part.lower() != ".git"]
        path = "/".join(["src", *parts[:40]]).replace("\0", "\\0")[:4000]
        files[path.encode("utf-8", "surrogatepass")] = (dice.choice([FILE, EXECUTABLE, LINK]), b"x")
    files[b"src/\xff\xfe\x80"] = (FILE, b"not utf-8\n")
    files["src/caf\u00e9".encode()] = (FILE, b"composed\n")
    files["src/cafe\u0301".encode()] = (FILE, b"decomposed\n")
    files[b"SRC/A.TXT"] = (FILE, b"case\n")


def _many(dice: Random, files: Files) -> None:
    """Very many files, or folders in folders."""
    if dice.random() < 0.5:
        files.update({b"src/%d" % number: (FILE, b"x") for number in range(dice.choice([100, 5000]))})
    else:
        files[b"src/" + b"d/" * dice.choice([60, 250, 300]) + dice.choice([b"x", b"dvc.yaml", b"x.dvc"])] = (
            FILE,
            b"stages: {}\n",
        )


def _big(dice: Random, files: Files) -> None:
    """A file of zeros, which is small in a pack."""
    size = dice.choice([300_000] * 6 + [9 << 20, 17 << 20])
    name = dice.choice([*DEFINITIONS, "src/big"]).encode()
    if not any(path.startswith(name + b"/") for path in files):
        files[name] = (FILE, b"\0" * size)


def _any(dice: Random, files: Files) -> None:
    """Any definition with any content."""
    name = dice.choice(DEFINITIONS).encode()
    if not any(path.startswith(name + b"/") for path in files):
        files[name] = (FILE, noise(dice) if dice.random() < 0.3 else yaml(dice))


def _bytes(words: str) -> bytes:
    return words.encode("utf-8", "surrogatepass")


HARMS: list[Callable[[Random, Files], None]] = [
    _stages, _stages, _loops, _templates, _lock, _lock, _pointer, _pointer, _settings, _patterns, _attributes, _links, _links,
    _names, _many, _big, _any, _any, _any,
]  # fmt: skip


def shown(seed: int) -> str:
    """A project as people can read it."""
    return "\n".join(
        f"{oct(mode)} {path!r}: {len(data)} bytes {data[:2000]!r}" for path, (mode, data) in make(seed).items()
    )


if __name__ == "__main__":
    sys.stdout.write(shown(int(sys.argv[1])) + "\n")
