"""What the real client makes of this repository's configuration: the skill, the agent, the permissions."""

from __future__ import annotations

import json

import pytest
from researcher.conversation import Call, Conversation, Did, Move, Say

from .lab import TAG, Lab

SKILL = ".opencode/skills/autoresearch/SKILL.md"
FORBIDDEN = [
    Call("edit", {"filePath": "prepare.py", "oldString": "def start_run", "newString": "def x"}),
    Call("edit", {"filePath": "program.md", "oldString": "# Program\n", "newString": "#\n"}),
    Call(
        "edit",
        {
            "filePath": ".opencode/skills/autoresearch/SKILL.md",
            "oldString": "name: autoresearch",
            "newString": "#",
        },
    ),
    Call("write", {"filePath": "tools/new.py", "content": "pass"}),
    Call("write", {"filePath": "/tmp/elsewhere.txt", "content": "pass"}),
    Call("read", {"filePath": "/etc/hostname"}),
    Call("read", {"filePath": ".env"}),
    *(
        Call("bash", {"command": command})
        for command in (
            "git push origin HEAD",
            "git reset --hard HEAD~1",
            "git checkout HEAD~1 -- prepare.py",
            "git status && git stash",
            "curl -s http://127.0.0.1/",
            "wget http://127.0.0.1/",
            "python3 -m pip install x",
            "uv add x",
            "git branch -D main",
            "tools/verify.py",
            "python3 ./tools/verify.py --help",
            "./scripts/start.sh",
            "tools/stop.py --now",
            "tools/next_turn.py --begin x",
            "rm -rf runs",
            "git switch main",
            "git merge main",
            "git worktree add ../x",
            "touch STOP",
            "echo now > STOP",
            "cd tools && ./stop.py",
            "npx x",
        )
    ),
]
ALLOWED = [
    Call("edit", {"filePath": "train.py", "oldString": "import gc\n", "newString": "import gc  # edited\n"}),
    Call("bash", {"command": "git log -1 --format=seen-%s; git diff --stat"}),
    Call("read", {"filePath": "references/ideas.md"}),
    Call("bash", {"command": "tools/revert.py --help; git switch -c autoresearch/other"}),
]
PURE = {"OPENCODE_PURE": "1"}  # the client without plugins


@pytest.mark.parametrize("below", [".", "tools/harness"])
def test_the_skill_is_found_once(bare: Lab, below: str):
    found = json.loads(bare.client("debug", "skill", below=below))
    ours = [skill for skill in found if skill["name"] == "autoresearch"]
    assert [skill["location"] for skill in ours] == [str(bare.repo / SKILL)]
    assert bare.git("status", "--porcelain", "--untracked-files=all") == ""


@pytest.mark.parametrize("agent", ["researcher", "build"])
def test_nothing_is_ever_asked(bare: Lab, agent: str):
    rules = json.loads(bare.client("debug", "agent", agent))["permission"]
    for number, rule in enumerate(rules):
        later = [r for r in rules[number + 1 :] if r["permission"] in (rule["permission"], "*")]
        if rule["action"] == "ask":
            assert any(r["pattern"] in ("*", rule["pattern"]) and r["action"] != "ask" for r in later), rule


def test_the_researcher_is_the_agent_where_none_is_named(bare: Lab):
    with bare.model(lambda conversation: Say("done")) as address:
        bare.turn("go", address)
    system = str(bare.requests[-1]["request"]["messages"][0]["content"])
    own = (bare.repo / ".opencode/agents/researcher.md").read_text().partition("\n---\n")[2]
    assert system.startswith(own.strip()[:200]) and "You are opencode" not in system


@pytest.mark.parametrize("pure", [False, True], ids=["plugin", "rules alone"])
def test_what_is_denied_says_so_and_the_turn_goes_on(bare: Lab, pure: bool):
    """Started below the root, where patterns are most easily wrong; with the plugin, which says what to do
    instead, and by the rules of opencode.json alone, which deny the same."""

    def rooted(call: Call) -> Call:
        """The call as it must be where the client was started below the root."""
        if call.tool == "bash":
            return Call("bash", {**call.arguments, "workdir": str(bare.repo)})
        return Call(call.tool, {**call.arguments, "filePath": str(bare.repo / call.arguments["filePath"])})

    script = [rooted(call) for call in FORBIDDEN + ALLOWED]

    def policy(conversation: Conversation) -> Move:
        done = sum(isinstance(event, Did) for event in conversation.events)
        return script[done] if conversation.tools and done < len(script) else Say("done")

    with bare.model(policy) as address:
        events = bare.turn("go", address, below="tools", **(PURE if pure else {}))
    states = [event["part"]["state"] for event in events if event["type"] == "tool_use"]
    assert len(states) == len(script), states[-1]
    for call, state in zip(FORBIDDEN, states, strict=False):
        assert state["status"] == "error" and ("prevents you" in state["error"]) == pure, (call, state)
    for call, state in zip(ALLOWED, states[len(FORBIDDEN) :], strict=True):
        assert state["status"] == "completed", (call, state)
    assert "seen-the working tree" in states[-3]["output"] and "train.py | 2 +-" in states[-3]["output"]
    assert bare.git("diff", "--name-only") == "train.py"
    bare.git("checkout", "--quiet", "train.py")
    bare.git("switch", "--quiet", f"autoresearch/{TAG}")
    bare.git("branch", "--quiet", "-D", "autoresearch/other")
    offered = {tool["function"]["name"] for tool in bare.requests[-1]["request"]["tools"]}
    assert offered == {"bash", "edit", "glob", "grep", "read", "skill", "write"}
