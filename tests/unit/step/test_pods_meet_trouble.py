"""A pod whose platform goes away, whose transfers break off, or that is ended itself: nothing is lost, nothing is
recorded twice."""

import os
import signal
import threading
import time

import pytest

from fakes.pod_server import md5, stage
from podding import Pod, archive, until

WAITS = "trap 'echo asked; exit 7' TERM; echo begun; while [ ! -e $TMPDIR/go ]; do sleep 0.05; done; echo made > o"


@pytest.mark.parametrize("how", ["503", "429", "drop", "answer lost"])
@pytest.mark.parametrize(
    "request_", ["plan.json", "begin", "commit.tar.gz", "batch", "GET .*/files/", "PUT", "listing", "log", "end$"]
)
def test_each_request_may_fail_twice(pod: Pod, serve, request_: str, how: str) -> None:
    server = serve(stage("s", "cp in o", outs=["o"], inputs={"in": {}}))
    server.stages[0]["inputs"] = {"in": server.put(b"given")}
    more = "cp in o; head -c 70000 /dev/zero >> o"  # which is too much to go along with the end
    if request_ == "log":
        more += "; sleep 1"  # else all of it goes along with the end
    server.stages[0]["commands"] = [more]
    server.fault(request_, how, 2)
    assert pod.run(server) == 0, pod.said
    assert server.objects[server.made["o"]["md5"]] == b"given" + bytes(70_000)
    assert [(end["attempt"], end["code"]) for end in server.ends()] == [(1, 0)]
    assert server.log() == f"$ {more}"
    assert server.count(request_) >= 3


@pytest.mark.parametrize("how", ["503", "drop", "truncate", "garble", "404"])
def test_objects_of_a_store_are_asked_for_anew_until_they_are_whole(pod: Pod, serve, how: str) -> None:
    server = serve(stage("s", "cat d/* > o", outs=["o"], inputs={"d": {}}), signed=True)
    files = {f"{n}": os.urandom(300_000) for n in range(6)}
    server.stages[0]["inputs"] = {"d": server.put_folder(files)}
    server.fault("^GET /../", how, 3)
    server.fault("^PUT", how if how != "garble" else "503", 2)
    assert pod.run(server) == 0, pod.said
    assert server.objects[server.made["o"]["md5"]] == b"".join(files[name] for name in sorted(files))


def test_a_download_goes_on_where_it_broke_off(pod: Pod, serve) -> None:
    server = serve(stage("s", "cp in o", outs=["o"], inputs={"in": {}}))
    data = os.urandom(3_000_000)
    server.stages[0]["inputs"] = {"in": server.put(data)}
    server.fault("GET /o/n.dvc/files/", "truncate", 1)
    sent = []
    plain = server._offered
    server._offered = lambda *told: sent.append(told) or plain(*told)
    assert pod.run(server) == 0, pod.said
    assert server.count("GET /o/n.dvc/files/") == 2
    assert 0 < server.starts[0] <= 1_500_000
    assert [operation for operation, *_ in sent].count("download") == 1  # no new address was needed


def test_an_object_that_stays_damaged_fails_the_stage_by_name(pod: Pod, serve) -> None:
    server = serve(stage("s", "true", inputs={"in": {}}))
    server.stages[0]["inputs"] = {"in": server.put(b"given")}
    server.objects[md5(b"given")] = b"other"
    assert pod.run(server) == 1
    assert [(end["reason"], md5(b"given") in end["detail"]) for end in server.ends()] == [("input-damaged", True)]


def test_an_object_that_nobody_has_fails_the_stage_by_name(pod: Pod, serve) -> None:
    server = serve(stage("s", "true", inputs={"in": {}}))
    server.stages[0]["inputs"] = {"in": {"md5": "0" * 32}}
    assert pod.run(server) == 1
    assert [(end["reason"], end["detail"]) for end in server.ends()] == [
        ("input-missing", f"the store lacks {'0' * 32}")
    ]


