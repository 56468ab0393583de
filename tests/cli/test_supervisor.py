"""The supervisor over real, small children: restarts, the order of stopping, signals, and that nothing outlives it."""

import os
import re
import select
import signal
from pathlib import Path

import pytest

PROGRAM = str(Path(__file__).parent / "programs" / "supervised.py")


@pytest.fixture
def supervised(program, tmp_path):
    return lambda data="steady", console="steady": program(PROGRAM, str(tmp_path), data, console)


def pids(said: list[str], name: str) -> list[int]:
    return [int(found[1]) for line in said if (found := re.match(rf"{name}: pid (\d+)", line))]


def ready(running) -> None:
    """Both children run and hear signals."""
    waiting = {"data", "console"}
    while waiting:
        waiting.discard(running.until(r'"child": "(data|console)", "event": "ready"')[1])


def test_told_to_stop_it_closes_the_door_then_drains_the_data_plane_then_the_console(supervised):
    running = supervised()
    ready(running)
    assert running.stop() == 0
    steps = ["closed the door", "data: told to stop", "console: told to stop"]
    places = [next(i for i, line in enumerate(running.said) if step in line) for step in steps]
    assert places == sorted(places)


@pytest.mark.parametrize("name", ["data", "console"])
def test_a_killed_child_is_started_again(supervised, tmp_path, name):
    running = supervised()
    ready(running)
    (tmp_path / f"{name}.ready").unlink()
    os.kill(pids(running.said, name)[0], signal.SIGKILL)
    running.until(f'"child": "{name}", "event": "ready"')
    assert running.stop() == 0
    assert len(pids(running.said, name)) == 2


def test_a_data_plane_that_cannot_start_ends_it_after_three_tries(supervised):
    running = supervised(data="fails")
    assert running.end() == 1
    assert len(pids(running.said, "data")) == 3
    assert any("given up" in line for line in running.said)


def test_a_wrong_configuration_is_not_tried_again(supervised):
    running = supervised(data="misconfigured")
    assert running.end() == 2
    assert len(pids(running.said, "data")) == 1


def test_a_console_that_cannot_start_leaves_the_data_plane_running(supervised):
    running = supervised(console="fails")
    for _ in range(4):
        running.until("console: pid")
    assert running.stop() == 0
    assert len(pids(running.said, "data")) == 1


def test_a_child_that_does_not_stop_is_killed_after_its_grace(supervised):
    running = supervised(data="stubborn")
    ready(running)
    assert running.stop() == 0
    assert any("took longer than its grace" in line for line in running.said)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_everything_at_once(supervised, second):
    running = supervised(data="slow")
    ready(running)
    running.send(signal.SIGTERM)
    running.until("data: told to stop")
    assert running.stop(second) == 128 + second
    assert not any("console: told to stop" in line for line in running.said)


def test_a_reload_goes_to_both(supervised):
    running = supervised()
    ready(running)
    running.send(signal.SIGHUP)
    running.until("supervisor: reload taken")
    heard = {running.until("(data|console): reloads")[1] for _ in range(2)}
    assert heard == {"data", "console"}
    running.stop()


def test_a_refused_reload_goes_to_none(supervised, tmp_path):
    running = supervised()
    ready(running)
    (tmp_path / "bad").touch()
    running.send(signal.SIGHUP)
    running.until("supervisor: reload refused")
    assert running.stop() == 0
    assert not any("reloads" in line for line in running.said)


def test_ctrl_c_reaches_the_supervisor_only(supervised):
    running = supervised()
    ready(running)
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.end() == 0
    assert any("data: told to stop" in line for line in running.said)


def test_no_child_outlives_a_killed_supervisor(supervised):
    running = supervised()
    ready(running)
    children = pids(running.said, "data") + pids(running.said, "console")
    waiting = [os.pidfd_open(pid) for pid in children]
    running.stop(signal.SIGKILL)
    for fd in waiting:
        assert ended(fd)
        os.close(fd)


def ended(pidfd: int) -> bool:
    """Whether the process has ended, waiting for it a while."""
    return bool(select.select([pidfd], [], [], 10)[0])
