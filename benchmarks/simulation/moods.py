"""How a model strays from the loop: what it says or does instead of the next step.

A passing mood takes one answer, a lasting one a dozen in a row. None of it may cost the campaign more than time.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from random import Random
from typing import Any

from .view import View
from .wire import Reply, ToolCall, call

Mood = Callable[[View, Random], Reply | None]
LASTS = 12  # answers
LASTING_SHARE = 0.06  # of every second stretch of so many answers, for each of the lasting moods


def _bash(behaviour: str, command: str, **more: Any) -> Reply:
    return call(behaviour, "bash", command=command, description="a step of my own", **more)


def _tool(name: str, **arguments: object) -> ToolCall:
    return ToolCall(name, json.dumps(arguments))


# ---------------------------------------------------------------------------------------------------
# Words in the place of work


def question(seen: View, dice: Random) -> Reply:
    asked = ("Should I continue with another experiment?", "Is this a good stopping point? Let me know.")
    return Reply("question", dice.choice(asked))


def done(seen: View, dice: Random) -> Reply:
    return Reply("done", "I am done: the experiments of this session are complete. Here is a summary.")


def apology(seen: View, dice: Random) -> Reply:
    return Reply("apology", "I apologise for the confusion. I should not have done that.")


def chatter(seen: View, dice: Random) -> Reply:
    said = ("Momentum smooths the gradient.", "Let me think about what the curve tells us.", "I will now run it.")
    return Reply("chatter", dice.choice(said))


def silence(seen: View, dice: Random) -> Reply:
    return Reply("silence")


# ---------------------------------------------------------------------------------------------------
# Calls that are none


def broken_json(seen: View, dice: Random) -> Reply:
    return Reply("broken JSON", "", (ToolCall("bash", '{"command": "tools/status.py'),))


def unknown_tool(seen: View, dice: Random) -> Reply:
    return Reply("unknown tool", "", (_tool("run_training", epochs=3),))


def no_arguments(seen: View, dice: Random) -> Reply:
    return Reply("no arguments", "", (ToolCall(dice.choice(("bash", "read", "edit")), "{}"),))


def wrong_type(seen: View, dice: Random) -> Reply:
    return Reply("wrong type", "", (_tool("bash", command=["tools/status.py"], timeout="long"),))


# ---------------------------------------------------------------------------------------------------
# Steps that the bench refuses, or the client


def no_op(seen: View, dice: Random) -> Reply | None:
    if seen.edited:
        return None
    return _bash("no-op", "scripts/run_experiment.sh -m 'exp: nothing at all'")


def same_text(seen: View, dice: Random) -> Reply:
    return call("same text", "edit", filePath="train.py", oldString="BATCH = ", newString="BATCH = ")


def out_of_turn(seen: View, dice: Random) -> Reply:
    commands = ("tools/revert.py", "tools/log_result.py -d early", "scripts/run_experiment.sh --confirm")
    return _bash("out of turn", dice.choice(commands))


def forbidden(seen: View, dice: Random) -> Reply:
    if dice.random() < 0.3:
        old, new = "VOCABULARY = 128", "VOCABULARY = 64"
        return call("forbidden", "edit", filePath="prepare.py", oldString=old, newString=new)
    commands = (
        "git push origin HEAD",
        "curl http://127.0.0.1:9/weights",
        "rm results.tsv",
        "git reset --hard HEAD~1",
        "pip install torch",
        "scripts/start.sh --headless",
    )
    return _bash("forbidden", dice.choice(commands))


def subagent(seen: View, dice: Random) -> Reply:
    arguments = {"description": "an idea", "prompt": "Think of an idea.", "subagent_type": "general"}
    return call("subagent", "task", **arguments)


def outside(seen: View, dice: Random) -> Reply:
    return call("outside", "read", filePath="/etc/hostname")


# ---------------------------------------------------------------------------------------------------
# Steps that the bench has to cope with


def by_hand(seen: View, dice: Random) -> Reply | None:
    """A commit of one's own, which the bench takes for an edit."""
    if not seen.edited:
        return None
    myself = "-c user.name=me -c user.email=me@example.org"
    return _bash("by hand", f"git {myself} commit -q -a -m 'my own commit' && tools/status.py")


def short_time(seen: View, dice: Random) -> Reply | None:
    """A run with a time-out that is too short for it."""
    if not seen.edited or not seen.step.startswith(("edit train.py", "scripts/run_experiment.sh -m")):
        return None
    message = shlex.quote(f"exp: {seen.idea or 'in haste'}")
    return _bash("short time", f"scripts/run_experiment.sh -m {message}", timeout=dice.choice((300, 1000, 2000)))


def several(seen: View, dice: Random) -> Reply:
    """Several calls in one message, which the client carries out side by side."""
    calls = [_tool("bash", command="tools/status.py", description="where we are")]
    calls.append(_tool("read", filePath="program.md"))
    if seen.edited and not seen.idea.startswith("fix"):
        message = shlex.quote(f"exp: {seen.idea or 'several at once'}")
        calls.append(_tool("bash", command=f"scripts/run_experiment.sh -m {message}", description="run"))
        calls.append(_tool("bash", command="tools/log_result.py -d 'at once'", description="log"))
    return Reply("several", "", tuple(calls))


PASSING: dict[Mood, int] = {  # with its weight
    question: 3,
    done: 3,
    apology: 2,
    chatter: 2,
    silence: 1,
    broken_json: 3,
    unknown_tool: 2,
    no_arguments: 2,
    wrong_type: 2,
    no_op: 3,
    same_text: 1,
    out_of_turn: 4,
    forbidden: 5,
    subagent: 2,
    outside: 1,
    by_hand: 10,  # there is seldom occasion for the two
    short_time: 10,
    several: 6,
}


def passing(seen: View, dice: Random) -> Reply:
    """One answer that strays, in a mood that has occasion to show."""
    possible = {strayed: weight for mood, weight in PASSING.items() if (strayed := mood(seen, dice)) is not None}
    (strayed,) = dice.choices(list(possible), list(possible.values()))
    return strayed


def talk_on(seen: View, dice: Random) -> Reply:
    return Reply("talking on", "Before I go on, let me reflect on what we have learned so far.")


def stubborn(seen: View, dice: Random) -> Reply:
    return _bash("stubborn", "tools/train_model --fast")


def lasting(seed: int, number: int) -> Callable[[View, Random], Reply] | None:
    """The mood that lasts at request `number`; None as a rule.

    Never in the first stretch, and never in two that follow each other: three fresh sessions without an experiment
    are what the pack ends research for, and rightly so.
    """
    stretch = number // LASTS
    roll = Random(f"{seed}/lasting/{stretch}").random()
    if stretch % 2 == 0 or roll >= 2 * LASTING_SHARE:
        return None
    return stubborn if roll < LASTING_SHARE else talk_on
