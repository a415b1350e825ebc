# SPDX-License-Identifier: GPL-3.0-or-later
"""The client against processes that speak its protocol well, badly, late and never."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
import stand_in
from one_job import Engine

from blender_addon.engine import process, systems, whereabouts
from blender_addon.engine.process import Failure, Hello, Phase, Progress, Result
from blender_addon.engine.whereabouts import find_python
from blender_addon.errors import PeekabooError

DEADLY = [
    getattr(signal, f"SIG{name}")
    for name in ["HUP", "INT", "QUIT", "ILL", "ABRT", "BUS", "FPE", "SEGV", "PIPE", "TERM", "KILL"]
]
DEADLY += [signal.SIGRTMIN, signal.SIGRTMIN + 1, signal.SIGRTMAX - 1]

GOOD_RUN = (
    stand_in.HELLO
    + """
open(out + "/clip.mp4", "w").close()
print('{"event":"phase","phase":"denoise"}')
print('{"event":"progress","step":1,"total":2}')
print('{"event":"sparkle"}')
print('{"event":"result","clip":"%s/clip.mp4","info":"%s/clip.json","seconds":1.5}' % (out, out), flush=True)
"""
)


@pytest.fixture
def start(tmp_path):
    engines = []

    def start_stand_in(body):
        engines.append(Engine(tmp_path, tmp_path, stand_in.write(tmp_path, body)))
        return engines[-1]

    yield start_stand_in
    for engine in engines:
        engine.cancel()


def gone(pid):
    """Whether no process has that id any more; a zombie of ours has been waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_events_come_in_order_and_unknown_ones_are_passed_over(start, tmp_path):
    events = []
    result = start(GOOD_RUN).run(events.append)
    assert events == [Hello("9", "cpu"), Phase("denoise"), Progress(1, 2), result]
    assert result == Result(tmp_path / "clip.mp4", tmp_path / "clip.json", 1.5)


def test_polling_never_waits_and_ends_with_the_result(start):
    engine = start("time.sleep(0.5)\n" + GOOD_RUN)
    events = engine.poll()
    assert events == []
    while not engine.ended:
        events += engine.poll()
        time.sleep(0.01)
    assert isinstance(events[-1], Result)
    assert engine.poll() == []


