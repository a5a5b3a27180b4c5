"""`ialctl doctor` as it is typed: what it prints, how it ends, and that it starts nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.doctor.topics import TOPICS
from tests.cli.test_deploy import Tool
from tests.refusing import refusing


@pytest.fixture
def tool(tmp_path: Path) -> Iterator[Tool]:
    """The tool with an endpoint of its own, stopped at the end."""
    made = Tool(tmp_path)
    yield made
    made("stop")


def test_it_fits_a_terminal_and_ends_with_the_sum(tool: Tool) -> None:
    """80 columns, a mark a check, one line at the end; JSON has the same; exit 0."""
    assert tool("start", "-q").returncode == 0
    done = tool("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "fine, 0 warnings, 0 troubles" in done.stdout
    data = json.loads(tool("doctor", "--json").stdout)
    assert (data["schema"], data["healthy"], data["topic"]) == ("ialctl.doctor/1", True, None)
    assert sum(data["counts"].values()) == len(data["checks"])
    assert {"name", "state", "found", "means", "cure", "shell"} == set(data["checks"][0])


def test_trouble_is_exit_3_and_named_last(tool: Tool) -> None:
    """The one sentence on stderr names what is in trouble; stdout has the cure."""
    assert tool("start", "-q").returncode == 0
    done = tool("doctor", IAL_REDIS_URL="redis://:geheim@127.0.0.1:9/0")
    assert done.returncode == 3
    assert "In trouble: redis." in done.stderr
    assert "✗ redis" in done.stdout
    assert "geheim" not in done.stdout + done.stderr


def test_it_starts_nothing(tool: Tool) -> None:
    """In an empty folder it says what to type, makes no file, and ends with exit 4."""
    done = tool("doctor")
    assert done.returncode == 4
    assert "`ialctl start`" in done.stdout
    assert list(tool.folder.iterdir()) == []
    assert tool("start", "-q").returncode == 0
    assert tool("stop").returncode == 0
    assert "stopped; its data is kept" in tool("doctor").stdout
    assert json.loads(tool("status", "--json").stdout)["endpoint"]["running"] is False


def test_refused_credentials_are_exit_4(tool: Tool) -> None:
    """Nothing else is asked of a target that refuses them."""
    keys = {"AWS_ACCESS_KEY_ID": "AKIAWRONG", "AWS_SECRET_ACCESS_KEY": "wrong"}
    with refusing() as url:
        options = ("--target", "aws", "--region", "us-east-1", "--endpoint-url", url)
        done = tool("doctor", "--json", *options, **keys)
    assert done.returncode == 4
    states = {one["name"]: one["state"] for one in json.loads(done.stdout)["checks"]}
    assert (states["credentials"], states["tables"]) == ("trouble", "skipped")


@pytest.mark.parametrize("topic", TOPICS)
def test_each_topic_leads_somewhere(tool: Tool, topic: str) -> None:
    """Its checks only, also where nothing runs, and commands to go on with."""
    done = tool("doctor", "--for", topic)
    assert f"Next, about {topic}:" in done.stdout
    assert "`ialctl" in done.stdout.partition("Next, about")[2]
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "✗ endpoint" in done.stdout


def test_an_unknown_topic(tool: Tool) -> None:
    """It is wrong usage that names those there are."""
    done = tool("doctor", "--for", "sleep")
    assert done.returncode == 2
    assert "latency, memory, cost" in done.stderr
