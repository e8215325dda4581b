"""The store of a platform goes away while its runs are on the cluster, and comes back."""

from pathlib import Path

import pytest
from clusters import OnCluster
from pushing import FIT, HERE, SPEC, Attempted, Lead, Pushed, assert_alike, platform_on, push_new

import s3_servers
from between import Between

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
AWAY = "does not answer"
"""What the platform's log says of a store that does not answer."""


def test_a_run_waits_for_a_store_that_is_away_and_goes_on(
    workflows: OnCluster, python_image: str, namespace: str, tmp_path: Path, led: Lead
):
    (tmp_path / "platform").mkdir()
    with (
        s3_servers.s3_server("minio", tmp_path / "s3", workflows.here) as s3,
        platform_on(workflows, namespace, python_image, tmp_path / "platform", **s3.settings()) as platform,
    ):
        files = {
            "dvc.yaml": "stages:\n  make: {cmd: python3 led.py make, outs: [made]}\n"
            "  use: {cmd: 'cat made/* | wc -c > size.txt', deps: [made], outs: [size.txt]}\n",
            **led.files,
        }
        making = "mkdir made && for n in 1 2 3; do head -c 300000 /dev/zero | tr '\\0' $n > made/$n; done; echo made"

        def refused() -> int:
            return platform.log().count(AWAY)

        there = push_new(platform, "there", tmp_path, files | {FIT: SPEC + "  fuse: false\n"})
        led.wait_for("make")
        s3.stop()
        before = refused()
        led.give("make", making)
        workflows.wait_for(lambda: refused() > before + 1, "the pod's outputs are not taken")
        assert there.is_at("make", 1, "running")
        s3.start()
        workflows.wait_for(lambda: there.is_at("make", 1, "succeeded"), "they are taken")
        s3.stop()
        before = refused()
        workflows.wait_for(lambda: refused() > before + 1, "the next pod has to wait for its inputs")
        _still_running(there)
        s3.start()
        there.ended()
        assert there.attempts() == [Attempted("make", 1, "succeeded"), Attempted("use", 1, "succeeded")]
        assert "made" in platform.refmill("logs", "alice/there#1", "make").split()

        led.give("make", making)
        here = push_new(platform, "here", tmp_path, files | {FIT: HERE})
        here.ended()
        assert_alike(there, here)


LARGE = """\
stages:
  make: {cmd: head -c 12000017 /dev/zero | tr '\\0' m > large, outs: [large]}
  use: {cmd: wc -c < large > size.txt && tail -c 3 large >> size.txt, deps: [large], outs: [size.txt]}
"""


def test_a_large_output_goes_to_the_bucket_in_parts(
    workflows: OnCluster, python_image: str, namespace: str, tmp_path: Path
):
    (tmp_path / "platform").mkdir()
    with s3_servers.s3_server("minio", tmp_path / "s3", workflows.here) as s3:
        between = Between(s3.port, workflows.here)
        settings = s3.settings() | {"s3_part": "5Mi", "s3_public": between.address, "s3_encryption": "s3"}
        with platform_on(workflows, namespace, python_image, tmp_path / "platform", **settings) as platform:
            there = push_new(platform, "there", tmp_path, {"dvc.yaml": LARGE, FIT: SPEC + "  fuse: false\n"})
            there.ended()
            assert [between.count(f"PUT .*partNumber={number}&") for number in (1, 2, 3, 4)] == [1, 1, 1, 0]
            here = push_new(platform, "here", tmp_path, {"dvc.yaml": LARGE, FIT: HERE})
            here.ended()
            assert_alike(there, here)
        between.close()


def _still_running(pushed: Pushed) -> None:
    ((status,),) = pushed.platform.query("SELECT status FROM runs WHERE id = ?", pushed.run)
    assert status == "running"
