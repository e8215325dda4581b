"""Sentences that depend on a count, in English, 简体中文, and a language with three forms."""

import gettext
import io

import pytest
from babel.messages import mofile, pofile

from refmill.clients import codec
from refmill.clients.catalogues import Lookup, translate
from refmill.texts import Text, counted, text


def objects(count: int) -> Text:
    return counted("%(count)s object missing", "%(count)s objects missing", count)


@pytest.mark.parametrize(("count", "said"), [(0, "0 objects"), (1, "1 object"), (2, "2 objects"), (21, "21 objects")])
def test_english_has_two_forms_with_and_without_a_catalogue(count: int, said: str) -> None:
    assert str(objects(count)) == objects(count).to(translate("en")) == f"{said} missing"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_chinese_has_one_form(count: int) -> None:
    assert objects(count).to(translate("zh")) == f"缺少 {count} 个对象"


def test_a_language_has_the_forms_of_its_catalogue() -> None:
    catalogue = pofile.read_po(
        io.BytesIO(
            b'msgid ""\nmsgstr "Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n>=2 && n<=4 ? 1 : 2);\\n"\n\n'
            b'msgid "%(count)s object missing"\nmsgid_plural "%(count)s objects missing"\n'
            b'msgstr[0] "%(count)s a"\nmsgstr[1] "%(count)s b"\nmsgstr[2] "%(count)s c"\n'
        ),
        locale="cs",
    )
    compiled = io.BytesIO()
    mofile.write_mo(compiled, catalogue)
    compiled.seek(0)
    lookup = Lookup(gettext.GNUTranslations(compiled))
    assert [objects(count).to(lookup) for count in (1, 3, 5)] == ["1 a", "3 b", "5 c"]


def test_it_keeps_its_forms_inside_another_sentence_and_in_the_database() -> None:
    told = text("it could not go on: %(detail)s", detail=objects(1))
    assert str(told) == "it could not go on: 1 object missing"
    assert codec.from_json(Text, codec.to_json(objects(1))) == objects(1)
    assert codec.from_json(Text, '{"english": "plain", "values": {}}') == text("plain")
