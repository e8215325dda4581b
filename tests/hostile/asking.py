"""Hostile requests from seeds: raw bytes for a socket. `python tests/hostile/asking.py SEED` prints one."""

from __future__ import annotations

import base64
import gzip
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

from evil import HASHES, WHERE, noise

GIT, DVC = "/alice/target.git", "/alice/target.dvc"
PAGES = [
    "/", "/login", "/settings/tokens", "/settings/language", "/runs", "/alice/target", "/alice/target/runs", "/alice/target/runs/1",
    "/alice/target/tree/main", "/alice/target/blob/main/dvc.yaml", "/alice/target/raw/main/dvc.yaml", "/alice/target/commits",
    "/alice/target/commit/main", "/alice/target/experiments", "/alice/target/secrets", "/api/v1/login", "/readyz", "/healthz",
    "/static/x", "/alice/target/runs/1/stages/a/log.json", "/ws/runs/x.json", "/ws/runs/x", "/alice/target/settings",
]  # fmt: skip
WORDS = ["ref", "path", "page", "line", "stage", "attempt", "sort", "status", "before", "next", "q", "columns", "compare", "label",
         "username", "password", "csrf", "name", "value", "scopes", "language"]  # fmt: skip
NUMBERS = [
    "0",
    "-1",
    "1",
    "99999999999999999999",
    "1e9",
    "NaN",
    "\u0661",
    "0x10",
    "1_0",
    " 1",
    "18446744073709551616",
    "9223372036854775808",
]


@dataclass(frozen=True, slots=True)
class Sent:
    """The bytes of a request, and what follows them: nothing (then an answer is due), or the end of the connection."""

    data: bytes
    cut: bool = False


def make(seed: int, token: str) -> Sent:
    """The request of a seed, mostly in the name of somebody who may write."""
    dice = Random(f"request {seed}")
    return dice.choice(KINDS)(dice, token)


def _request(
    dice: Random, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, token: str = ""
) -> Sent:  # fmt: skip
    sent = {"Host": "127.0.0.1", "Connection": "close"} | (headers or {})
    if token and dice.random() < 0.85:
        sent["Authorization"] = "Basic " + base64.b64encode(f"alice:{token}".encode()).decode()
    elif dice.random() < 0.5:
        sent["Authorization"] = dice.choice(["Basic !!!", "Basic " + "QQ" * 3000, "Bearer ", "Digest x", "Basic /////w==", "Basic Og==",
                                             "Bearer rfm_" + "x" * 500, "Basic " + base64.b64encode(b"\0:\xff").decode()])  # fmt: skip
    length = len(body or b"")
    if body is not None and "Transfer-Encoding" not in sent:
        sent.setdefault("Content-Length", str(length))
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    head = f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape")
    return Sent(head + (body or b""), cut=sent.get("Content-Length", str(length)) != str(length))


def _path(dice: Random, base: str) -> str:
    """An address with something odd at its end, encoded or not."""
    piece = dice.choice(WHERE)[:2000]
    form = dice.randrange(5)
    if form == 0:
        return base + "/" + quote(piece, safe="")
    if form == 1:
        return base + "/" + quote(piece, safe="/.%")
    if form == 2:
        return base + dice.choice(["/%00", "/%0a", "/%ff%fe", "/..%2f..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/x", "//x", "/%c0%ae%c0%ae/",
                                   "/%E2%80%AE", ";x", "/%", "/%zz", "/\xe9".encode().decode("latin-1")])  # fmt: skip
    if form == 3:
        return base[: dice.randrange(1, len(base) + 1)] + quote(piece[:50])
    return (
        base + "?" + "&".join(f"{dice.choice(WORDS)}={quote(dice.choice([*WHERE, *NUMBERS])[:1000])}" for _ in range(3))
    )


def _git_body(dice: Random) -> bytes:
    """Packet lines that are nearly right."""
    zero, sha = "0" * 40, f"{dice.getrandbits(160):040x}"
    refs = ["refs/heads/x", "refs/heads/../../x", "refs/heads/-x", "HEAD", "refs/heads/\0", "refs/x\n", "refs/heads/" + "y" * 5000,
            "refs/heads/\u00e9", "refs/refmill/x", "../config", "refs/heads/a.lock", ""]  # fmt: skip
    lines = [
        f"{zero} {sha} {dice.choice(refs)}\0 report-status side-band-64k push-options atomic", f"want {sha}\n", "done\n",
        f"have {sha}\n", "command=ls-refs", "command=fetch", f"deepen {dice.choice(NUMBERS)}\n", f"shallow {sha}\n", "filter blob:none\n",
        f"filter sparse:oid={sha}\n", "filter tree:-1\n", "object-format=sha256", "agent=" + "x" * 2000, "push-cert\0x", f"{sha} {zero} HEAD",
    ]  # fmt: skip
    body = b"".join(
        b"%04x" % (len(line) + 4) + line
        for line in (dice.choice(lines).encode("utf-8", "surrogateescape") for _ in range(dice.randint(0, 6)))
    )
    packs = [
        b"",
        b"PACK",
        b"PACK\0\0\0\2\xff\xff\xff\xff",
        b"PACK\0\0\0\2\0\0\0\1" + dice.randbytes(100),
        b"\0" * 5000,
        dice.randbytes(2000),
    ]
    ends = [b"0000", b"0001", b"", b"ffff", b"0003", b"zzzz", b"-001"]
    return body + dice.choice(ends) + dice.choice(packs)


