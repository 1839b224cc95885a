"""The facts as one HTML file that needs nothing else: no network, no other file.

What a run has a say in reaches the page as JSON alone, and the script puts it there as text; nothing is ever made
into markup. The page's own policy lets no other script run, nor anything be loaded or sent.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .facts import Facts

ASSETS = Path(__file__).resolve().parents[2] / "assets"
_PLACE = re.compile(r"\{\{(\w+)\}\}")
# In a script element: what could end it, and what an older JavaScript takes for an end of line.
_UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def render(facts: Facts, text: Sequence[str], live: str = "") -> str:
    """The page. `text`: the campaign in plain lines, for a browser without scripts; `live`: it is served,
    and listens for what comes after this version of the facts."""
    library, script = _asset("uplot/uPlot.iife.min.js"), _asset("report.js")
    style = _asset("uplot/uPlot.min.css") + _asset("report.css")
    parts = {
        "title": html.escape(f"{facts.tag}: autoresearch report"),
        "policy": policy([library, script], style, bool(live)),
        "style": style,
        "library": library,
        "script": script,
        "text": html.escape("\n".join(text)),
        "data": encode({**asdict(facts), "live": live}),
    }
    return _PLACE.sub(lambda match: parts[match[1]], _asset("report.html"))


def policy(scripts: Sequence[str], style: str, live: bool) -> str:
    """The content security policy: these scripts and this style, known by their hashes, and nothing else."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {_hash(style)}",
            f"connect-src {chr(39)}{'self' if live else 'none'}{chr(39)}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def encode(value: Any) -> str:
    """JSON that may stand in a script element, with None for what is no number."""
    return json.dumps(_finite(value), separators=(",", ":"), allow_nan=False).translate(_UNSAFE)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
