"""Pieces of which hostile files are made: names, values and bodies that honest projects do not have."""

from __future__ import annotations

from random import Random

WHERE = [
    "/etc/passwd", "/etc", "../../../../etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/x", "https://[::1]:1/x.git",
    "http://169.254.169.254/latest/meta-data", "ssh://-oProxyCommand=id/x", "ext::sh -c id", "s3://bucket/key", "~root/x",
    "-x", "--upload-pack=id", ".", "..", "", "a//b", "a/./b", "a/../b", "a/../../b", ".git/config", ".GIT/hooks/x",
    ".dvc/config", ".dvc/tmp/x", "a\nb", "a\rb", "a\0b", "\u202egpj.exe", "caf\u00e9", "cafe\u0301", "\ud7ff\ufeff", "x" * 300,
    "d/" * 150 + "x", "link/passwd", "loop/x", "up/x", "sub/x", "C:\\x", "\\\\host\\share", "CON", "a" * 5000, "$(id)", "`id`",
    "; id", "%s%n", "{{x}}", "${x}", "*", "[", "**/" * 50, "ds://x", "remote://x/y", "azure://x", "git@github.com:a/b.git",
]  # fmt: skip
"""Paths and addresses."""
HASHES = [
    "", "0", "zz", "../../../etc/passwd", "d41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427e.dir",
    "D41D8CD98F00B204E9800998ECF8427E", "a" * 32, "a" * 33, "a" * 100_000, "null", "1e9", "..", "aa/../../..", "\u0661" * 32,
]  # fmt: skip
VALUES = [
    "null", "~", "{}", "[]", "''", "1", "-1", "1e999", ".nan", "-.inf", "0x1f", "0o777", "99999999999999999999999999",
    "true", "2020-01-01", "2024-13-45", "2001-12-14t21:59:43.10-05:00", "!!binary aGk=", "!!set {a, b}", "!!omap [a: 1]",
    "!!python/object/apply:os.system [id]", "!!timestamp x", "!<tag:evil> x", "&a [*a]", "*gone", "<<: {a: 1}", "? [a, b]",
    "{a: 1, a: 2}", "{[a]: b}", "{1: 2, '1': 3}", "|\n    text\n", "'${x}'", "'${x.y[0]}'", "'${'", "'${${x}}'", '"\\x00"',
    '"\\ud800"', "12:30:45", "1_000", "0b1", "=", "<<", "{<<: [{a: 1}, {b: *x}]}", '"\\u2028"', "- - - - -", "%TAG ! x",
]  # fmt: skip
KEYS = [
    "cmd", "deps", "outs", "params", "metrics", "plots", "foreach", "do", "matrix", "vars", "wdir", "frozen", "meta", "desc",
    "always_changed", "stages", "datasets", "artifacts", "md5", "path", "size", "nfiles", "hash", "schema", "files", "isexec",
    "repo", "url", "rev", "rev_lock", "type", "cloud", "remote", "version_id", "<<", "null", "1", "''", "persist", "cache",
]  # fmt: skip


def flow(dice: Random, depth: int = 3) -> str:
    """Any value in one line of YAML, mostly with keys that mean something."""
    kind = dice.random()
    if depth == 0 or kind < 0.4:
        return dice.choice([*VALUES[:20], quoted(dice.choice(WHERE)), quoted(dice.choice(HASHES[:12]))])
    if kind < 0.7:
        return "[" + ", ".join(flow(dice, depth - 1) for _ in range(dice.randint(0, 4))) + "]"
    pairs = {dice.choice(KEYS): flow(dice, depth - 1) for _ in range(dice.randint(0, 4))}
    return "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"


def quoted(value: str) -> str:
    """A text as YAML that really holds these characters."""
    letters = (
        letter if " " <= letter <= "~" and letter not in '"\\' else f"\\U{ord(letter):08x}" for letter in value[:6000]
    )
    return '"' + "".join(letters) + '"'


def aliases(dice: Random) -> str:
    """Aliases of aliases: some lines that mean gigabytes."""
    width, depth = dice.choice([(2, 60), (10, 9), (100, 6), (1000, 3)])
    lines = ["a0: &a0 [" + ", ".join("x" * width) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * width) + "]" for n in range(1, depth)]
    return "\n".join(lines) + "\n"


def merges(dice: Random) -> str:
    """Merge keys of merge keys, which multiply as aliases do."""
    depth = dice.choice([5, 20, 200])
    lines = ["m0: &m0 {" + ", ".join(f"k{n}: {n}" for n in range(50)) + "}"]
    lines += [f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}], z{n}: {n}}}" for n in range(1, depth)]
    return "\n".join(lines) + "\n"


def nested(dice: Random) -> str:
    """Brackets, braces or indentation far deeper than any parser's stack."""
    depth = dice.choice([50, 65, 1000, 20_000])
    kind = dice.randrange(4)
    if kind == 0:
        return "a: " + "[" * depth + ("]" * depth if dice.random() < 0.5 else "") + "\n"
    if kind == 1:
        return "a: " + "{a: " * depth + "1" + "}" * depth + "\n"
    if kind == 2:
        return "".join(f"{' ' * n}a:\n" for n in range(min(depth, 1000)))
    return "- " * depth + "x\n"


def huge(dice: Random) -> str:
    """One scalar, key, line or comment of megabytes."""
    size = dice.choice([10_000] * 8 + [300_000, 9 << 20])
    return dice.choice(
        [
            "a: " + "x" * size, "? " + "k" * size + "\n: 1", "# " + "c" * size, "\n" * size,
            "a: '" + "''" * (size // 2), "a: " + "9" * size, "a: 0." + "0" * size + "1", " " * size + "a: 1", "a: |\n" + "  b\n" * (size // 4),
        ]
    )  # fmt: skip


def noise(dice: Random) -> bytes:
    """Bytes that are no text."""
    return dice.choice(
        [
            b"", b"\xff\xfe", b"\xef\xbb\xbfa: 1", b"\0" * 100, "a: 1".encode("utf-16"), b"\xed\xa0\x80: 1", b"a: \xc0\x80",
            dice.randbytes(dice.choice([1, 50, 3000])), b"\x1b]0;owned\x07: 1", b"a: b\r\nc: d\r", b"%YAML 9.9\n---\na: 1\n",
            b"\x85\xe2\x80\xa8a: 1",
        ]
    )  # fmt: skip


def yaml(dice: Random) -> bytes:
    """The whole of a YAML file, of one kind of harm."""
    maker = dice.choice([aliases, merges, nested, huge, flow, flow])
    if dice.random() < 0.15:
        return noise(dice)
    return maker(dice).encode("utf-8", "surrogatepass")