def _git(dice: Random, token: str) -> Sent:
    service = dice.choice(["git-upload-pack", "git-receive-pack"])
    if dice.random() < 0.3:
        query = dice.choice([service, "git-upload-archive", "--help", "", service + "%00", "x" * 3000])
        headers = {
            "Git-Protocol": dice.choice(["version=2", "version=99", "-x", "version=2\tx", "a" * 4000, "version=1"])
        }
        return _request(
            dice, dice.choice(["GET", "HEAD", "PUT"]), f"{GIT}/info/refs?service={query}", None, headers, token
        )
    return _body(dice, f"{GIT}/{service}", _git_body(dice), {"Content-Type": f"application/x-{service}-request"}, token)


def _body(dice: Random, path: str, body: bytes, headers: dict[str, str], token: str, method: str = "POST") -> Sent:
    """A body with a length, in chunks, packed, or in a way that is wrong."""
    form = dice.randrange(9)
    if form == 1:
        return _request(dice, method, path, gzip.compress(body), headers | {"Content-Encoding": "gzip"}, token)
    if form == 2:
        bomb = gzip.compress(b"0" * (4 << 20))
        return _request(
            dice, method, path, dice.choice([bomb, bomb[:500], body]), headers | {"Content-Encoding": "gzip"}, token
        )
    if form == 3:
        chunks = b"".join(
            b"%x\r\n%s\r\n" % (len(body[at : at + 700]), body[at : at + 700]) for at in range(0, len(body), 700)
        )
        end = dice.choice(
            [
                b"0\r\n\r\n",
                b"zz\r\n",
                b"-5\r\n\r\n",
                b"ffffffffffffffff\r\n",
                b"0\r\nX: y\r\n\r\n",
                b"5;" + b"x" * 9000 + b"\r\n",
            ]
        )
        made = _request(dice, method, path, chunks + end, headers | {"Transfer-Encoding": "chunked"}, token)
        return Sent(made.data, cut=not end.startswith(b"0"))
    if form == 4:
        wrong = dice.choice(
            [str(len(body) + 1000), "-1", "abc", "99999999999999999999", "0", "1, 2", "+5", "\u0661", ""]
        )
        return Sent(_request(dice, method, path, body, headers | {"Content-Length": wrong}, token).data, cut=True)
    if form == 5:
        encoding = dice.choice(["br", "gzip, gzip", "x" * 3000, "deflate"])
        return _request(dice, method, path, body, headers | {"Content-Encoding": encoding}, token)
    if form == 6:
        return Sent(_request(dice, method, path, body, headers, token).data[: -len(body) // 2 or None], cut=True)
    return _request(dice, method, path, body, headers, token)


def _data(dice: Random, token: str) -> Sent:
    md5 = dice.choice([*(word for word in HASHES if len(word) < 5000), "d41d8cd98f00b204e9800998ecf8427e.dir"])
    path = f"{DVC}/" + dice.choice(
        [f"files/md5/{quote(md5[:2])}/{quote(md5[2:])}", f"{quote(md5[:2])}/{quote(md5[2:])}", "runs/aa/bb/cc", "files/md5/..%2f..%2f..%2fx",
         "files/md5/d4/1d8cd98f00b204e9800998ecf8427e%00", "files/../../target.git/config", "files/md5/D4/1D8CD98F00B204E9800998ECF8427E"]
    )  # fmt: skip
    listing = json.dumps(
        [{"md5": dice.choice(HASHES)[:100], "relpath": dice.choice(WHERE)[:500]} for _ in range(3)]
    ).encode()
    headers = {"Range": dice.choice(["bytes=0-", "bytes=5-1", "bytes=-0", "bytes=99999999999999999999-", "bytes=0-1,2-3", "x", "bytes=--1"]),
               "If-None-Match": dice.choice(["*", '"x"', "W/" * 1000]), "Content-Type": dice.choice(["", "text/html", "x\tx"])}  # fmt: skip
    if dice.random() < 0.5:
        return _request(
            dice, dice.choice(["GET", "HEAD", "DELETE", "PROPFIND", "OPTIONS", "TRACE"]), path, None, headers, token
        )
    bodies = [b"", listing, b"[" * 50_000, b'[{"relpath": "a", "md5": 1}]', noise(dice), b"\0" * 300_000]
    return _body(dice, path, dice.choice(bodies), headers, token, dice.choice(["POST", "PUT"]))


def _page(dice: Random, token: str) -> Sent:
    headers = {
        "Accept": dice.choice(["text/html", "application/json", "*/*;q=x", "," * 5000]),
        "Accept-Language": dice.choice(["zh", "en;q=9", "x" * 5000, "\u4e2d", "zh-CN,zh;q=0.9,*;q=0"]),
        "Cookie": dice.choice(["", "session=x", "refmill=" + "y" * 4000, "a=b; " * 500, "=;=;", "session=\xff"]),
        "Host": dice.choice(["127.0.0.1", "evil.example.org", "a b", "", "[::1", "x" * 3000, "127.0.0.1:99999999"]),
        "X-Forwarded-Host": "evil.example.org", "X-Forwarded-Proto": dice.choice(["https", "javascript"]),
        "X-Request-Id": dice.choice(["x" * 5000, "\x1b[31m", "<script>"]),
    }  # fmt: skip
    path = dice.choice(PAGES)
    return _request(
        dice,
        dice.choice(["GET", "GET", "HEAD", "POST", "BREW"]),
        _path(dice, path) if dice.random() < 0.8 else path,
        None,
        headers,
    )


def _form(dice: Random, token: str) -> Sent:
    path = dice.choice(
        [*PAGES, "/logout", "/settings/tokens/1/revoke", "/alice/target/runs/1/stop", "/alice/target/secrets/x/remove"]
    )
    pairs = "&".join(
        f"{dice.choice(WORDS)}={quote(dice.choice([*WHERE, *NUMBERS]))}" for _ in range(dice.choice([1, 5, 2000]))
    )
    multipart = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%d"; filename="../x"\r\n\r\nx\r\n' % n for n in range(300)
    )
    kind, body = dice.choice(
        [
            ("application/x-www-form-urlencoded", pairs.encode()), ("multipart/form-data; boundary=b", multipart + b"--b--"),
            ("multipart/form-data", multipart), ("multipart/form-data; boundary=" + "b" * 5000, multipart[:500]),
            ("application/x-www-form-urlencoded; charset=utf-7", b"%ff=%fe&" * 100), ("application/json", _json(dice)),
        ]
    )  # fmt: skip
    return _body(
        dice,
        path,
        body,
        {"Content-Type": kind, "Origin": dice.choice(["null", "http://evil.example.org", "http://127.0.0.1"])},
        "",
    )


def _json(dice: Random) -> bytes:
    values = ["alice", "", None, 1, [], {}, True, "x" * 5000, "\ud800", "\0", 1e308, "rfm_x"]
    whole = {"username": dice.choice(values), "password": dice.choice(values), "label": dice.choice(values)}
    return dice.choice(
        [json.dumps(whole).encode(), b"[" * 100_000, b'{"a":' * 20_000, b"NaN", b'{"username": 1e999}', b"1" * 50_000, noise(dice),
         b'{"username": "a", "username": "b", "password": "c"}']
    )  # fmt: skip


def _api(dice: Random, token: str) -> Sent:
    return _body(
        dice, "/api/v1/login", _json(dice), {"Content-Type": dice.choice(["application/json", "text/plain", ""])}, ""
    )


def _socket(dice: Random, token: str) -> Sent:
    headers = {
        "Upgrade": dice.choice(["websocket", "WebSocket", "h2c"]), "Connection": dice.choice(["Upgrade", "keep-alive, Upgrade", "close"]),
        "Sec-WebSocket-Key": dice.choice(["dGhlIHNhbXBsZSBub25jZQ==", "", "x" * 3000, "!!"]),
        "Sec-WebSocket-Version": dice.choice(["13", "8", "", "x"]), "Origin": dice.choice(["null", "http://127.0.0.1", "http://evil.example.org"]),
        "Sec-WebSocket-Extensions": dice.choice(["permessage-deflate", "x; y=" + "z" * 2000, "permessage-deflate; server_max_window_bits=99"]),
    }  # fmt: skip
    made = _request(
        dice,
        "GET",
        f"/ws/runs/{quote(dice.choice(WHERE)[:500], safe='')}?line={dice.choice(NUMBERS[:5])}",
        None,
        headers,
    )
    frames = [
        b"",
        b"\x81\xff" + b"\xff" * 8,
        b"\x88\x00",
        dice.randbytes(200),
        b"\x89\x7d" + b"x" * 125,
        b"\x01\x00" * 500,
    ]
    return Sent(made.data + dice.choice(frames), cut=True)


def _raw(dice: Random, token: str) -> Sent:
    """What is hardly HTTP."""
    data = dice.choice(
        [
            b"GET " + b"/" * 20_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET /\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", b"\r\n" * 500,
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n", b"G\0T / HTTP/1.1\r\n\r\n", b"GET http://evil.example.org/ HTTP/1.1\r\n\r\n",
            b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", dice.randbytes(500), b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nExpect: x\r\n\r\n",
            b"POST /api/v1/login HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
        ]
    )  # fmt: skip
    return Sent(data, cut=True)


KINDS: list[Callable[[Random, str], Sent]] = [
    _git,
    _git,
    _git,
    _data,
    _data,
    _page,
    _page,
    _page,
    _form,
    _api,
    _socket,
    _raw,
]

if __name__ == "__main__":
    sys.stdout.write(repr(make(int(sys.argv[1]), "rfm_token")) + "\n")
