"""Column types that mean the same in SQLite, PostgreSQL and MySQL."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import LargeBinary, String, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_LONG = 2**32 - 1  # MySQL cuts a plain TEXT and BLOB at 64 KiB; with this length it takes its LONG kinds


class LongText(TypeDecorator[str]):
    """Text for people, without a bound. What no database takes (NUL, lone surrogates) is replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """What is stored."""
        return None if value is None else _UNSTORABLE.sub("\ufffd", value)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type as `dialect` spells it."""
        return dialect.type_descriptor(Text(_LONG) if dialect.name in ("mysql", "mariadb") else Text())


class ShortText(TypeDecorator[str]):
    """Text for people that may stand in an index; what is longer is cut, what cannot be stored is replaced."""

    impl = String(255)
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """What is stored."""
        return None if value is None else _UNSTORABLE.sub("\ufffd", value)[:255]


class LongBytes(TypeDecorator[bytes]):
    """Bytes without a bound; in MySQL LONGBLOB."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type as `dialect` spells it."""
        return dialect.type_descriptor(LargeBinary(_LONG) if dialect.name in ("mysql", "mariadb") else LargeBinary())


class ExactText(TypeDecorator[str]):
    """A name that comes from git or YAML and is compared byte by byte, whatever is in it; kept as UTF-8 bytes."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type as `dialect` spells it."""
        return LongBytes().load_dialect_impl(dialect)

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> bytes | None:
        """What is stored."""
        return None if value is None else value.encode("utf-8", "surrogatepass")

    def process_result_value(self, value: bytes | None, _dialect: Dialect) -> str | None:
        """What was stored."""
        return None if value is None else bytes(value).decode("utf-8", "surrogatepass")