def test_a_listing_that_leads_out_of_its_folder_is_refused(pod: Pod, serve) -> None:
    server = serve(stage("s", "true", inputs={"d": {}}))
    listing = b'[{"md5": "%s", "relpath": "../../x"}]' % md5(b"x").encode()
    server.put(b"x")
    server.stages[0]["inputs"] = {"d": server.put(listing, md5(listing) + ".dir")}
    assert pod.run(server) == 1
    assert [end["reason"] for end in server.ends()] == ["input-damaged"]
    assert not (pod.base / "x").exists()


def test_a_damaged_archive_is_fetched_again(pod: Pod, serve) -> None:
    server = serve(stage("s", "cat dvc.yaml"))
    server.fault("commit.tar.gz", "garble", 1)
    server.fault("commit.tar.gz", "truncate", 1)
    assert pod.run(server) == 0, pod.said
    assert server.log() == "$ cat dvc.yaml\nstages: {}"


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside"])
def test_an_archive_that_leads_out_is_refused(pod: Pod, serve, name: str) -> None:
    server = serve(stage("s", "true"), commit=archive({name: b"x"}))
    assert pod.run(server) == 1
    assert [end["reason"] for end in server.ends()] == ["workspace"]
    assert not (pod.base / "outside").exists()


def test_a_server_that_is_away_while_a_command_runs_and_ends_misses_nothing(pod: Pod, serve, tmp_path) -> None:
    server = serve(stage("s", WAITS, outs=["o"]), stage("t", "cat o", inputs={"o": "o"}))
    process = pod.start(server)
    until(lambda: server.attempts[0] and b"begun" in server.attempts[0][0].log)
    server.stop()
    (tmp_path / "go").touch()
    time.sleep(3)
    assert process.poll() is None
    server.start()
    assert process.wait(40) == 0, pod.said
    assert server.log() == f"$ {WAITS}\nbegun"
    assert server.log(1) == "$ cat o\nmade"


def test_a_server_that_stays_away_ends_the_pod_so_that_another_may_try(pod: Pod, serve) -> None:
    server = serve(stage("s", "true"))
    server.stop()
    assert pod.run(server, REFMILL_PATIENCE="1") == 75
    assert "does not answer" in pod.said


def test_a_server_that_names_a_time_is_waited_for_as_long_as_it_likes(pod: Pod, serve) -> None:
    server = serve(stage("s", "true"))
    server.fault("begin", "wait", 4)  # a paused run
    assert pod.run(server, REFMILL_PATIENCE="1") == 0, pod.said


def test_a_log_goes_on_from_where_a_server_that_lost_a_part_stands(pod: Pod, serve, tmp_path) -> None:
    server = serve(stage("s", f"{WAITS}; echo over", outs=["o"]))
    process = pod.start(server)
    until(lambda: server.attempts[0] and b"begun" in server.attempts[0][0].log)
    server.attempts[0][0].log = server.attempts[0][0].log[:40]
    (tmp_path / "go").touch()
    assert process.wait(20) == 0
    assert server.log() == f"$ {WAITS}; echo over\nbegun\nover"
    assert pod.said.count("begun\n") == 1


@pytest.mark.parametrize(("status", "code"), [("409", 75), ("410", 1), ("404", 1)])
@pytest.mark.parametrize("request_", ["begin", "end$"])
def test_a_pod_that_is_not_wanted_any_more_ends(pod: Pod, serve, request_: str, status: str, code: int) -> None:
    server = serve(stage("s", "echo x > o", outs=["o"]), stage("t", "true"))
    server.fault(request_, status, 9)
    assert pod.run(server) == code
    assert server.attempts[1] == []


def test_a_stopped_run_ends_the_pod_and_says_why(pod: Pod, serve) -> None:
    server = serve(stage("s", "true", "true"), stage("t", "true"))
    plain = server.ended

    def ended(*told):
        server.go = False
        return plain(*told)

    server.ended = ended
    assert pod.run(server) == 1
    assert "the run was stopped" in pod.said
    assert server.attempts[1] == []


