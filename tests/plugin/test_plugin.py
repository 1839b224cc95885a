"""The plugin's decisions, played to it hook by hook with a client that only takes notes.

The JavaScript runs in the client's own runtime, which is bun. With the real client: tests/e2e/test_keep_going.py.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from harness import client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PROJECT = Path(__file__).parents[2]
PLUGIN = Path(".opencode", "plugins", "autoresearch.js")
# In the place of tools/next_turn.py: takes its time, notes what it is told, and answers what it is to answer.
ANSWERER = """
import pathlib, sys, time
folder = pathlib.Path("answers")
time.sleep(float((folder / "seconds").read_text()))
with (folder / "reports").open("a") as file:
    file.write(sys.argv[2] + "\\n")
print((folder / "answer").read_text())
"""
SESSION = "ses_root"
Step = list[Any]


@dataclass
class Stage:
    """A checkout with the plugin in it, and what happened at the last play."""

    root: Path
    opencode: Path
    environ: dict[str, str] = field(default_factory=dict)
    took: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def answers(self, action: str, text: str = "", seconds: float = 0.0) -> None:
        """What tools/next_turn.py says from now on."""
        (self.root / "answers" / "answer").write_text(json.dumps({"action": action, "text": text}))
        (self.root / "answers" / "seconds").write_text(str(seconds))

    def play(self, *steps: Step, children: tuple[str, ...] = (), **failing: int) -> list[str]:
        """Play the hooks; returns what the client was asked for, by name. `failing`: how often it fails at it."""
        script = self.root / "script.json"
        script.write_text(json.dumps({"steps": steps, "children": children, "failing": failing}))
        environ = {"BUN_BE_BUN": "1", "HOME": str(self.root), "PATH": "/usr/bin:/bin", **self.environ}
        command = [str(self.opencode), "run", str(PROJECT / "tests" / "plugin" / "play.mjs")]
        done = subprocess.run(
            [*command, str(self.root / PLUGIN), str(script)], env=environ, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        self.took, self.asked = told["took"], told["asked"]
        return [own["name"] for own in self.asked]

    def hurry(self) -> None:
        """Have what fails tried again at once, twice."""
        plugin = self.root / PLUGIN
        plugin.write_text(re.sub(r"RETRY_MS = .*?\]", "RETRY_MS = [20, 20]", plugin.read_text(), count=1))

    @property
    def reports(self) -> list[dict[str, Any]]:
        """What tools/next_turn.py was told."""
        path = self.root / "answers" / "reports"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def refusals(self, *calls: tuple[str, dict[str, Any]]) -> list[str | None]:
        """Why each call is denied; None for one that is not."""
        self.play(*(["tool.execute.before", {"tool": t, "sessionID": SESSION}, {"args": a}] for t, a in calls))
        return [step.get("error") for step in self.took]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    opencode = client.find_program(PROJECT, "opencode")
    if opencode is None:
        pytest.fail("the plugin runs in opencode, which is missing: run scripts/setup.sh")
    for file in (PLUGIN, Path("scripts", "python.sh")):
        (tmp_path / file).parent.mkdir(parents=True)
        shutil.copy(PROJECT / file, tmp_path / file)
    for folder in ("tools", "answers", ".git", "runs/t1"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tools" / "next_turn.py").write_text(ANSWERER)
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/autoresearch/t1\n")
    stage = Stage(tmp_path, opencode)
    stage.answers("prompt", "Go on.")
    return stage


def event(kind: str, session: str = SESSION, **more: object) -> Step:
    return ["event", {"event": {"type": kind, "properties": {"sessionID": session, **more}}}]


def said(text: str = "hello", session: str = SESSION) -> Step:
    message = {"agent": "build", "model": {"providerID": "p", "modelID": "m"}}
    return [
        "chat.message",
        {"sessionID": session},
        {"message": message, "parts": [{"type": "text", "text": text}]},
    ]


def begun(session: str = SESSION) -> list[Step]:
    """A turn in which the skill is loaded."""
    skill: Step = [
        "tool.execute.before",
        {"tool": "skill", "sessionID": session},
        {"args": {"name": "autoresearch"}},
    ]
    return [said(session=session), event("session.status", session, status={"type": "busy"}), skill]


def called(command: str, code: int = 0, session: str = SESSION) -> Step:
    about = {"tool": "bash", "sessionID": session, "args": {"command": command}}
    return ["tool.execute.after", about, {"output": "", "metadata": {"exit": code}}]


def updated(**more: object) -> Step:
    """What the client says of an answer, again and again."""
    info = {"role": "assistant", "sessionID": SESSION, **more}
    return ["event", {"event": {"type": "message.updated", "properties": {"info": info}}}]


def idle(session: str = SESSION) -> Step:
    return event("session.idle", session)


# ---------------------------------------------------------------------------------------------------
# What follows a turn


def test_a_turn_that_ends_is_followed_by_a_prompt(stage: Stage) -> None:
    asked = stage.play(*begun(), called("ls"), called("pwd", 1), idle(), ["asked", "promptAsync"])
    assert asked == ["promptAsync"]
    body = stage.asked[0]["body"]
    assert body["parts"] == [{"type": "text", "text": "Go on."}]
    assert (body["agent"], body["model"]) == ("build", {"providerID": "p", "modelID": "m"})
    (report,) = stage.reports
    assert report == {
        "session": SESSION,
        "calls": 2,
        "stuck": "",
        "error": "",
        "retryable": True,
        "aborted": False,
    }


def test_an_end_that_is_told_twice_is_one(stage: Stage) -> None:
    failure = event("session.error", error={"name": "APIError", "data": {"message": "no", "isRetryable": False}})
    stage.play(*begun(), failure, idle(), idle(), ["asked", "promptAsync"], ["wait", 1000])
    (report,) = stage.reports
    assert (report["error"], report["retryable"]) == ("no", False)


def test_the_next_turn_is_counted_anew(stage: Stage) -> None:
    busy = event("session.status", status={"type": "busy"})
    second = [said("Go on."), busy, idle(), ["wait", 1000]]
    stage.play(*begun(), called("ls"), idle(), ["asked", "promptAsync"], *second)
    assert [report["calls"] for report in stage.reports] == [1, 0]


@pytest.mark.parametrize(
    "steps",
    [
        [said(), event("session.status", status={"type": "busy"}), idle()],  # no research
        [*begun("ses_child"), idle("ses_child")],
        [*begun(), *begun("ses_two"), idle()],  # the last one is driven
        [*begun(), event("session.error", error={"name": "MessageAbortedError"}), idle()],
        [*begun(), updated(error={"name": "MessageAbortedError"}), idle()],
    ],
    ids=["no research", "a subagent", "another session", "aborted", "aborted before a word"],
)
def test_who_is_never_prompted(stage: Stage, steps: list[Step]) -> None:
    assert stage.play(*steps, ["wait", 800], children=("ses_child",)) == []
    assert stage.reports == []


def test_after_an_abort_the_person_speaks_and_it_goes_on(stage: Stage) -> None:
    abort = event("session.error", error={"name": "MessageAbortedError"})
    again = [
        said("now do that"),
        event("session.status", status={"type": "busy"}),
        idle(),
        ["asked", "promptAsync"],
    ]
    assert stage.play(*begun(), abort, idle(), idle(), ["wait", 500], *again) == ["promptAsync"]


def test_word_of_an_abort_may_come_late(stage: Stage) -> None:
    """On a busy machine the client says that a turn has ended well before it says that it was aborted."""
    stage.answers("prompt", "Go on.", seconds=1.5)
    abort = event("session.error", error={"name": "MessageAbortedError"})
    assert stage.play(*begun(), idle(), ["wait", 800], abort, ["wait", 1500]) == []
    busy = event("session.status", status={"type": "busy"})
    stage.answers("prompt", "Go on.")
    assert stage.play(*begun(), idle(), abort, said(), busy, idle(), ["asked", "promptAsync"]) == ["promptAsync"]


def test_headless_it_never_prompts(stage: Stage) -> None:
    stage.environ["AUTORESEARCH_HEADLESS"] = "1"
    assert stage.play(*begun(), *[called("ls", 1)] * 9, idle(), ["wait", 800]) == []


def test_a_person_who_speaks_first_is_not_interrupted(stage: Stage) -> None:
    stage.answers("prompt", "Go on.", seconds=1.5)
    assert stage.play(*begun(), idle(), ["wait", 800], said(), ["wait", 1500]) == []
    assert stage.reports == []  # it was ended


def test_a_fresh_session_takes_over_and_is_shown(stage: Stage) -> None:
    stage.answers("fresh", "Begin.")
    second = [event("session.status", "ses_fresh", status={"type": "busy"}), idle("ses_fresh"), ["wait", 1000]]
    asked = stage.play(*begun(), idle(), ["asked", "publish"], *second)
    assert asked[:3] == ["create", "promptAsync", "publish"]
    prompt, shown = stage.asked[1:3]
    assert shown["body"] == {"type": "tui.session.select", "properties": {"sessionID": "ses_fresh"}}
    assert prompt["path"] == {"id": "ses_fresh"} and prompt["body"]["agent"] == "build"
    assert [report["session"] for report in stage.reports] == [SESSION, "ses_fresh"]


def test_the_end_is_said_once_and_to_the_person_alone(stage: Stage) -> None:
    stage.answers("stop", "the limit is reached")
    busy = event("session.status", status={"type": "busy"})
    asked = stage.play(*begun(), idle(), ["asked", "prompt"], said("why?"), busy, idle(), ["wait", 800])
    assert asked == ["prompt"]
    body = stage.asked[0]["body"]
    assert body["noReply"] and body["parts"][0]["ignored"] and "the limit is reached" in body["parts"][0]["text"]


def test_where_another_client_is_at_work_the_person_is_told(stage: Stage) -> None:
    stage.answers("none", "scripts/start.sh is at work")
    assert stage.play(*begun(), idle(), ["asked", "toast"]) == ["toast"]


def test_what_the_client_fails_at_is_tried_again_and_counts_once(stage: Stage) -> None:
    stage.hurry()
    assert stage.play(*begun(), idle(), ["wait", 1500], promptAsync=2) == ["promptAsync"] * 3
    stage.answers("fresh", "Begin.")
    asked = stage.play(*begun(), idle(), ["wait", 1500], create=1, promptAsync=1)
    assert asked == ["create", "create", "promptAsync", "promptAsync", "publish"]
    assert len(stage.reports) == 2


@pytest.mark.parametrize("answer", ["", "no JSON"])
def test_research_that_cannot_go_on_says_so_until_a_person_speaks(stage: Stage, answer: str) -> None:
    stage.hurry()
    (stage.root / "answers" / "answer").write_text(answer)
    if not answer:
        (stage.root / "tools" / "next_turn.py").write_text("raise SystemExit('it is broken')")
    again = [said("go on"), event("session.status", status={"type": "busy"}), idle(), ["wait", 1500]]
    asked = [name for name in stage.play(*begun(), idle(), ["wait", 1500], *again) if name != "toast"]
    assert asked == ["prompt", "prompt"]
    told = [own["body"]["parts"][0]["text"] for own in stage.asked if own["name"] == "prompt"]
    assert all("could not be continued" in text and "say anything" in text for text in told)
    assert answer or "it is broken" in told[0]


def test_what_the_endpoint_will_say_again_is_told(stage: Stage) -> None:
    for name in ("ProviderAuthError", "ContextOverflowError", "MessageOutputLengthError", "UnknownError"):
        failure = event("session.error", error={"name": name, "data": {}})
        stage.play(*begun(), failure, idle(), ["asked", "promptAsync"])
    assert [report["retryable"] for report in stage.reports] == [False, False, False, True]


def test_a_look_at_status_costs_no_turn_and_stops_nothing(stage: Stage) -> None:
    stage.environ["IN_WINDOW"] = "1"
    stage.answers("prompt", "Go on.", seconds=1)
    command = {"command": "status", "sessionID": SESSION}
    parts = [{"type": "text", "text": "state: clean\nnext: this\n\n(The person looked.)"}]
    look: Step = ["command.execute.before", command, {"parts": parts}]
    shown = said("state: clean\nnext: this")  # which the client tells of as of any message
    assert stage.play(*begun(), idle(), ["wait", 500], look, shown, ["asked", "promptAsync"]) == [
        "prompt",
        "promptAsync",
    ]
    body = stage.asked[0]["body"]
    assert body["noReply"] and body["parts"][0] == {
        "type": "text",
        "text": shown[2]["parts"][0]["text"],
        "ignored": True,
    }
    assert [step["error"] for step in stage.took if step.get("error") is not None] == [
        ""
    ]  # no turn for the command


def test_elsewhere_a_command_is_a_turn(stage: Stage) -> None:
    """Where a command that is cut short would be shown as a failure."""
    command = {"command": "status", "sessionID": SESSION}
    assert stage.play(["command.execute.before", command, {"parts": [{"type": "text", "text": "x"}]}]) == []
    assert "error" not in stage.took[0]


# ---------------------------------------------------------------------------------------------------
# A model that runs in circles


def test_a_call_that_keeps_failing_is_cut_short(stage: Stage) -> None:
    asked = stage.play(*begun(), *[called("tools/xyz", 2)] * 9)
    assert asked == ["abort"]
    outputs = [step["given"][1]["output"] for step in stage.took if step["name"] == "tool.execute.after"]
    assert outputs[1] == "" and "failed 3 times in a row" in outputs[2] and "tools/status.py" in outputs[2]


def test_a_cut_turn_is_reported_and_not_taken_for_a_persons(stage: Stage) -> None:
    abort = event("session.error", error={"name": "MessageAbortedError"})
    steps = [*begun(), *[called("tools/xyz", 2)] * 8, abort, idle(), ["asked", "promptAsync"]]
    assert stage.play(*steps) == ["abort", "promptAsync"]
    assert stage.reports[0]["stuck"] == "the same failing call 8 times in a row: bash tools/xyz"


def test_denied_calls_count_too(stage: Stage) -> None:
    def denied(number: int) -> Step:
        state = {"status": "error", "input": {"command": "rm x"}, "error": "no"}
        part = {"id": f"prt_{number}", "type": "tool", "tool": "bash", "sessionID": SESSION, "state": state}
        return ["event", {"event": {"type": "message.part.updated", "properties": {"part": part}}}]

    seen_twice = [denied(number // 2) for number in range(16)]
    assert stage.play(*begun(), *seen_twice[:14]) == []
    assert stage.play(*begun(), *seen_twice) == ["abort"]


def test_waiting_and_trying_again_is_no_circle(stage: Stage) -> None:
    assert stage.play(*begun(), *[called("scripts/run_experiment.sh --wait", 75)] * 200) == []
    assert stage.play(*begun(), *[called("tools/sweep.py --wait", 75)] * 200) == []
    assert stage.play(*begun(), *[called("a", 1), called("b", 1)] * 10) == []


def test_many_calls_without_an_experiment_are_cut_short(stage: Stage) -> None:
    assert stage.play(*begun(), *[called("ls")] * 149, called("tools/log_result.py"), *[called("ls")] * 149) == []
    assert stage.play(*begun(), *[called("ls")] * 150) == ["abort"]


# ---------------------------------------------------------------------------------------------------
# What is denied


DENIED = {
    "git push origin HEAD": "safe on the branch",
    "git -C . push": "safe on the branch",
    "cd tools && git reset --hard HEAD~1": "tools/revert.py",
    "git checkout HEAD~1 -- prepare.py": "tools/revert.py",
    "git status; git stash": "tools/revert.py",
    "git branch -D x": "tools/revert.py",
    "curl -s http://127.0.0.1/": "no network",
    "python3 -m pip install x": "scripts/setup.sh",
    "uv run train.py": "scripts/setup.sh",
    "timeout 5 rm -rf runs": "tools/revert.py",
    "X=1 kill 123": "--stop",
    "python3 ./tools/verify.py --help": "tools/status.py",
    "python evaluate.py runs/t1/0001-x --split heldout": "tools/status.py",
    "python3 tools/report.py --json": "tools/status.py",
    "grep held runs/t1/report.html": "tools/status.py",
    "./scripts/start.sh": "tools/status.py",
    "tools/stop.py --now": "tools/status.py",
    "opencode run x": "tools/status.py",
    "git switch main": "campaign's branch",
    "git switch -C autoresearch/t1": "campaign's branch",
    "git merge main": "tools/revert.py",
    "git config user.name x": "set up",
    "touch STOP": "for the person",
    "echo now > ./STOP": "for the person",
    "> STOP": "for the person",
    "cd tools && ./stop.py": "for the person",
    "cat <<EOF > x && rm x\nit's\nEOF": "tools/revert.py",
    "cat <<EOF\nit's\nEOF\nrm x": "tools/revert.py",
    "echo it\\'s; rm x # it's": "tools/revert.py",
}
FREE = [
    "tools/status.py",
    'scripts/run_experiment.sh -m "exp: rm the bias; git push the rate up, kill the norm"',
    "tools/log_result.py -d 'curl up' --note \"it's worse; rm it | sudo\"",
    "tools/sweep.py WINDOW_PATTERN SL SSL --memory-limit 60 && tools/sweep.py --stop",
    "git log --oneline -5 && git diff --stat",
    "git switch -c autoresearch/t1",
    "git checkout -b autoresearch/t1",
    "git branch --show-current",
    "grep -rn rm train.py | head -3",
    "sed -i 's/kill/rm/' train.py",
    "python - <<'EOF'\nrm = 3\nEOF",
    'python - <<-"EOF"\n\trm = "it\'s"\n\tEOF',
    "python - <<EOF\nkill (x)\nEOF\nls",
    "python - <<EOF\nEOF",
    "python -c 'x = 1\nrm = 3'",
    "ls # rm x; kill y",
    "cat <<< STOP",
    "git switch autoresearch/t1",
    "git merge-base HEAD main",
    "git config --get user.name",
    "git tag -l",
    "grep -c STOPPED x > y",
]
# A command for each word in the plugin's table; opencode.json has to deny it too.
SAMPLES = """git push|git pull|git switch main|git reset --hard|git restore x|git clean -f|git stash|git rebase x
git update-ref x y|git branch -D x|git branch --delete x|git checkout main|git merge x|git cherry-pick x
git revert x|git am x|git apply x|git worktree add x|git symbolic-ref HEAD x|git gc|git prune|git tag -d x
git config a b
curl x|wget x|ssh x|scp x y|rsync x y|nc x 1|python3 -m pip install x|pip3 install x|uv run x|npm i|npx x|conda x
apt install x|apt-get install x|sudo x|rm x|kill 1|pkill x|killall x|tools/verify x|python verify.py
tools/audit x|python audit.py|evaluate.py x --split y|cat runs/x/verify.json
tools/report x|python report.py|cat report.html
./start.sh|./start.py|./stop.py|./next_turn.py|touch STOP|tee STOP|cp x STOP|mv STOP x|echo > STOP|opencode x"""


def test_a_refusal_says_what_to_do_instead(stage: Stage) -> None:
    reasons = stage.refusals(*(("bash", {"command": command}) for command in DENIED))
    for (command, advice), reason in zip(DENIED.items(), reasons, strict=True):
        assert reason is not None and advice in reason and len(reason) < 300, (command, reason)


def rules() -> dict[str, str]:
    """What opencode.json says of commands; the last pattern that matches counts."""
    return dict(json.loads((PROJECT / "opencode.json").read_text())["permission"]["bash"])


def allowed_by_rules(command: str) -> bool:
    """As the client matches: a pattern that ends with a blank and a star matches without both, too."""

    def matches(pattern: str) -> bool:
        wild = re.sub(r" \.\*$", "( .*)?", re.escape(pattern).replace(r"\ ", " ").replace(r"\*", ".*"))
        return re.fullmatch(wild, command, re.DOTALL) is not None

    return [action for pattern, action in rules().items() if matches(pattern)][-1] == "allow"


def test_what_opencode_denies_the_plugin_denies(stage: Stage) -> None:
    patterns = [pattern for pattern, action in rules().items() if action == "deny"]
    commands = [pattern.replace("*/", "x/").replace("*", "").strip() for pattern in patterns]
    reasons = stage.refusals(*(("bash", {"command": command}) for command in commands))
    assert [c for c, reason in zip(commands, reasons, strict=True) if not reason] == []
    allowed = [pattern.replace("*", "").strip() for pattern, action in rules().items() if action == "allow"]
    assert stage.refusals(*(("bash", {"command": command}) for command in allowed)) == [None] * len(allowed)


def test_what_the_plugin_denies_opencode_denies(stage: Stage) -> None:
    commands = re.split(r"[|\n]", SAMPLES)
    reasons = stage.refusals(*(("bash", {"command": command}) for command in commands))
    assert [c for c, reason in zip(commands, reasons, strict=True) if not reason] == []
    assert [command for command in commands if allowed_by_rules(command)] == []
    table = (PROJECT / PLUGIN).read_text().partition("const DENIED = [")[2].partition("\n]\n")[0]
    patterns = re.sub(
        r"\(\?!.*?\)\B|\\.", " ", re.sub(r',\s+("[^"]*"|`[^`]*`|[A-Z]+)\],?$', "", table, flags=re.M)
    )
    words = set(re.findall(r"[a-z][a-z-]+", patterns)) - {"autoresearch", "list", "get"}
    assert (
        len(words) > 40
        and [word for word in sorted(words) if word not in SAMPLES and word != "show-current"] == []
    )


def test_another_campaign_is_for_the_person_to_begin(stage: Stage) -> None:
    def bash(command: str) -> Step:
        return ["tool.execute.before", {"tool": "bash", "sessionID": SESSION}, {"args": {"command": command}}]

    away = bash("git switch -c autoresearch/t2")
    named: Step = [
        "command.execute.before",
        {"command": "research", "sessionID": SESSION, "arguments": "t2"},
        {"parts": []},
    ]
    stage.play(away, *begun(), away, bash("git switch autoresearch/t1"), named, away)
    errors = [step.get("error") for step in stage.took]
    assert [bool(error) for error in errors] == [False] * 4 + [True] + [False] * 3
    assert "/research TAG" in str(errors[4])


def test_what_is_not_denied(stage: Stage) -> None:
    assert stage.refusals(*(("bash", {"command": command}) for command in FREE)) == [None] * len(FREE)


@given(st.lists(st.text(max_size=40), min_size=50, max_size=50))
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_description_may_say_anything(stage: Stage, texts: list[str]) -> None:
    texts = [text.replace("\0", "").encode("utf-8", "replace").decode() for text in texts]
    calls = [("bash", {"command": f"tools/log_result.py -d {shlex.quote('x ' + text)}"}) for text in texts]
    assert stage.refusals(*calls) == [None] * len(calls)


def test_files(stage: Stage) -> None:
    root = str(stage.root)
    patch = "*** Begin Patch\n*** Update File: train.py\n@@\n*** Add File: new.py\n+x\n*** End Patch"
    reasons = stage.refusals(
        ("edit", {"filePath": "train.py"}),
        ("write", {"filePath": f"{root}/train.py"}),
        ("read", {"filePath": f"{root}/prepare.py"}),
        ("grep", {"pattern": "x"}),
        ("read", {"filePath": "/tmp/opencode/x"}),
        ("edit", {"filePath": f"{root}/prepare.py"}),
        ("edit", {"filePath": "../train.py"}),
        ("edit", {"filePath": "program.md"}),
        ("apply_patch", {"patchText": patch}),
        ("read", {"filePath": "/etc/hostname"}),
        ("read", {"filePath": f"{root}-2/x"}),
        ("read", {"filePath": ".env"}),
        ("read", {"filePath": "runs/t1/verify.json"}),
        ("grep", {"pattern": "x", "path": f"{root}/runs/t1/verify/01"}),
        ("read", {"filePath": "runs/t1/report.html"}),
        ("glob", {"pattern": "*", "path": "/"}),
    )
    assert reasons[:5] == [None] * 5
    advice = [f"Edit {root}/train.py", f"Edit {root}/train.py", "the person's page", f"Edit {root}/train.py"]
    advice += [f"is in {root}.", f"is in {root}.", "no secrets", *3 * ["held-out text"], f"is in {root}."]
    for reason, words in zip(reasons[5:], advice, strict=True):
        assert reason is not None and words in reason


def test_an_experiment_gets_the_time_it_needs(stage: Stage) -> None:
    def timeout(command: str, **more: int) -> Any:
        args = {"command": command, **more}
        stage.play(["tool.execute.before", {"tool": "bash", "sessionID": SESSION}, {"args": args}])
        return stage.took[0]["given"][1]["args"].get("timeout")

    assert timeout("scripts/run_experiment.sh --wait") == 900_000
    assert timeout("scripts/run_experiment.sh --wait", timeout=120_000) == 900_000
    assert timeout("tools/sweep.py MATRIX_LR 0.01 0.04") == timeout("tools/sweep.py --wait") == 900_000
    assert timeout("scripts/run_experiment.sh --wait", timeout=1_200_000) == 1_200_000
    assert timeout("ls") is None


def test_the_commands_of_the_bench_run_at_the_root(stage: Stage) -> None:
    def place(command: str, **more: str) -> Any:
        args = {"command": command, **more}
        stage.play(["tool.execute.before", {"tool": "bash", "sessionID": SESSION}, {"args": args}])
        return stage.took[0]["given"][1]["args"].get("workdir")

    assert place("tools/status.py") == place("./scripts/run_experiment.sh --wait") == str(stage.root)
    assert place("tools/status.py", workdir="/x") == "/x"
    assert place("ls") is None


def test_nothing_fails_into_the_client(stage: Stage) -> None:
    """Hooks that get something else than they expect, in a checkout without git."""
    shutil.rmtree(stage.root / ".git")
    junk: list[Any] = [None, {}, [], {"event": {"type": "session.idle"}}, {"tool": "bash", "sessionID": None}]
    names = ["event", "chat.message", "tool.execute.before", "tool.execute.after", "command.execute.before"]
    names += ["shell.env", "experimental.session.compacting", "experimental.chat.messages.transform"]
    step = {"id": "p", "type": "step-finish", "sessionID": SESSION}
    steps = [[name, own, own] for name in names for own in junk]
    steps.append(["event", {"event": {"type": "message.part.updated", "properties": {"part": step}}}])
    stage.play(*steps)
    assert [step.get("error") for step in stage.took] == [None] * len(steps)
