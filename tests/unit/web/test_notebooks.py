"""Notebooks as pages: cells, outputs and pictures; and harmless whatever somebody pushed."""

import base64
import itertools
import json
import re
from pathlib import Path

import pytest
from markupsafe import Markup

from fakes.web_world import World
from refmill.model.pipelines import Output
from refmill_web import notebooks

PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n0000").decode()


def notebook(*cells: dict[str, object]) -> str:
    info = {"language_info": {"name": "python", "file_extension": ".py"}}
    return json.dumps({"cells": cells, "metadata": info, "nbformat": 4, "nbformat_minor": 5})


def code(source: str, *outputs: dict[str, object], tags: tuple[str, ...] = ()) -> dict[str, object]:
    return {
        "cell_type": "code", "source": source.splitlines(keepends=True), "execution_count": 7, "outputs": list(outputs),
        "metadata": {"tags": list(tags)},
    }  # fmt: skip


def result(**data: object) -> dict[str, object]:
    kinds = {name.replace("_", "/", 1): value for name, value in data.items()}
    return {"output_type": "execute_result", "data": kinds, "metadata": {}, "execution_count": 7}


_COUNT = itertools.count(1)


def page(world: World, content: str, query: str = "") -> str:
    repository = world.repository("alice", f"notebook{next(_COUNT)}", {"notes/a.ipynb": content})
    answer = world.browser().get(f"/{repository.full_name}/blob/main/notes/a.ipynb{query}")
    assert answer.status_code == 200
    found: str = answer.text.partition('<main id="main"')[2]
    return found


def test_a_notebook_is_shown_cell_by_cell(world: World) -> None:
    text = {"cell_type": "markdown", "source": ["# Rates\n", "See [code](train.py).\n"], "metadata": {}}
    error = {
        "output_type": "error",
        "ename": "ValueError",
        "evalue": "no",
        "traceback": ["\x1b[31mValueError\x1b[0m: no"],
    }
    shown = page(
        world,
        notebook(
            text,
            code("rate = 1\n", tags=("parameters",)),
            code("rate = 5\n", tags=("injected-parameters",)),
            code("print(rate)", {"output_type": "stream", "name": "stdout", "text": ["a\n", "10%\r20%\r90%\n"]}),
            code("plot()", result(image_png=PICTURE, text_plain="<Figure>")),
            code("fail()", error),
        ),
    )
    assert "<h1>Rates</h1>" in shown
    assert re.search('href="/alice/notebook[0-9]+/blob/main/notes/train.py"', shown)
    assert '<span class="h-n">rate</span>' in shown
    assert shown.count("parameters of this run") == 1
    assert "<pre>a\n90%\n</pre>" in shown
    assert f'<img src="data:image/png;base64,{PICTURE}" alt="&lt;Figure&gt;">' in shown
    assert '<span class="f1">ValueError</span>: no' in shown
    assert "[7]" in shown


def test_its_source_is_one_click_away(world: World) -> None:
    content = notebook(code("x = 1"))
    shown = page(world, content)
    assert 'href="?source=1"' in shown
    shown = page(world, content, "?source=1")
    assert 'id="L1"' in shown
    assert 'href="?"' in shown


def test_a_hostile_notebook_stays_text(world: World) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    markdown = {"cell_type": "markdown", "source": f"{evil} [a](javascript:alert(1)) ![p](https://evil.example/x.png)"}
    table = (
        '<div onclick="alert(1)"><style>td { color: red }</style><table border="1"><tr><td style="x">1 &lt; 2</td></tr>'
        f"</table></div></div></main>{evil}<a href='javascript:alert(1)'>go</a><svg onload=alert(1)><td>in"
    )
    svg = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"></svg>'
    shown = page(
        world,
        notebook(
            markdown, code(evil, result(text_html=table, text_plain="x")), code("", result(image_svg_xml=svg)),
            code("", {"output_type": "stream", "name": "stdout", "text": evil}), {"cell_type": "raw", "source": evil},
            code("", result(**{"image_svg+xml": svg})), code("", result(image_png='" onerror="alert(1)')),
        ),
    )  # fmt: skip
    body = shown.partition('class="notebook"')[2].rpartition("</main>")[0]
    assert "<script" not in body
    assert "</main" not in body
    assert "onerror=alert(1)>" not in body.replace("onerror=alert(1)&gt;", "")
    assert "onclick" not in body
    assert "<svg" not in body
    assert 'href="javascript' not in body
    assert "<div><table><tr><td>1 &lt; 2</td></tr></table></div>go" in body
    sources = [part.partition('"')[0][:26] for part in body.split('<img src="')[1:]]
    assert sources == ["data:image/svg+xml;base64,"]


@pytest.mark.parametrize(
    "content",
    ["not json", "[]", '{"cells": 1, "nbformat": 4}', '{"nbformat": 3, "worksheets": []}', "[" * 100_000,
     '{"cells": [], "nbformat": 3}'],
)  # fmt: skip
def test_what_is_no_notebook_is_shown_as_text(world: World, content: str) -> None:
    shown = page(world, content)
    assert 'class="notebook"' not in shown
    assert 'id="L1"' in shown


@pytest.mark.parametrize(
    "cell",
    [
        {}, {"cell_type": "code", "source": 5, "outputs": [None, {"data": []}, {"output_type": "stream", "text": {}}]},
        {"cell_type": "code", "source": ["a", 1], "execution_count": "<b>", "metadata": []},
        {"cell_type": "code", "source": "", "outputs": [{"data": {"text/html": "<table><tr>" * 5000}}]},
        {"cell_type": "code", "outputs": [{"output_type": "error"}, {"output_type": "error", "traceback": "x"}]},
    ],
)  # fmt: skip
def test_cells_of_any_shape_are_survived(cell: dict[str, object]) -> None:
    found = notebooks.read(notebook(cell).encode(), Markup)
    assert found is not None
    for output in found.cells[0].outputs:
        assert output.body.count("<table>") == output.body.count("</table>")


def test_a_notebook_that_a_run_made_is_a_page_of_the_run(world: World) -> None:
    repository = world.repository("alice", "made")
    run = world.run(repository, outs=(Output("out.ipynb", "out.ipynb"),))
    made = notebook(code("print(5)", {"output_type": "stream", "name": "stdout", "text": "5\n"}))
    world.finish(run, {}, files={"out.ipynb": made.encode()})
    client = world.browser()
    shown = client.get(f"/alice/made/runs/{run.number}/outputs/out.ipynb")
    assert "<pre>5\n</pre>" in shown.text
    raw = client.get(f"/alice/made/runs/{run.number}/outputs/out.ipynb?raw=1")
    assert raw.data == made.encode()
    assert "sandbox" in raw.headers["Content-Security-Policy"]


def test_a_long_notebook_is_cut(tmp_path: Path) -> None:
    found = notebooks.read(notebook(*[code("x")] * (notebooks.CELLS + 3)).encode(), Markup)
    assert found is not None
    assert (len(found.cells), found.more) == (notebooks.CELLS, 3)
