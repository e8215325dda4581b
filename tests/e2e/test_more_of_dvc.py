"""What fewer projects use of DVC: `dvc repro`, `refmill run` and a push do the same with it."""

import functools
import http.server
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dvc_data.hashfile.hash import fobj_md5

from agreement import assert_agreement, dvc_push
from platforms import REFMILL, Copy, Platform, new_copy
from serving import serving


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


def test_links_and_line_ends(platform: Platform, name: str, tmp_path: Path) -> None:
    files = {
        "dvc.yaml": "vars: [p.yaml]\nstages:\n"
        "  s: {cmd: 'cat d/link there/sub/b all/f dos.txt w/two.id w/one.txt > o', deps: [d, all, all/f, there, there/sub/b, dos.txt, w],"
        " params: [p.yaml: [a]], outs: [o]}\n"
        "  t: {cmd: 'cat d/tracked o > t', deps: [d, o], outs: [t]}\n",
        "real/f": "one\n", "q.yaml": "a: 1\n", "d/plain": "x\n", "dos.txt": "a\nb\n", "w/one.txt": "c\n",
        "w/two.id": "$Id$\n", "w/sub/.gitattributes": "*.txt -eol\n", "w/sub/three.txt": "d\n",
    }  # fmt: skip

    def prepare(copy: Copy) -> None:
        copy.write({"data/a": "333", "data/sub/b": "4444\n"})
        links = {"d/link": "../real/f", "d/folder": "../real", "d/tracked": "../data/sub/b", "all": "real",
                 "there": "data", "p.yaml": "q.yaml", "unused": "/etc/hostname"}  # fmt: skip
        for path, target in links.items():
            (copy.path / path).symlink_to(target)
        copy.dvc("add", "--quiet", "data")
        (copy.path / "real/f").chmod(0o755)
        copy.write({".gitattributes": "*.txt text eol=crlf\n*.id ident\n"})
        copy.commit()
        for path in ("dos.txt", "w/one.txt", "w/two.id", "w/sub/three.txt"):
            (copy.path / path).unlink()
        copy.git("checkout", "--", ".")
        assert b"\r\n" in (copy.path / "dos.txt").read_bytes()

    assert_agreement(platform, name, tmp_path, files, prepare=prepare, ready=dvc_push(platform, name))


DATASETS = """\
stages:
  s: {cmd: cat a > o, deps: ['ds://two', a, 'ds://one'], outs: [o]}
  t: {cmd: cat o > t, deps: [o, 'ds://one/'], outs: [t]}
vars:
- where: s3://bucket
datasets:
- {name: one, type: dvc, url: 'https://example.org/data.git', path: d, rev: v1}
- {name: two, type: url, url: '${where}/x'}
"""
TAKEN = """\
schema: '2.0'
datasets:
- {name: one, url: 'https://example.org/data.git', type: dvc, path: d, rev: v1, rev_lock: %s}
- name: two
  type: url
  url: s3://bucket/x
  meta: {isdir: true, nfiles: 1, size: 5}
  files:
  - relpath: a
    meta: {size: 5, version_id: abc}
"""


def test_versions_of_datasets(platform: Platform, name: str, tmp_path: Path) -> None:
    files = {"dvc.yaml": DATASETS, "dvc.lock": TAKEN % "a1b2", "a": "1\n"}
    oracle = assert_agreement(platform, name, tmp_path, files)
    assert not (oracle.path / ".dvc/cache/runs").exists()

    here = Copy(tmp_path / "here")
    lock = (here.path / "dvc.lock").read_text()
    (here.path / "dvc.lock").write_text(lock.replace("rev_lock: a1b2}", "rev_lock: c3d4}"))
    shown = here.run(REFMILL, "plan").stdout
    assert shown.count("another version") == 2, shown


def test_data_that_dvc_2_tracked(platform: Platform, name: str, tmp_path: Path) -> None:
    files = {
        "dvc.yaml": "stages:\n"
        "  s: {cmd: cat a d/x d/sub/y plain > o, deps: [a, d, d/sub, d/x, plain], params: [p.yaml: [k]], outs: [o]}\n"
        "  t: {cmd: cat o e/z > t, deps: [o, e], outs: [t]}\n",
        "a": "one\r\ntwo\r\n", "d/x": "x\r\n", "d/sub/y": "\0\r\n", "plain": "unix\n", "p.yaml": "k: 5\r\n", "e/z": "z\n",
    }  # fmt: skip

    def prepare(copy: Copy) -> None:
        for path, content in files.items():
            (copy.path / path).write_text(content, newline="")
        for path in ("a", "plain", "p.yaml", "d", "e"):
            copy.git("rm", "-r", "--quiet", "--cached", path)
            dvc_2_add(copy.path, path)
        copy.write({".gitignore": "/a\n/plain\n/p.yaml\n/d\n/e\n"})
        copy.commit()

    oracle = assert_agreement(platform, name, tmp_path, files, prepare=prepare, ready=dvc_push(platform, name))

    clone = Copy(tmp_path / "clone")
    oracle.git("clone", "--quiet", str(oracle.path), str(clone.path))
    dvc_push(platform, name)(clone)
    clone.dvc("pull", "--quiet", "--remote", "refmill", "a", "plain", "p.yaml", "d", "e")
    for path in ("a", "d/x", "d/sub/y", "plain", "e/z"):
        assert (clone.path / path).read_bytes() == files[path].encode()


