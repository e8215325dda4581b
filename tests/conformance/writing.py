"""Writes values as YAML, JSON, TOML and Python in the many forms that people and programs give them.

Whatever is chosen, DVC's own reader reads from it what was meant: a form that it reads otherwise is not taken.
"""

from __future__ import annotations

import json
import random
import re
from typing import Any

import yaml
from dvc.utils.serialize import loads_yaml, parse_toml

_MERGE = "tag:yaml.org,2002:merge"
_RESOLVED = {
    "null": (r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    "bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    "int": (r"^(?:[-+]?0b[0-1_]+|[-+]?0?o?[0-7_]+|[-+]?[0-9][0-9_]*|[-+]?0x[0-9a-fA-F_]+)$", list("-+0123456789")),
    "float": (
        r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9_]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?\.inf|\.nan)$",
        list("-+0123456789."),
    ),
}  # fmt: skip
"""How YAML 1.2 takes a word without quotes: `yes` and `12:30` are texts there, and come without quotes."""


class Merge(str):
    """The key `<<`, below which stands a mapping that another one takes over."""

    __slots__ = ()


def expanded(values: Any) -> Any:
    """What a reader makes of values with merge keys in them."""
    if isinstance(values, dict):
        found = {key: expanded(value) for key, value in values.items() if not isinstance(key, Merge)}
        for key, value in values.items():
            if isinstance(key, Merge):
                found = expanded(value) | found
        return found
    return [expanded(value) for value in values] if isinstance(values, list) else values


def as_yaml(values: Any, rng: random.Random) -> str:
    """YAML of some style; what stands in two places may be written once, with an anchor."""
    meant = expanded(values)
    for _ in range(12):
        try:
            written = _yaml(values, rng)
            read = loads_yaml(written)
        except (yaml.YAMLError, ValueError):
            continue
        if same(read, meant):
            return written
    return json.dumps(meant, ensure_ascii=True, indent=1) + "\n"


def same(one: Any, other: Any) -> bool:
    """Whether values are the same, their types and the order of their keys too."""
    if isinstance(one, dict) and isinstance(other, dict):
        return sorted(map(str, one)) == sorted(map(str, other)) and all(same(one[key], other.get(key)) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def _yaml(values: Any, rng: random.Random) -> str:
    style = rng.choice(["block", "block", "block", "mixed", "flow", "quoted", "texts", "texts", "json"])
    if style == "json":
        return json.dumps(expanded(values), ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 2])) + "\n"
    texts = style == "texts"

    class Writer(yaml.SafeDumper):
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way

        def ignore_aliases(self, data: Any) -> bool:
            return not isinstance(data, dict | list)

    for tag, (pattern, first) in _RESOLVED.items():
        Writer.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)
    Writer.add_representer(Merge, lambda writer, _: writer.represent_scalar(_MERGE, "<<", style=""))
    Writer.add_implicit_resolver(_MERGE, re.compile("^<<$"), ["<"])
    Writer.add_representer(str, lambda writer, text: writer.represent_scalar(
        "tag:yaml.org,2002:str", text, style=rng.choice(["", "", "'", '"', "|", ">"]) if texts else None))  # fmt: skip
    Writer.add_representer(float, lambda writer, number: writer.represent_scalar(
        "tag:yaml.org,2002:float", _number(number, rng)))  # fmt: skip
    Writer.add_representer(int, lambda writer, number: writer.represent_scalar(
        "tag:yaml.org,2002:int", hex(number) if number > 9 and rng.random() < 0.3 else str(number)))  # fmt: skip
    written: str = yaml.dump(
        values, Dumper=Writer, sort_keys=False, width=rng.choice([20, 80, 80, 1000]), allow_unicode=rng.random() < 0.6,
        default_flow_style={"mixed": None, "flow": True}.get(style, False), explicit_start=rng.random() < 0.1,
        default_style='"' if style == "quoted" else None, indent=rng.choice([2, 4]),
    )  # fmt: skip
    if style == "block" and rng.random() < 0.5:
        lines = written.splitlines()
        written = "".join(
            f"{line}{rng.choice(['', '', '  # a comment', chr(10) + '# between'])}\n"
            if re.match(r"^ {0,2}[\w-]+:$", line) else f"{line}\n" for line in lines
        )  # fmt: skip
    return written


def _number(number: float, rng: random.Random) -> str:
    plain = repr(number)
    spelled = [plain, f"{number:e}", f"{number:G}", plain.replace("0.", ".", 1) if 0 < number < 1 else plain]
    found = rng.choice(spelled)
    return found if "." in found or "e" in found.lower() else plain


def as_json(values: Any, rng: random.Random) -> str:
    """JSON, in one line or in many."""
    return json.dumps(values, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1, 4])) + "\n"


def as_toml(values: dict[str, Any]) -> str:
    """TOML, the tables last."""
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    lines = [f"{json.dumps(key)} = {_toml_value(value)}" for key, value in plain.items()]
    for key, value in values.items():
        if isinstance(value, dict):
            lines += [f"[{key}]", *(f"{name} = {_toml_value(item)}" for name, item in value.items())]
    written = "\n".join(lines) + "\n"
    assert same(parse_toml(written, "values"), values), written
    return written


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml_value(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def as_python(values: dict[str, Any]) -> str:
    """A Python file: a mapping becomes a class, and what is in it the class's own values."""
    lines = ['"""Settings."""', "import os", ""]
    for key, value in values.items():
        if isinstance(value, dict):
            lines += ["", f"class {key}:", *(f"    {name} = {item!r}" for name, item in value.items()), ""]
        else:
            lines.append(f"{key} = {value!r}")
    return "\n".join(lines) + "\n"
