"""What the three commands of the runner do: `run` in an image with Python, `fetch` and `store` around one without."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from refmill.step import output
from refmill.step.pods import commands, proxies, script, workspace
from refmill.step.pods.attempts import LOG_LIMIT, Attempt, End, Pod, failed, over, since
from refmill.step.pods.faults import AGAIN, DONE, FAILED, AttemptFailed, PodOver, Stopped
from refmill.step.pods.following import Following, say
from refmill.step.pods.wire import Refused

STATE = "state.json"
THROWN_OUT = 5.0
"""Seconds before a pod tells that it is taken away, if the platform did not ask for it. One that its node throws out
for what it wrote has but two, and the engine tells why."""
OVER = frozenset({401, 403, 409, 410})
"""Answers after which nobody listens to this pod any more."""


def run(pod: Pod) -> int:
    """All stages of a pod, one after another."""
    left = _open(pod)
    told: Optional[Dict[str, Any]] = None
    for place, (index, stage) in enumerate(left):
        number, behind = _number(stage), left[place + 1 : place + 2]
        while True:
            attempt = Attempt(pod, index, number)
            attempt.then = {"index": behind[0][0], "attempt": _number(behind[0][1])} if behind else {}
            begun = _begun(attempt, told)
            told = None
            if begun["do"] == "cached":
                say("%s: cached" % stage["address"])
                break
            end, answer = _ended(attempt, _carried_out(attempt, begun))
            if end.reason == "stopped":
                return AGAIN
            if not answer.get("again"):
                if not end.well:
                    return FAILED
                if behind:
                    attempt.adopt()
                told = answer.get("then")
                break
            number = int(answer.get("attempt") or attempt.number + 1)
        if pod.halt.asked and told is None:  # else what has begun is told to be stopped
            return AGAIN
    return DONE


def _number(stage: Mapping[str, Any]) -> int:
    return int(stage.get("attempt") or 1)


def _begun(attempt: Attempt, told: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    """The beginning of an attempt, if it was not told already with the end of the one before. Raises PodOver, Stopped,
    Refused, Away."""
    if told is not None:
        return attempt.took(told)
    with attempt.pod.halt.interruptible():
        return attempt.begin()


def fetch(pod: Pod) -> int:
    """Make the workspace of a pod's stage, and the script that runs its commands."""
    folder = os.path.join(pod.folder, script.FOLDER)
    workspace.remove(folder)
    os.makedirs(folder)
    main = os.path.join(pod.folder, script.NAME)
    script.write(main, "exit 0\n")
    for index, stage in _open(pod):
        attempt = Attempt(pod, index, _number(stage))
        start = time.monotonic()
        with pod.halt.interruptible():
            begun = attempt.begin()
        state = {"do": begun["do"], "index": index, "attempt": attempt.number}
        if begun["do"] == "run":
            try:
                with pod.halt.interruptible():
                    cwd = attempt.prepare(begun)
            except (AttemptFailed, Stopped) as error:
                return _given_up(attempt, _of(error, End("exited", seconds=since(start))))
            said = {**_said(pod, stage, begun), **(stage.get("secrets") or {})}
            env = {**commands.common(pod.home), **said, **commands.of_stage(pod.root, stage["address"])}
            script.write(os.path.join(folder, script.VARIABLES), script.variables(env), 0o600)
            script.write(main, script.text(folder, cwd, stage["commands"], stage.get("timeout")))
            state["measured"] = attempt.measured
        script.write(os.path.join(pod.folder, STATE), json.dumps(state))
        break
    return DONE


def store(pod: Pod) -> int:
    """Tell what came of the script."""
    for _, stage in _left_over(pod):
        state = json.loads(_left(pod, STATE) or b"{}")
        if state.get("do") == "cached":
            return DONE
        if not isinstance(state.get("index"), int) or not isinstance(state.get("attempt"), int):
            raise PodOver(AGAIN, "nothing is known of what was run here")
        attempt = Attempt(pod, state["index"], state["attempt"])
        attempt.measured = state.get("measured") or {}
        end = _script_ended(pod, stage)
        log = os.path.join(pod.folder, "masked.log")
        _write_log(pod, log, stage.get("secrets") or {})
        attempt.log = Following(pod.wire, log, attempt.log_url)
        attempt.log.start()
        attempt.log.finish()
        if end.well:
            try:
                attempt.store()
            except AttemptFailed as error:
                end = failed(error, end)
        end, answer = _ended(attempt, end)
        if answer.get("again"):
            return AGAIN
        if not end.well:
            return FAILED
    return DONE


COURSES: Dict[str, Callable[[Pod], int]] = {"run": run, "fetch": fetch, "store": store}


def _open(pod: Pod) -> Tuple[Tuple[int, Mapping[str, Any]], ...]:
    """The stages that need something still, with their numbers. Raises PodOver if they are not to be begun."""
    left = _left_over(pod)
    if left and not pod.share.get("go", True):
        raise PodOver(FAILED, "nothing more is to be done here")
    return left


def _left_over(pod: Pod) -> Tuple[Tuple[int, Mapping[str, Any]], ...]:
    """The stages of which an end is still to be told, also in a run that begins nothing more."""
    return tuple((index, stage) for index, stage in enumerate(pod.share["stages"]) if not stage.get("done"))


