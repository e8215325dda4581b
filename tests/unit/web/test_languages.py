"""In which language pages answer, and that every sentence of theirs has a translation."""

from pathlib import Path

import pytest

import messages
from fakes.web_world import World, post
from refmill.clients.catalogues import LOCALE, script_messages, translate, translations
from refmill.model.people import Repository
from refmill.texts import text

PAGES = ("web/refmill_web/pages", "web/refmill_web/views", "web/canvas", "web/refmill_web/display.py",
         "web/refmill_web/reports.py", "web/refmill_web/failures.py", "web/refmill_web/auth.py",
         "web/refmill_web/csrf.py", "web/refmill_web/shell.py", "web/refmill_web/content.py",
         "web/refmill_web/addresses.py", "web/refmill_web/assets.py", "platform/refmill/plans")  # fmt: skip
CATALOGUE = Path(LOCALE, "zh", "LC_MESSAGES", "refmill.po")


def test_every_sentence_of_the_pages_is_translated_and_none_is_stale() -> None:
    bad = messages.faults(CATALOGUE, messages.template())
    mine = [fault for fault in bad if any(part in fault for part in PAGES)]
    assert not mine, "run tools/messages.py and translate what is new"


def test_a_new_sentence_and_a_stale_one_are_found() -> None:
    catalogue = messages.template()
    catalogue.add("A sentence nobody translated", locations=[("web/refmill_web/pages/x.html", 0)])
    catalogue.delete("Outputs")
    bad = messages.faults(CATALOGUE, catalogue)
    assert any("A sentence nobody translated" in fault for fault in bad)
    assert "stale: 'Outputs' of web/refmill_web/pages/run_results.html" in bad


@pytest.mark.parametrize(
    ("accepted", "words"), [("zh-CN,zh;q=0.9", "登录"), ("zh", "登录"), ("de-DE,en;q=0.8", "Sign in"), ("", "Sign in")]
)
def test_the_browser_is_asked(world: World, accepted: str, words: str) -> None:
    page = world.browser(None, accepted).get("/login").text
    assert words in page
    assert ('lang="zh-CN"' in page.partition("<head>")[0]) == (words == "登录")


def test_a_choice_stays_in_the_cookie_and_in_the_profile(world: World) -> None:
    client = world.browser(None)
    assert post(client, "/settings/language", language="zh", next="/login") == 303
    assert "登录" in client.get("/login").text
    assert post(client, "/settings/language", language="xx") == 400

    bob = world.browser("bob")
    assert post(bob, "/settings/language", language="zh") == 303
    found = world.records.people.find("bob")
    assert found
    assert found.language == "zh"
    assert "仓库" in world.browser("bob").get("/").text, "another browser of his, too"
    assert post(bob, "/settings/language", language="en") == 303


def test_a_run_page_in_chinese_has_chinese_reasons_and_script_texts(world: World, churn: Repository) -> None:
    run = world.run(churn)
    page = world.browser("alice", "zh-CN").get(f"/{churn.full_name}/runs/{run.number}?stage=prepare").text
    assert "缓存原因：" in page
    assert "所依赖的内容都没有变" in page
    assert "运行中 1 / 2" in page
    assert script_messages("zh")["following"] == "跟随中"
    assert "following" not in script_messages("en")


def test_sentences_inside_of_sentences_are_translated_too() -> None:
    outer = text("Run #%(number)s cannot do that any more: it is %(status)s.", number=3, status=text("stopped"))
    assert outer.to(translate("zh")) == "运行 #3 已不能这样做：它的状态是“已停止”。"
    assert translations("xx").gettext("Metrics") == "Metrics"
