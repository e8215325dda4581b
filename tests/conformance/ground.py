"""What a random project stands on: files of git, tracked data, links, parameters, variables, and what is ignored."""

from __future__ import annotations

import posixpath
import random
import shlex
from dataclasses import dataclass, field
from typing import Any

from writing import as_json, as_python, as_toml, as_yaml

WORDS = [
    "a", "b2", "model", "x-y", "under_score", "UPPER", "with space", "it's", "ümlaut", "数据", "dot.ted", "#hash", "1",
    "007", "null", "true", "no", "x1e3", "plus+", "comma,", "at@", "tilde~", "per%cent", "back`tick", "semi;colon",
    "[list]", "{map}", "star*", "what?", "a=b", "(round)", "and&", 'quo"te', "!bang", "-dash", "1.50", "😀", "e\u0301",
    "dol$lar", "12:30", "~t", "> x", "| y", "%z",
]  # fmt: skip
"""Names of files; of keys and stages only those that DVC takes."""
PLAIN = [
    "fit", "prepare", "b2", "x-y", "under_score", "UPPER", "z9", "last", "One", "t-1", "2nd", "true", "null", "no", "7",
]  # fmt: skip
VALUES = [
    0, 1, -7, 255, 2.5, 1e-3, 1.0, 1e20, True, False, "text", "two words", "", "yes", "1.0", "ü", "a: b", "#", "it's",
    "a rather long text, longer than eighty characters, that a writer of YAML may want to break somewhere", "0x1F",
    "[x]", "12:30:45", "数据 😀", "two\nlines\n", " blank ", "null", "- x", "100%", "&a", "*a", "!t",
]  # fmt: skip
SHOWN = [0, 1, -7, 2.5, 1e-3, 1.0, True, False, "text", "x1", "yes", "1e3", "ü"]
"""Values that may stand in a command."""
TEXTS = ["", "one\n", "one\ntwo\n", "ü\n", "no end", "{}\n", "a\tb\n"]
FORMS = {"more.json": "json", "conf.toml": "toml", "other.yaml": "yaml", "given.py": "python"}


@dataclass(slots=True)
class Output:
    """What a stage may read: its path from the root, the files in it, if it is a directory, and the parts of it that
    may be read alone. `made` by a stage, it may be taken away."""

    path: str
    inside: tuple[str, ...] = ()
    made: bool = False


@dataclass(slots=True)
class Ground:
    """A project as it grows. `marks` says how a file is written (see `archive`), `do` what is done before the commit;
    `plain` are files of git that may be changed, `tracked` those that DVC tracks by the .dvc files
    `tracks`."""

    rng: random.Random
    files: dict[str, str] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    do: list[str] = field(default_factory=list)
    there: list[Output] = field(default_factory=list)
    params: dict[str, dict[str, Any]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    plain: list[str] = field(default_factory=list)
    tracked: list[str] = field(default_factory=list)
    tracks: list[str] = field(default_factory=list)
    ignored: bool = False

    def chance(self, share: float) -> bool:
        """Whether something that happens in this share of the cases happens now."""
        return self.rng.random() < share

    def new(self, words: list[str], folder: str = "", ending: str = "") -> str:
        """A path that nothing has yet; no two differ in case only."""
        while True:
            name = self.rng.choice(words) + (str(self.rng.randrange(100)) if self.chance(0.6) else "") + ending
            path = posixpath.join(folder, name)
            if path.lower() not in self.used:
                self.used.add(path.lower())
                return path

    def sources(self) -> None:
        """Files and directories in git, data that DVC tracks, and links to them."""
        for _ in range(self.rng.randint(1, 3)):
            path = self.new(WORDS, self.rng.choice(["", "", "src", "src/deep"]))
            self.files[path] = self.rng.choice(TEXTS)
            if self.chance(0.15) and "\n" in self.files[path]:
                self.marks[path] = "crlf"
            self.plain.append(path)
            self.there.append(Output(path))
        if self.chance(0.4):
            self.plain += self._folder(self.new(WORDS))
        if self.chance(0.25):
            self._tracked()
        if self.chance(0.15):
            target = self.rng.choice(self.plain)
            link = self.new(["link", "li nk"])
            self.links[link] = target
            self.there.append(Output(link))
        if self.chance(0.08):
            self._converted()

    def _converted(self) -> None:
        """Files whose line ends git changes in a checkout."""
        self.files[".gitattributes"] = self.rng.choice(["src/** text eol=crlf\n", "src/* text eol=crlf\n"])
        again = "git rm -rq --cached . && git reset -q --hard"
        self.do.append(f"git add --all && git commit -qm attributes && {again}")

    def _folder(self, folder: str) -> list[str]:
        inside = tuple(self.rng.sample(WORDS, 3))
        for name in inside:
            self.files[f"{folder}/{name}"] = f"{name}\n"
        self.there.append(Output(folder, inside))
        if self.chance(0.4):
            self.ignored = True
            self.files[f"{folder}/left.out"] = "nobody sees it\n"
            self.files[f"{folder}/old/x"] = "nor this\n"
        return [f"{folder}/{name}" for name in inside]

    def _tracked(self) -> None:
        path = self.new(WORDS, self.rng.choice(["", "data"]))
        if self.chance(0.5):
            self.tracked += self._folder(path)
        else:
            self.files[path] = "tracked\n"
            self.tracked.append(path)
            self.there.append(Output(path))
        self.do.append(f"dvc add --quiet -- {shlex.quote(path)}")
        self.tracks.append(path + ".dvc")

    def settings(self) -> None:
        """Parameter files of several forms. `…deep` and `…list` are always there."""
        names = ["params.yaml", *self.rng.sample(list(FORMS), self.rng.randint(0, 2))]
        for file in names + (["sub/params.yaml"] if self.chance(0.4) else []):
            prefix, form = prefix_of(file), form_of(file)
            names = [name for name in PLAIN if form != "python" or name.isidentifier()]
            values = [value for value in VALUES if form == "yaml" or value != 1e20]
            self.params[file] = {
                f"{prefix}_{name}": self.rng.choice(values) for name in self.rng.sample(names, self.rng.randint(1, 4))
            } | {
                f"{prefix}deep": {"er": {"lr": self.rng.choice(SHOWN)}, "name": self.rng.choice(SHOWN)},
                f"{prefix}list": [self.rng.choice(SHOWN) for _ in range(self.rng.randint(1, 3))],
            }
            if form == "yaml" and self.chance(0.3):
                self.params[file][f"{prefix}again"] = self.params[file][f"{prefix}deep"]
            self.files[file] = self.written(self.params[file], file)
            if self.chance(0.1):
                self.marks[file] = "crlf"
        if self.ignored or self.chance(0.1):
            self.files[".dvcignore"] = self.rng.choice(["*.out\nold/\n", "# none of these\nleft.*\n**/old\n"])

    def written(self, values: Any, file: str) -> str:
        """Values in a file's form."""
        form = form_of(file)
        if form == "toml":
            return as_toml(values)
        if form == "python":
            return as_python(values)
        return as_json(values, self.rng) if form == "json" else as_yaml(values, self.rng)


def form_of(file: str) -> str:
    """What a file of values is written in."""
    return FORMS.get(posixpath.basename(file), "yaml")


def prefix_of(file: str) -> str:
    """What the keys of a file begin with, by which no two files have the same key."""
    return "s" if "/" in file else file[0]
