"""A wrong setting is refused as wrong use with its flag, variable or line, its value, and what is expected."""

from pathlib import Path

import pytest

from refmill import errors, settings

WRONG = [
    ("port", "99999", "a whole number from 0 to 65535"),
    ("port", "-1", "a whole number from 0 to 65535"),
    ("port", "abc", "a whole number from 0 to 65535"),
    ("memory", "3Zz", "an amount of bytes, like 2Gi or 500M"),
    ("stage_memory", "x", "an amount of bytes, like 2Gi or 500M"),
    ("stage_memory", "0", "an amount of bytes, like 2Gi or 500M"),
    ("sandbox", "maybe", "one of auto, off, require"),
    ("language", "fr", "one of en, zh"),
    ("cpus", "-1", "a number of at least 0"),
    ("cpus", "nan", "a number of at least 0"),
    ("cpus", "inf", "a number of at least 0"),
    ("threads", "0", "a whole number of at least 1"),
    ("gpus", "-2", "a whole number of at least -1"),
    ("url", "refmill.example.org", "an address, like https://refmill.example.org"),
    (
        "argo_no_proxy",
        "http://mill.svc",
        "hosts, domains and networks with commas between them, like .example.org, 10.0.0.0/8",
    ),
    ("argo_owner_runs", "-1", "a whole number of at least 0"),
]


@pytest.mark.parametrize(("name", "value", "expected"), WRONG)
def test_a_flag_is_refused(refmill, here: Path, name: str, value: str, expected: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    done = refmill("up", flag, value)
    assert (done.code, done.out) == (2, "")
    assert f"{flag}: “{value}” is not right" in done.err
    assert f"Expected: {expected}." in done.err
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(("name", "value", "expected"), [*WRONG, ("network", "perhaps", "true or false")])
def test_a_variable_is_refused(refmill, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str) -> None:
    variable = f"REFMILL_{name.upper()}"
    monkeypatch.setenv(variable, value)
    done = refmill("up", "--data", "data")
    assert (done.code, done.out) == (2, "")
    assert f"{variable}: “{value}” is not right" in done.err
    assert f"Expected: {expected}." in done.err


@pytest.mark.parametrize(
    ("content", "place", "said"),
    [
        ("port = 1\nporte = 2\n", ":2", "there is no setting “porte”"),
        ("port = 1\n\n[server]\nport = 2\n", ":3", "there is no setting “server”"),
        ('# words\nport = "abc"\n', ":2", "“abc” is not right for the setting “port”"),
        ("network = 3\n", ":1", "Expected: true or false"),
        ("cpus = true\n", ":1", "Expected: a number"),
        ("host = 5\n", ":1", "“5” is not right for the setting “host”"),
        ("port = 1.5\n", ":1", "Expected: a whole number"),
        ("port = [1]\n", ":1", "Expected: a whole number"),
        ("port = 1\nhost = \n", ":2", "is not valid TOML"),
        ('data = "elsewhere"\n', ":1", "there is no setting “data”"),
    ],
)
def test_the_file_is_refused_by_line(refmill, here: Path, content: str, place: str, said: str) -> None:
    (here / "data").mkdir()
    (here / "data" / "refmill.toml").write_text(content)
    done = refmill("up", "--data", "data")
    assert (done.code, done.out) == (2, "")
    assert f"refmill.toml{place}" in done.err
    assert said in done.err


def test_what_can_be_is_taken(here: Path) -> None:
    (here / "refmill.toml").write_text("cpus = 2\nmemory = 4294967296\nnetwork = false\n")
    chosen = settings.load({"data": here, "port": "0"}, {"REFMILL_PUSH_LIMIT": "1Gi", "REFMILL_WHEELS_ONLY": "off"})
    assert (chosen.cpus, chosen.memory, chosen.network) == (2.0, "4294967296", False)
    assert (chosen.port, chosen.push_limit, chosen.wheels_only) == (0, "1Gi", False)


def test_every_default_may_be_written_out() -> None:
    for name, (variable, _) in settings.names().items():
        if name != "data" and (default := getattr(settings.Settings(), name)) != "":
            chosen = settings.load({}, {variable: str(default)})
            assert getattr(chosen, name) == default


def test_a_file_that_is_no_file_is_told(here: Path) -> None:
    (here / "refmill.toml").mkdir()
    with pytest.raises(errors.WrongUse, match="cannot be read"):
        settings.load({"data": here})


@pytest.mark.parametrize("place", ["/proc/foo", "file/below"])
def test_a_data_directory_that_cannot_be_made_is_refused(refmill, here: Path, place: str) -> None:
    (here / "file").touch()
    done = refmill("up", "--data", place)
    assert done.code == 2
    assert "cannot be made" in done.err
    assert "--data DIR" in done.err


def test_help_shows_the_defaults(refmill) -> None:
    shown = " ".join(refmill("up", "--help").out.split())
    assert "[REFMILL_PORT; default: 8700]" in shown
    assert "[REFMILL_SANDBOX; default: auto]" in shown


@pytest.mark.parametrize("value", [
    "proxy.example.org:3128", "socks5://mill:p4ssw0rd@proxy:1080", "http://mill:p4ss/w0rd@proxy:3128",
    "http://mill:p4ss@w0rd@proxy:3128", "http://mill:p4ssw0rd@proxy:3128/path", "http://mill:p4ssw0rd@:3128",
    "http://mill:p4ssw0rd@proxy:port",
])  # fmt: skip
def test_a_proxy_is_refused_and_not_shown(refmill, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("REFMILL_ARGO_PROXY", value)
    done = refmill("up", "--data", "data")
    assert (done.code, done.out) == (2, "")
    assert "REFMILL_ARGO_PROXY: “***” is not right for the setting “argo_proxy”" in done.err
    assert "Expected: a proxy's address, like http://proxy.example.org:3128 or" in done.err
    assert "w0rd" not in done.err


@pytest.mark.parametrize("value", [
    "", "http://proxy:3128", "https://proxy.example.org/", "http://10.0.0.1:80", "http://[fd00::1]:3128",
    "http://mill@proxy", "http://mill:p%40ss%2Fw0rd@proxy.example.org:3128",
])  # fmt: skip
def test_a_proxy_is_taken_as_it_is_written(tmp_path: Path, value: str) -> None:
    assert settings.load({"data": tmp_path}, {"REFMILL_ARGO_PROXY": value}).argo_proxy == value


def test_what_is_reached_without_a_proxy_is_a_list(tmp_path: Path) -> None:
    written = {"REFMILL_ARGO_NO_PROXY": ".svc, 10.0.0.0/8 fd00::/8,*"}
    assert settings.load({"data": tmp_path}, written).listed("argo_no_proxy") == (".svc", "10.0.0.0/8", "fd00::/8", "*")