def test_an_engine_killed_in_mid_run_is_told_by_its_signal_and_log(start, tmp_path):
    engine = start(stand_in.HELLO + "os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(PeekabooError, match=rf"killed by SIGKILL, .*{tmp_path}/engine.log"):
        engine.run(lambda event: None)


def test_an_engine_that_fails_to_start_is_told_by_its_exit_code(start):
    engine = start("sys.exit('no torch here')")
    with pytest.raises(PeekabooError, match="exit code 1"):
        engine.run(lambda event: None)
    assert engine.log.read_text() == "no torch here\n"


def test_the_engines_own_sentence_is_passed_on(start):
    body = (
        stand_in.HELLO + """print('{"event":"error","code":"x","message":"The disk is full: free some."}')"""
    )
    with pytest.raises(PeekabooError, match=r"^The disk is full: free some\.$"):
        start(body).run(lambda event: None)


def test_a_silent_engine_is_given_up_and_ended(start, monkeypatch):
    monkeypatch.setattr(process, "START_SECONDS", 0.3)
    engine = start("sys.stdin.read()")
    with pytest.raises(PeekabooError, match="did not answer"):
        engine.run(lambda event: None)
    assert gone(engine.process.pid)


def test_a_silent_engine_is_given_up_when_polled(start, monkeypatch):
    monkeypatch.setattr(process, "START_SECONDS", 0.3)
    engine = start("sys.stdin.read()")
    events = []
    while not engine.ended:
        events += engine.poll()
        time.sleep(0.01)
    assert [event.code for event in events] == ["no_hello"]


@pytest.mark.parametrize(
    "line",
    [
        "'not json'",
        "'[]'",
        """'{"event": "progress"}'""",
        """'{"event": "progress", "step": 1e999, "total": 2}'""",
        """'{"event": "progress", "step": true, "total": 2}'""",
        """'{"event": "notice", "message": 7}'""",
        """'{"event": "phase", "phase": "load", "id": {}}'""",
        """'{"event": "preview", "path": "a\\\\u0000b"}'""",
        """'{"event": "result", "clip": "\\\\ud800", "info": "", "seconds": 1}'""",
        "'[' * 50000",
        """'{"event":' * 5000""",
        "'1' * 6000",
        "'x' * 10**6",
        "chr(0xdc80)",
    ],
)
def test_what_is_not_the_protocol_is_a_failure(start, line):
    body = (
        f"sys.stdout.buffer.write(({line}).encode('utf-8', 'surrogateescape') + b'\\n'); sys.stdout.flush()"
    )
    engine = start(stand_in.HELLO + f"{body}; sys.stdin.read()")
    with pytest.raises(PeekabooError, match="wrote what it should not"):
        engine.run(lambda event: None)


def test_a_line_that_never_ends_is_a_failure(start):
    engine = start(stand_in.HELLO + "while True: sys.stdout.write('x' * 10000)")
    with pytest.raises(PeekabooError, match="wrote what it should not"):
        engine.run(lambda event: None)


def test_an_engine_that_says_too_much_has_to_wait(start):
    engine = start(stand_in.HELLO + """while True: print('{"event": "phase", "phase": "load"}')""")
    while not engine.poll():
        time.sleep(0.01)
    time.sleep(0.2)
    assert len(engine.poll()) <= process.MOST_MESSAGES


@pytest.mark.parametrize("number", DEADLY)
def test_an_engine_killed_by_any_signal_is_told_in_a_sentence(start, number):
    """Of those that have no name, too."""
    engine = start(
        stand_in.HELLO + f"signal.signal({number}, signal.SIG_DFL) if {number} != 9 else 0\n"
        f"os.kill(os.getpid(), {number}); time.sleep(60)"
    )
    with pytest.raises(
        PeekabooError, match=rf"^The engine was killed by (SIG\w+|signal {int(number)}).*log is"
    ):
        engine.run(lambda event: None)


def test_what_an_engine_says_is_shown_without_controls(start):
    message = r"""print('{"event": "error", "code": "x", "message": "a\\u001b]0;b\\u0007 \\u202ec: d."}')"""
    with pytest.raises(PeekabooError, match=r"^a\\x1b\]0;b\\x07 \\u202ec: d\.$"):
        start(stand_in.HELLO + message).run(lambda event: None)


def test_the_log_does_not_follow_a_link(start, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "engine.log").symlink_to(precious)
    engine = start("sys.exit('no torch here')")
    with pytest.raises(PeekabooError):
        engine.run(lambda event: None)
    assert precious.read_text() == "precious" and engine.log.read_text() == "no torch here\n"


def test_another_protocol_is_refused(start):
    engine = start("""print('{"event":"hello","protocol":2,"engine":"9","device":"cpu"}')""")
    with pytest.raises(PeekabooError, match="same release"):
        engine.run(lambda event: None)


def test_a_result_without_a_clip_is_a_failure(start):
    engine = start(GOOD_RUN.replace('/clip.mp4", "w"', '/other", "w"'))
    with pytest.raises(PeekabooError, match="left no clip"):
        engine.run(lambda event: None)


def test_cancelling_closes_stdin_first(start, tmp_path):
    engine = start(stand_in.HELLO + "sys.stdin.read(); open(out + '/tidy', 'w').close()")
    next(engine.events())
    engine.cancel()
    assert (tmp_path / "tidy").exists() and engine.process.returncode == 0


def test_cancelling_kills_what_does_not_listen(start, monkeypatch):
    monkeypatch.setattr(process, "CANCEL_SECONDS", 0.2)
    monkeypatch.setattr(process, "TERMINATE_SECONDS", 0.2)
    engine = start("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + stand_in.HELLO + "time.sleep(600)")
    next(engine.events())
    engine.cancel()
    assert gone(engine.process.pid) and engine.ended
    engine.cancel()  # a second time does nothing


def test_the_engine_does_not_inherit_blenders_python_settings(start, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    engine = start(GOOD_RUN)  # a Python with that home would not start
    assert isinstance(engine.run(lambda event: None), Result)


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="Windows gets it with the process's creation")
def test_the_engine_steps_back_for_blender(start):
    engine = start(stand_in.HELLO + "time.sleep(60)")
    assert os.getpriority(os.PRIO_PROCESS, engine.process.pid) == systems.NICENESS
    group = Path(f"/proc/{engine.process.pid}/autogroup")
    if group.is_file() and (said := group.read_text()):  # Linux with scheduling by session
        assert said.endswith(f"nice {systems.NICENESS}\n")


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="POSIX")
def test_without_a_window_it_takes_its_share(tmp_path):
    settings = process.EngineSettings(Path(sys.executable), False, 60.0, steps_back=False)
    engine = process.WarmEngine(settings, tmp_path / "engine.log")
    try:
        assert os.getpriority(os.PRIO_PROCESS, engine.process.pid) == os.getpriority(os.PRIO_PROCESS, 0)
    finally:
        engine.cancel()


def test_failures_are_data(start):
    events = list(start("sys.exit(3)").events())
    assert [type(event) for event in events] == [Failure]


def test_a_sign_of_life_gives_the_imports_their_own_time(start, monkeypatch):
    monkeypatch.setattr(process, "START_SECONDS", 30)
    monkeypatch.setattr(process, "HELLO_SECONDS", 0.3)
    engine = start("""print('{"event":"start"}', flush=True); sys.stdin.read()""")
    *_, failure = engine.events()
    assert failure.code == "no_hello" and "within 0 seconds" in failure.message


ECHO = """
import json
for line in sys.stdin:
    request = json.loads(line)
    if request["request"] == "cancel":
        failure = {"event": "error", "code": "cancelled", "message": "!", "id": request["id"]}
        print(json.dumps(failure), flush=True)
    elif request["out"].endswith("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    elif request["out"].endswith("leave"):
        sys.exit()
    elif request["out"].endswith("broken"):
        failure = {"event": "error", "code": "unexpected", "message": "Report it with the log."}
        print(json.dumps(failure | {"id": request["id"]}), flush=True)
    elif not request["out"].endswith("wait"):
        open(request["out"] + "/clip.mp4", "w").close()
        about = {"id": request["id"], "clip": request["out"] + "/clip.mp4", "info": "", "seconds": 1}
        print(json.dumps({"event": "notice", "message": "?", "id": request["id"]}), flush=True)
        print(json.dumps({"event": "result", **about}), flush=True)
"""


@pytest.fixture
def warm(tmp_path):
    python = stand_in.write(tmp_path, stand_in.HELLO + ECHO, out=False)
    engine = process.WarmEngine(process.EngineSettings(python, False, 60), tmp_path / "log")
    yield engine
    engine.cancel()


def test_a_warm_engine_runs_one_job_after_the_other(warm, tmp_path):
    events = warm.events()
    assert next(events) == Hello("9", "cpu")
    for name in ("a", "b"):
        warm.generate(name, tmp_path / "job", tmp_path)
        assert next(events) == process.Notice("?", name)
        assert next(events) == Result(tmp_path / "clip.mp4", Path(), 1.0, name)
    warm.generate("c", tmp_path / "job", tmp_path / "wait")
    warm.cancel_job("c")
    assert next(events) == Failure("cancelled", "!", "c")
    assert not warm.ended


def test_a_warm_engine_that_dies_says_so_of_itself_not_of_a_job(warm, tmp_path):
    warm.generate("a", tmp_path / "job", tmp_path / "die")
    *_, last = warm.events()
    assert (last.code, last.job) == ("killed", None) and warm.ended
    warm.generate("b", tmp_path / "job", tmp_path)  # nobody reads it, and nothing happens


def test_the_engines_python_is_the_first_that_was_chosen(tmp_path, monkeypatch):
    chosen, stated = tmp_path / "chosen", tmp_path / "stated"
    chosen.touch()
    stated.touch()
    monkeypatch.setenv("PEEKABOO_PYTHON", str(stated))
    assert find_python(str(chosen)) == chosen
    assert find_python() == stated
    stated.unlink()
    with pytest.raises(PeekabooError, match="does not exist: correct or unset PEEKABOO_PYTHON"):
        find_python()
    with pytest.raises(PeekabooError, match=r"does not exist: correct the path\."):
        find_python(str(stated))


def test_the_engines_python_may_be_named_by_its_environment(tmp_path):
    with pytest.raises(PeekabooError, match="does not exist"):
        find_python(str(tmp_path))
    python = systems.python_of(tmp_path)
    python.parent.mkdir()
    python.touch()
    assert find_python(str(tmp_path)) == python


def test_the_engines_python_is_found_in_the_extensions_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("PEEKABOO_PYTHON", raising=False)
    monkeypatch.setattr(whereabouts, "PACKAGE_FOLDER", tmp_path / "checkout" / "blender_addon")
    with pytest.raises(PeekabooError, match="environment is not there"):
        find_python(extension_folder=tmp_path)
    python = tmp_path / "engine" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    python.parent.mkdir(parents=True)
    python.touch()
    with pytest.raises(PeekabooError, match="set-up is not complete: press Set Up Engine to go on"):
        find_python(extension_folder=tmp_path)
    (tmp_path / "engine" / whereabouts.COMPLETE).touch()
    assert find_python(extension_folder=tmp_path) == python


def test_an_engine_that_ends_at_its_start_leads_to_the_check(start):
    *_, last = start("sys.exit(3)").events()
    assert last.message.startswith("The engine ended with exit code 3 at its start: press Check Engine")


def test_a_python_that_cannot_run_is_one_sentence(tmp_path):
    with pytest.raises(PeekabooError, match="cannot be started"):
        Engine(tmp_path, tmp_path, tmp_path / "missing")
