"""report.html: whole in itself, and deaf to what a run says."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from harness.branch import Git
from harness.report import book, facts, page
from harness.report.facts import Facts
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import made_up
from tests.harness.lab import Lab
from tests.report.browser import Browser

# What a description could try: markup, an end of the script, a handler, direction marks, a terminal's orders.
EVIL = (
    '</script><script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'
    '<b id="evil">bold</b> {{data}} \u202egnp.exe\u202c \x1b[2J\x1b]0;owned\x07 שלום 😀 $&amp; ${x}'
)


@pytest.fixture(scope="module")
def told(made: Path) -> Facts:
    return facts.gather(book.read(made, made_up.TAG), Git(made), False)


class Tags(HTMLParser):
    """The elements of a page, the text of its scripts by kind, and every address in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.scripts: list[tuple[str, str]] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self._kind = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self._kind = dict(attrs).get("type") or "code" if tag == "script" else ""
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_endtag(self, tag: str) -> None:
        self._kind = ""

    def handle_data(self, data: str) -> None:
        if self._kind:
            self.scripts.append((self._kind, data))


def test_it_needs_nothing_else(told: Facts) -> None:
    tags = Tags(page.render(told, ["one line"]))
    assert [kind for kind, _ in tags.scripts] == ["application/json", "code", "code"]
    assert all(address.startswith("#") for address in tags.addresses)
    assert not tags.handlers and not {"link", "iframe", "img", "object"} & set(tags.names)
    assert json.loads(tags.scripts[0][1])["tag"] == made_up.TAG


def test_its_policy_lets_only_its_own_scripts_run(told: Facts) -> None:
    html = page.render(told, [])
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)[0]
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy
    assert "unsafe" not in policy and "*" not in policy
    tags = Tags(html)
    for _, script in tags.scripts[1:]:
        assert page._hash(script) in policy
    assert "connect-src 'self'" in page.policy([], "", True)


def test_hostile_text_stays_data(told: Facts) -> None:
    evil = replace(told.trials[3], description=EVIL, note=EVIL, diff=f"@@ -1 +1 @@\n+{EVIL}", theme=EVIL)
    bad = replace(told, tag=EVIL, trials=(*told.trials[:3], evil, *told.trials[4:]))
    tags, plain = Tags(page.render(bad, [EVIL])), Tags(page.render(told, ["x"]))
    assert tags.names == plain.names, "no element more"
    assert json.loads(tags.scripts[0][1])["trials"][3]["note"] == EVIL


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("<>&/\u2028\u2029")), max_size=200))
def test_json_holds_anything_and_ends_nothing(text: str) -> None:
    encoded = page.encode({"text": text, "numbers": [float("nan"), float("inf"), 1.5]})
    assert not set("<>&\u2028\u2029") & set(encoded)
    assert encoded.isascii()
    assert json.loads(encoded) == {"text": text, "numbers": [None, None, 1.5]}


@given(st.text(max_size=100))
@settings(max_examples=20)
def test_the_title_is_escaped(told: Facts, tag: str) -> None:
    html = page.render(replace(told, tag=tag, trials=(), curves=()), [tag])
    assert html.count("<title>") == 1 and html.count("<noscript>") == 1
    assert html.count("</pre>") == 1


# ---------------------------------------------------------------------------------------------------
# In a browser


def write(folder: Path, told: Facts) -> str:
    """The page as a file; returns its address."""
    path = folder / "report.html"
    path.write_text(page.render(told, [EVIL]))
    return path.as_uri()


def test_in_a_browser(told: Facts, tmp_path: Path, chromium: Browser) -> None:
    chromium.open(write(tmp_path, told))
    assert chromium.count("canvas") == 2
    assert chromium.count("#rows tr") == len(told.trials)
    best = told.best
    assert best is not None and f"{best.mean:.6f}" in chromium.text("#numbers")
    assert chromium.text("#found") == f"{len(told.trials)} of {len(told.trials)} experiments"
    assert chromium.count("#layers li") == len(told.layers)
    assert chromium.text("#experiment-title").startswith(f"Experiment {best.number:04d}: ")
    assert chromium.complaints == []


def test_by_keyboard(told: Facts, tmp_path: Path, chromium: Browser) -> None:
    chromium.open(write(tmp_path, told))
    chromium.evaluate("document.getElementById('progress-chart').focus()")
    chromium.press("Home", 36)
    assert chromium.text("#experiment-title") == "Experiment 0000: baseline"
    chromium.press("ArrowDown", 40)
    kept = told.steps[1].number
    assert chromium.text("#experiment-title").startswith(f"Experiment {kept:04d}: ")
    assert chromium.text("#progress-at").startswith(f"experiment {kept:04d}, keep ")
    chromium.press("End", 35)
    assert chromium.text("#experiment-title").startswith(f"Experiment {told.trials[-1].number:04d}: ")
    chromium.press("Enter", 13)
    assert chromium.evaluate("document.activeElement.id") == "experiment-title"


def test_what_can_be_asked_of_it(told: Facts, tmp_path: Path, chromium: Browser) -> None:
    chromium.open(write(tmp_path, told))
    chromium.evaluate(
        "(() => { const one = document.getElementById('state'); one.value = 'crash'; "
        "one.dispatchEvent(new Event('input')); })()"
    )
    assert chromium.count("#rows tr") == told.counts["crash"]
    chromium.evaluate("document.getElementById('curves-keeps').click()")
    assert chromium.count("#curves-table tr") == len(told.steps)
    chromium.evaluate("document.querySelector('input[value=seconds]').click()")
    chromium.evaluate("document.querySelector('#themes summary').click()")
    chromium.wait_for("document.querySelector('#themes details[open] li, #themes details[open] p') !== null")
    chromium.evaluate("document.getElementById('curves-clear').click()")
    assert "No curve is chosen." in chromium.text("#curves-chart")
    assert chromium.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(told: Facts, tmp_path: Path, chromium: Browser, scheme: str) -> None:
    long = replace(told.trials[1], description="word" * 140, theme="x" * 200)
    chromium.width(360)
    chromium.media(prefers_color_scheme=scheme)
    chromium.open(write(tmp_path, replace(told, trials=(told.trials[0], long, *told.trials[2:]))))
    assert chromium.evaluate("document.documentElement.scrollWidth") <= 360, "nothing is wider than the screen"
    paper = chromium.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]