def test_a_token_that_is_not_taken_ends_the_pod(pod: Pod, serve) -> None:
    server = serve(stage("s", "true"))
    assert pod.run(server, REFMILL_TOKEN="rfr_other") == 1
    assert "rfr_other" not in pod.said


def test_a_pod_that_is_deleted_asks_its_commands_to_end_and_tells(pod: Pod, serve) -> None:
    server = serve(stage("s", WAITS, outs=["o"], retries=3), stage("t", "true"))
    process = pod.start(server)
    until(lambda: server.attempts[0] and b"begun" in server.attempts[0][0].log)
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 75
    assert [(end["reason"], end["code"]) for end in server.ends()] == [("stopped", 7)]
    assert server.log().endswith("asked")
    assert server.attempts[1] == []
    assert pod.left() == []


def test_a_pod_that_is_deleted_as_the_next_stage_begins_tells_that_it_was_stopped(pod: Pod, serve) -> None:
    server = serve(stage("s", "true"), stage("t", "touch $TMPDIR/ran"))
    plain = server.ended

    def slowly(*told):
        answer = plain(*told)
        if "then" in answer[1]:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        return answer

    server.ended = slowly
    process = pod.start(server)
    assert process.wait(20) == 75
    assert [end["reason"] for end in server.ends(1)] == ["stopped"]
    assert not (pod.folder / "ran").exists()


def test_commands_that_do_not_listen_are_killed_in_time(pod: Pod, serve) -> None:
    server = serve(stage("s", "trap '' TERM; echo begun; (setsid sleep 300 &); while :; do sleep 1; done"))
    process = pod.start(server)
    until(lambda: server.attempts[0] and b"begun" in server.attempts[0][0].log)
    process.send_signal(signal.SIGTERM)
    assert process.wait(25) == 75  # Kubernetes gives 30 seconds
    assert [end["reason"] for end in server.ends()] == ["stopped"]
    assert pod.left() == []


def test_a_pod_of_a_run_that_is_stopped_tells_at_once(pod: Pod, serve) -> None:
    server = serve(stage("s", WAITS))
    process = pod.start(server)
    until(lambda: server.attempts[0] and b"begun" in server.attempts[0][0].log)
    server.go = False
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 75
    assert [end["reason"] for end in server.ends()] == ["stopped"]
    assert server.count("/end") == 1


def test_a_pod_that_its_node_throws_out_leaves_it_to_the_engine_to_tell(pod: Pod, serve) -> None:
    server = serve(stage("s", WAITS))
    process = pod.start(server)
    until(lambda: server.attempts[0] and b"begun" in server.attempts[0][0].log)
    process.send_signal(signal.SIGTERM)
    until(lambda: server.count("/end"))
    time.sleep(1)
    process.kill()  # as the kubelet does two seconds after it asked
    process.wait()
    assert (server.ends(), server.count("/end")) == ([], 1)


@pytest.mark.parametrize("request_", ["begin", "commit", "GET .*/files/"])
def test_a_pod_that_is_deleted_while_it_prepares_ends_at_once(pod: Pod, serve, request_: str) -> None:
    server = serve(stage("s", "touch $TMPDIR/ran", inputs={"in": {}}))
    server.stages[0]["inputs"] = {"in": server.put(b"x")}
    server.fault(request_, "503", 1000)
    process = pod.start(server)
    until(lambda: server.count(request_))
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 75
    assert [end["reason"] for end in server.ends()] == ([] if request_ == "begin" else ["stopped"])
    assert not (pod.folder / "ran").exists()


