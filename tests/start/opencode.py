"""A stand-in for the client: each turn of `run` does one experiment with the tools of the checkout it is in."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path


def say(kind: str, **more: object) -> None:
    print(json.dumps({"type": kind, "sessionID": "ses_1", **more}), flush=True)


def tool(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    state = {"status": "completed", "input": {"command": " ".join(command)}, "output": done.stdout}
    say("tool_use", part={"tool": "bash", "state": state})
    return done.stdout


def main() -> None:
    if sys.argv[1] == "models":
        print(os.environ["FAKE_MODELS"])
        return
    if sys.argv[1] == "--version":
        print(os.environ.get("FAKE_VERSION", "1.18.33"))
        return
    if "probe" in sys.argv:
        if "FAKE_PROBE_KILLED" in os.environ:
            os.kill(os.getpid(), 9)
        if "FAKE_REFUSES" in os.environ:
            data = {"message": os.environ["FAKE_REFUSES"], "statusCode": 401, "isRetryable": False}
            say("error", error={"name": "APIError", "data": data})
            sys.exit(1)
        say("text", part={"text": "ok"})
        return
    session = sys.argv[sys.argv.index("--session") + 1] if "--session" in sys.argv else None
    facts = {"prompt": sys.argv[-1], "session": session, "cwd": str(Path.cwd()), "PWD": os.environ["PWD"]}
    with Path(os.environ["FAKE_LOG"]).open("a") as log:
        log.write(json.dumps({**facts, "pid": os.getpid()}) + "\n")
    if "FAKE_STALL" in os.environ:
        time.sleep(60)
    crash = Path(os.environ.get("FAKE_CRASH", "/nowhere"))  # a file with the number of crashes still to come
    if crash.exists() and (left := int(crash.read_text())):
        crash.write_text(str(left - 1))
        os.kill(os.getpid(), 9)
    branch = os.environ.get("FAKE_LEAVES")
    if branch and session is None:
        subprocess.run(["git", "switch", "-q", "-c", branch], check=True)
        say("text", part={"text": "A branch of my own."})
        return
    if "FAKE_TALK" in os.environ:
        say("text", part={"text": "Shall I go on?"})
        return
    # Every second idea is worse.
    train = Path("train.py")
    done = len(Path("results.tsv").read_text().splitlines()) - 1
    score = 1.4 if done % 2 else 1.9
    text = re.sub(r"^SCORE = \S+", f"SCORE = {score}", train.read_text(), flags=re.MULTILINE)
    step = os.environ.get("FAKE_SLOW", "0.0")  # seconds
    train.write_text(re.sub(r"^STEP = \S+", f"STEP = {step}", text, flags=re.MULTILINE))
    tool("scripts/run_experiment.sh", "-m", f"exp: score {score}")
    if "verdict: discard" in tool("tools/log_result.py", "-d", f"score {score}"):
        tool("tools/revert.py")


main()
