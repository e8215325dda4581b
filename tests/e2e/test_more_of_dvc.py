"""What fewer projects use of DVC: `dvc repro`, `refmill run` and a push do the same with it."""

from pathlib import Path

from agreement import assert_agreement
from platforms import Platform


def test_files_that_dvcignore_hides(platform: Platform, name: str, tmp_path: Path) -> None:
    files = {
        ".dvcignore": "*.tmp\nold/\n!keep.tmp\n",
        "lib/.dvcignore": "/code/gen*\n",
        "dvc.yaml": "stages:\n"
        "  a: {cmd: mkdir -p out/old && cp src/*.t* out && cp src/one.txt out/old/x && echo t > out/new.tmp,"
        " deps: [src, lib/code, old], outs: [out]}\n"
        "  b: {cmd: ls out/*.txt > list.txt, deps: [out], outs: [list.txt]}\n",
        "src/one.txt": "1\n", "src/two.tmp": "2\n", "src/keep.tmp": "3\n", "src/old/dvc.yaml": "not read",
        "lib/code/a.py": "a\n", "lib/code/generated.py": "b\n", "old/x": "not seen", "x.tmp/dvc.yaml": "not read",
    }  # fmt: skip
    assert_agreement(platform, name, tmp_path, files)


def test_parameters_in_python_files(platform: Platform, name: str, tmp_path: Path) -> None:
    files = {
        "dvc.yaml": "vars: [conf.py:WHO, more.py]\nstages:\n"
        "  keys: {cmd: 'echo ${WHO} > keys.txt', params: [conf.py: [LR, Net.layers, Net.width, SIZES]], outs: [keys.txt]}\n"
        "  whole: {cmd: 'echo ${M.n} > whole.txt', params: [conf.py: , low/more.py: [X]], outs: [whole.txt]}\n"
        "  fan: {foreach: '${ALL}', do: {cmd: 'echo ${item} > ${item}.txt', deps: [keys.txt], outs: ['${item}.txt']}}\n",
        "conf.py": "import os\nLR: float = 1e-3\nSIZES = (3, 4)\nWHO = 'me'\nHOME = os.environ\n\n"
        "class Net:\n    layers = [1, (2, 3)]\n\n    def __init__(self):\n        self.width = 7\n",
        "more.py": "ALL = ['x', 'y']\n\n\nclass M:\n    n = 5\n",
        "low/more.py": "X = None\n",
    }
    assert_agreement(platform, name, tmp_path, files, settled=False)
