"""The model that the client is to use: is there one, and does it answer? Found out before anything starts."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable

from . import Refused, client, turn
from .client import Client

PATIENCE = 60.0  # seconds for a first answer; an endpoint that is away for a while is no reason not to begin
# An agent without tools and with next to nothing to read, so that the question costs a few hundred tokens.
PROBE = {"mode": "primary", "prompt": "Reply with the word ok.", "permission": {"*": "deny"}}
KEY = "give opencode a key (`{opencode} auth login`, or a variable such as ANTHROPIC_API_KEY)"


def check(agent: Client) -> None:
    """Refuse a model that opencode does not know, and none at all."""
    try:
        known = agent.models()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"{agent.program} does not list its models: {error}") from None
    if agent.model is not None:
        if agent.model not in known:
            near = difflib.get_close_matches(agent.model, known, 3, 0.4)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise Refused(
                f"opencode knows no model {agent.model}: {hint}`{_opencode(agent)} models` lists what there is"
            )
    elif all(name.startswith("opencode/") for name in known):  # free ones, which nobody chose
        raise Refused(
            f"no model is configured: {KEY.format(opencode=_opencode(agent))}, describe a local one in "
            "~/.config/opencode/opencode.json (see README.md), or name one of "
            f"`{_opencode(agent)} models` with --model; to watch without any: scripts/start.sh --demo"
        )


def ask(agent: Client, say: Callable[[str], None]) -> None:
    """Have the model say one word. Raises Refused where its endpoint does not want to; `say` hears of less.

    A key that is wrong or missing, a model that the provider does not have: they would fail all night long.
    """
    try:
        configured = json.loads(agent.environ.get("OPENCODE_CONFIG_CONTENT") or "{}")
        agents = {**configured.get("agent", {}), "probe": PROBE}
    except (ValueError, TypeError, AttributeError):  # opencode takes comments in it, and we do not
        return
    environ = {**agent.environ, "OPENCODE_CONFIG_CONTENT": json.dumps({**configured, "agent": agents})}
    until = time.monotonic() + PATIENCE
    process = Client(agent.program, agent.root, environ, agent.model).turn("Reply with ok.", None, "probe")
    took = turn.follow(process, lambda event: None, lambda: time.monotonic() > until)
    killed = process.returncode is not None and process.returncode < 0  # which says nothing about the model
    if took.error and not killed and (took.crashed or not took.retryable):
        raise Refused(
            f"the model does not answer: {took.error}: if it is the key, {KEY.format(opencode=_opencode(agent))}; "
            "another model: --model"
        )
    if took.error or time.monotonic() > until:
        say(f"the model did not answer within {PATIENCE:.0f} s ({took.error or 'no word'}); going on all the same")


def check_version(agent: Client, say: Callable[[str], None]) -> None:
    """Tell where this opencode is not the one that everything here was tried with."""
    command = [str(agent.program), "--version"]
    version = ""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command,
            env=dict(agent.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        version = done.stdout.strip()
    if version != client.OPENCODE_VERSION:
        say(f"opencode {version or 'of an unknown version'}; tried was {client.OPENCODE_VERSION}: going on")


def _opencode(agent: Client) -> str:
    """As the person would call it."""
    return "opencode" if shutil.which("opencode") else os.path.relpath(agent.program)