def test_a_lock_of_dvc_2_keeps_its_hashes_for_what_has_not_changed(
    platform: Platform, name: str, tmp_path: Path
) -> None:
    files = {
        "dvc.yaml": "stages:\n"
        "  a: {cmd: cat in.txt > a.txt; mkdir -p d; cp in.txt d/x; cp p.yaml k, deps: [in.txt], params: [p.yaml: [k]],"
        " outs: [a.txt, d, k]}\n"
        "  b: {cmd: cat a.txt d/x k > b.txt, deps: [a.txt, d/x, k], outs: [b.txt]}\n"
        "  c: {cmd: ls d > c.txt, deps: [d, a.txt], outs: [c.txt]}\n",
        "p.yaml": "k: 1\n", "in.txt": "",
    }  # fmt: skip

    def prepare(copy: Copy) -> None:
        (copy.path / "in.txt").write_bytes(b"one\r\ntwo\r\n")
        copy.dvc("repro", "--quiet")
        lock = yaml.safe_load((copy.path / "dvc.lock").read_text())
        shutil.rmtree(copy.path / ".dvc/cache")
        for entry in lock["stages"].values():
            for item in (*entry["deps"], *entry["outs"]):
                del item["hash"]
                item["md5"] = dvc_2_hash(copy.path, item["path"])
        (copy.path / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
        assert "up to date" in copy.dvc("status").stdout
        copy.write({"p.yaml": "k: 2\n"})
        copy.commit("a lock of DVC 2, and a change")

    oracle = assert_agreement(platform, name, tmp_path, files, prepare=prepare, ready=dvc_push(platform, name))
    lock = (oracle.path / "dvc.lock").read_text()
    # Those of k twice, and that of b.txt; the others stay as DVC 2 wrote them.
    assert (lock.count("md5: "), lock.count("hash: md5")) == (11, 3)


def dvc_2_hash(root: Path, path: str) -> str:
    """The hash of a file or directory in DVC 2, without regard to line ends; its objects are left beside `files`."""

    def kept(data: bytes, ending: str = "") -> str:
        md5 = fobj_md5(io.BytesIO(data), name="md5-dos2unix") + ending
        target = root / ".dvc/cache" / md5[:2] / md5[2:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return md5

    place = root / path
    if place.is_file():
        return kept(place.read_bytes())
    found = sorted(file for file in place.rglob("*") if file.is_file())
    listing = [{"md5": kept(file.read_bytes()), "relpath": str(file.relative_to(place))} for file in found]
    return kept(json.dumps(listing).encode(), ".dir")


def dvc_2_add(root: Path, path: str) -> None:
    """What `dvc add` of DVC 2 left."""
    place = root / path
    found = [file for file in place.rglob("*") if file.is_file()] if place.is_dir() else [place]
    body = f"- md5: {dvc_2_hash(root, path)}\n  size: {sum(file.stat().st_size for file in found)}\n"
    body += f"  nfiles: {len(found)}\n" if place.is_dir() else ""
    (root / f"{path}.dvc").write_text(f"outs:\n{body}  path: {path}\n")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A file on a web server: its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "table.csv").write_text("1,2\n")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with serving(handler) as address:
        yield f"{address}/table.csv"


def test_data_imported_from_an_address(platform: Platform, name: str, tmp_path: Path, served: str) -> None:
    def prepare(copy: Copy) -> None:
        copy.dvc("import-url", "--quiet", served, "in.csv")
        copy.commit()
        assert "etag" in (copy.path / "in.csv.dvc").read_text() or "checksum" in (copy.path / "in.csv.dvc").read_text()

    files = {"dvc.yaml": "stages:\n  use: {cmd: cp in.csv out.csv, deps: [in.csv], outs: [out.csv]}\n"}
    assert_agreement(platform, name, tmp_path, files, prepare=prepare, ready=dvc_push(platform, name))


def test_data_imported_from_a_repository_that_is_not_here(platform: Platform, name: str, tmp_path: Path) -> None:
    source = new_copy(tmp_path / "source", {"table.csv": "1,2\n"})
    source.git("rm", "--quiet", "--cached", "table.csv")
    source.dvc("add", "--quiet", "table.csv")
    source.commit("tracked")
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": "stages:\n  use: {cmd: cp in.csv o, deps: [in.csv], outs: [o]}\n"})
    copy.dvc("import", "--quiet", str(source.path), "table.csv", "-o", "in.csv")
    copy.commit("import")
    assert "succeeded" in copy.run(REFMILL, "run").stdout
    answer = copy.git("push", platform.url(f"alice/{name}", "alice"), "main").stderr
    assert f"in.csv.dvc was imported from {source.path}, and `dvc push` sends no imported data" in " ".join(
        answer.replace("remote:", "").split()
    )
    (copy.path / "in.csv.dvc").unlink()
    copy.dvc("add", "--quiet", "in.csv")
    copy.commit("tracked here")
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    dvc_push(platform, name)(copy)
    assert platform.ended(f"alice/{name}", 2)["status"] == "succeeded"