def _carried_out(attempt: Attempt, begun: Mapping[str, Any]) -> End:
    """One attempt up to its end, of which only the telling is left."""
    pod, stage = attempt.pod, attempt.stage
    directory = os.path.join(pod.folder, "attempts", "%d-%d" % (attempt.index, attempt.number))
    start, end = time.monotonic(), End("exited")
    try:
        workspace.remove(directory)
        os.makedirs(directory)
        said = _said(pod, stage, begun)
        with pod.halt.interruptible():
            cwd = attempt.prepare(begun)
            plain = commands.environ(pod.home, pod.root, stage["address"], {})
            env = commands.environ(pod.home, pod.root, stage["address"], said, attempt.environment(plain))
        attempt.log = Following(pod.wire, os.path.join(directory, "log"), attempt.log_url)
        attempt.log.start()
        order = commands.Order(
            stage["commands"], cwd, env, dict(stage.get("secrets") or {}), pod.token, stage.get("timeout"), _limit(pod),
            proxies.hidden(pod.share),
        )  # fmt: skip
        with attempt.shown():
            found = commands.run(order, directory, pod.halt)
        end = End(found["reason"], found["detail"], found["code"], found["signal"], found["seconds"], found["usage"])
        if end.well:
            attempt.store()
    except (AttemptFailed, Stopped) as error:
        end = _of(error, end if end.seconds else End("exited", seconds=since(start)))
    except OSError as error:
        end = failed(AttemptFailed("workspace", str(error)), end)
    except Refused as error:
        if error.status in OVER:
            raise over(error) from error
        end = failed(AttemptFailed("refused", str(error)), end)
    if attempt.log is not None:
        attempt.log.finish()
    return end


def _ended(attempt: Attempt, end: End) -> Tuple[End, Mapping[str, Any]]:
    """Tell how it ended, which may be the refusal of what it made. Raises PodOver if nobody wants to know, Away."""
    try:
        return end, _told(attempt, end)
    except AttemptFailed as error:
        end = failed(error, end)
        return end, _told(attempt, end)


def _told(attempt: Attempt, end: End) -> Mapping[str, Any]:
    """Tell how it ended. Raises PodOver if nobody wants to know, AttemptFailed for outputs that are refused, Away."""
    if not end.well:
        what = "ended with exit code %s" % end.code if end.reason == "exited" else end.reason
        say("%s: %s%s" % (attempt.stage["address"], what, " (%s)" % end.detail if end.detail else ""))
    if end.reason == "stopped":
        answer = attempt.tell_of_stop(end)
        if answer is not None:
            return answer
        attempt.pod.halt.sleep(THROWN_OUT)
    try:
        return attempt.tell(end)
    except Refused as error:
        raise over(error) from error


def _of(error: Exception, end: End) -> End:
    """`end` after that."""
    if isinstance(error, AttemptFailed):
        return failed(error, end)
    return end._replace(reason="stopped", detail="")


def _given_up(attempt: Attempt, end: End) -> int:
    """The exit code of a pod whose stage could not even begin."""
    answer = _told(attempt, end)
    return AGAIN if answer.get("again") or end.reason == "stopped" else FAILED


def _said(pod: Pod, stage: Mapping[str, Any], begun: Mapping[str, Any]) -> Dict[str, str]:
    """The variables that the server names."""
    own = {"REFMILL_RUN": pod.share["run"], **(stage.get("env") or {}), **(begun.get("env") or {})}
    secret: Mapping[str, str] = stage.get("secrets") or {}
    return {**proxies.of_stage(pod.share, {**own, **secret}), **own}


def _limit(pod: Pod) -> int:
    return int(pod.share.get("log_limit") or LOG_LIMIT)


def _left(pod: Pod, path: str) -> bytes:
    """A small file that lies where the commands of an image without Python could change it; b"" if there is none."""
    descriptor = workspace.open_inside(pod.base, ".refmill/" + path)
    if descriptor is None:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(workspace.CHUNK)


def _script_ended(pod: Pod, stage: Mapping[str, Any]) -> End:
    code = _left(pod, "%s/%s" % (script.FOLDER, script.CODE)).strip()
    began = _time(pod, script.BEGAN)
    seconds = max(0.0, _time(pod, script.CODE) - began) if began else 0.0
    if not code.isdigit():
        return End("lost", "the container of the commands did not come to its end", seconds=seconds)
    timed_out = _time(pod, script.TIMEOUT) > 0
    if timed_out and int(code):
        return End("timeout", "%g seconds" % (stage.get("timeout") or 0), int(code), seconds=seconds)
    return End("exited", "", int(code), seconds=seconds)


def _time(pod: Pod, name: str) -> float:
    descriptor = workspace.open_inside(pod.base, ".refmill/%s/%s" % (script.FOLDER, name))
    if descriptor is None:
        return 0.0
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)


def _write_log(pod: Pod, path: str, secrets: Mapping[str, str]) -> None:
    """The log of the script as the supervisor would have written it; its lines have the time of now."""
    workspace.remove(path)
    log = output.Log(path, _limit(pod), commands.Hiding([*secrets.values(), *proxies.hidden(pod.share)], pod.token))
    stream = output.Stream(log, "o")
    descriptor = workspace.open_inside(pod.base, ".refmill/%s/%s" % (script.FOLDER, script.LOG))
    if descriptor is not None:
        with os.fdopen(descriptor, "rb") as file:
            for block in iter(lambda: file.read(workspace.CHUNK), b""):
                stream.feed(block)
    stream.close()
    log.close()