def test_a_result_that_is_being_stored_is_not_thrown_away_by_the_end_of_the_pod(pod: Pod, serve) -> None:
    server = serve(stage("s", "head -c 70000 /dev/zero > o", outs=["o"]), stage("t", "true"))
    server.fault("PUT", "503", 3)
    process = pod.start(server)
    until(lambda: server.count("PUT"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(25) == 75
    assert [end["reason"] for end in server.ends()] == [""]
    assert server.attempts[1] == []


def test_another_pod_of_the_same_name_takes_over_from_one_that_was_killed(pod: Pod, serve, tmp_path) -> None:
    server = serve(
        stage("first", "echo 1 > a", outs=["a"]), stage("s", WAITS + "; cat a >> o", outs=["o"], inputs={"a": "a"})
    )
    process = pod.start(server)
    until(lambda: server.attempts[1] and b"begun" in server.attempts[1][0].log)
    process.kill()
    process.wait()
    (tmp_path / "go").touch()
    assert pod.run(server, HOSTNAME="pod1") == 0, pod.said
    assert [len(attempts) for attempts in server.attempts] == [1, 2]
    first, second = server.attempts[1]
    assert [(attempt.lost, attempt.end is None) for attempt in (first, second)] == [(True, True), (False, False)]
    assert first.who.partition("/")[0] == second.who.partition("/")[0] == "pod1"
    assert server.objects[server.made["o"]["md5"]] == b"made\n1\n"


def test_a_pod_that_comes_back_after_another_took_over_does_no_harm(pod: Pod, serve, tmp_path) -> None:
    server = serve(stage("s", WAITS, outs=["o"]))
    process = pod.start(server)
    until(lambda: server.attempts[0] and b"begun" in server.attempts[0][0].log)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.2)
    second = threading.Thread(target=lambda: pod.run(server))
    second.start()
    until(lambda: len(server.attempts[0]) == 2)
    (tmp_path / "go").touch()
    second.join()
    server.fault("/log|/listing|/end", "409", 1000)
    process.send_signal(signal.SIGCONT)
    assert process.wait(20) == 75
    assert [end["attempt"] for end in server.ends()] == [2]


def test_what_goes_along_with_the_end_is_stored_once_though_no_answer_comes(pod: Pod, serve) -> None:
    server = serve(stage("s", "echo x > o; : > empty; mkdir d; echo y > d/y", outs=["o", "empty", "d"]))
    server.fault("end$", "answer lost", 2)
    assert pod.run(server) == 0, pod.said
    assert {b"x\n", b"", b"y\n"} < set(server.objects.values())
    assert server.count("listing|batch|PUT") == 0
    assert len(server.ends()) == 1


def test_a_log_of_which_the_platform_lost_the_beginning_is_sent_again_at_the_end(pod: Pod, serve) -> None:
    server = serve(stage("s", "echo first; sleep 1.5; echo last"))
    plain = server.ended

    def ended(*told):
        if server.count("end$") == 1:
            assert b"first" in server.attempts[0][0].log
            server.attempts[0][0].log = b""
        return plain(*told)

    server.ended = ended
    assert pod.run(server) == 0, pod.said
    assert server.log() == "$ echo first; sleep 1.5; echo last\nfirst\nlast"
    assert (server.count("end$"), len(server.ends())) == (2, 1)


def test_a_store_that_has_lost_an_object_gets_it_again(pod: Pod, serve) -> None:
    server = serve(stage("s", "head -c 70000 /dev/zero > o", outs=["o"]))
    server.loses = True
    plain = server.ended

    def ended(*told):
        if not server.attempts[0][0].end and server.count("end$") == 1:
            server.objects.clear()
        return plain(*told)

    server.ended = ended
    assert pod.run(server) == 0, pod.said
    assert server.objects == {md5(bytes(70_000)): bytes(70_000)}


def test_a_full_disk_is_told_and_not_died_of(pod: Pod, serve) -> None:
    server = serve(stage("s", "true", inputs={"in": {}}))
    server.stages[0]["inputs"] = {"in": server.put(b"x" * 3_000_000)}
    import resource  # noqa: PLC0415

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))  # the child inherits it
    try:
        process = pod.start(server)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert process.wait(30) == 1, pod.said
    assert [(end["reason"], end["code"]) for end in server.ends()] == [("workspace", None)]