def test_hostile_text_in_a_browser(told: Facts, tmp_path: Path, chromium: Browser) -> None:
    bad = [
        replace(one, description=EVIL, note=EVIL, reasons=(EVIL,), diff=f"@@ -1 +1 @@\n+{EVIL}", theme=EVIL)
        for one in told.trials
    ]
    chromium.open(write(tmp_path, replace(told, trials=tuple(bad), goal=EVIL)))
    assert chromium.evaluate("document.title") == f"{made_up.TAG}: autoresearch report"
    assert chromium.count("#evil, main img, main script") == 0
    assert EVIL in chromium.text("#experiment-title"), "it is shown as what it is"
    assert chromium.complaints == []


def test_what_its_policy_is_for(told: Facts, tmp_path: Path, chromium: Browser) -> None:
    """A script that got into the page all the same would not run."""
    chromium.open(write(tmp_path, told))
    chromium.evaluate(
        "(() => { const s = document.createElement('script'); s.textContent = 'document.title = \"owned\"'; "
        "document.body.append(s); "
        "document.body.insertAdjacentHTML('beforeend', '<img src=http://127.0.0.1:9/x>'); })()"
    )
    assert chromium.evaluate("document.title") != "owned"
    assert len([line for line in chromium.complaints if "Content Security Policy" in line]) == 2


@pytest.mark.parametrize("which", ["nothing", "baseline", "crashes"])
def test_little_in_a_browser(told: Facts, tmp_path: Path, chromium: Browser, which: str) -> None:
    nothing = replace(told, trials=(), steps=(), levels=(), best=None, noise=None, layers=(), themes=(), curves=(),
                      counts=dict.fromkeys(told.counts, 0), span=(0.0, 1.0))  # fmt: skip
    crashes = tuple(replace(one, state="crash", val_bpb=None, gain=None) for one in told.trials)
    few = {
        "nothing": nothing,
        "baseline": replace(told, trials=told.trials[:1], steps=told.steps[:1], levels=told.levels[:1]),
        "crashes": replace(nothing, trials=crashes),
    }[which]
    chromium.open(write(tmp_path, few))
    assert ("No experiment yet." in chromium.text("#progress-chart")) == (which == "nothing")
    assert chromium.count("#rows tr") == len(few.trials)
    assert chromium.complaints == []


# ---------------------------------------------------------------------------------------------------
# The command


def test_the_command_writes_both(lab: Lab) -> None:
    lab.try_idea("exp: lower", SCORE=1.2)
    lab.log("lower <b>")
    answer = lab.call("report.py")
    assert answer.code == 0, answer.err
    assert "written: runs/t1/report.html\nwritten: runs/t1/progress.png\nnext: " in answer.out
    html = (lab.root / "runs/t1/report.html").read_text()
    data = json.loads(Tags(html).scripts[0][1])
    assert [one["description"] for one in data["trials"]] == ["baseline", "lower <b>"]
    assert (lab.root / "runs/t1/progress.png").stat().st_size > 10_000
    assert lab.state == "clean", "nothing of the campaign is changed"


def test_before_the_baseline_nothing_is_written(new: Lab) -> None:
    answer = new.call("report.py")
    assert answer.code == 0 and "written" not in answer.out
    assert not (new.root / "runs/t1").exists()


def test_it_leads_with_what_verify_found(lab: Lab) -> None:
    lab.try_idea("exp: lower", SCORE=1.2)
    lab.log("lower")
    lab.call("verify.py", "--seeds", "2")
    lab.call("report.py")
    told = json.loads(Tags((lab.root / "runs/t1/report.html").read_text()).scripts[0][1])
    assert told["verified"][1].startswith("held-out text: 0.300000 bpb better")


def test_a_damaged_decision_is_named_and_the_rest_is_shown(lab: Lab) -> None:
    (lab.path(0) / "decision.json").write_text("{")
    assert lab.call("status.py").code == 2
    answer = lab.call("report.py")
    assert answer.code == 0, answer.err
    name = f"{lab.path(0).name}/decision.json"
    assert f"damaged, and left out: runs/t1/{name}\n" in answer.out
    data = json.loads(Tags((lab.root / "runs/t1/report.html").read_text()).scripts[0][1])
    assert data["damaged"] == [name] and len(data["trials"]) == 1


def test_text_alone_writes_nothing(lab: Lab) -> None:
    assert lab.call("report.py", "--text").code == 0
    assert not (lab.root / "runs/t1/report.html").exists()


@pytest.mark.parametrize(
    "options", [["--serve", "70000"], ["--serve", "x"], ["--serve", "0", "--json"], ["--port"]]
)
def test_bad_use_is_one_line(lab: Lab, options: list[str]) -> None:
    answer = lab.call("report.py", *options)
    assert answer.code == 2 and answer.out == ""
    assert answer.err.startswith("report: ") and answer.err.count("\n") == 1


def test_facts_of_a_page_are_plain(told: Facts) -> None:
    json.dumps(asdict(told), allow_nan=False)
