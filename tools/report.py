#!/usr/bin/env python3
"""The campaign as a person reads it: one page of text here, the whole of it as a page for the browser, a picture.

Writes runs/<tag>/report.html (one file, needs no network) and runs/<tag>/progress.png, and prints the page of
text. It leads with what tools/verify.py found, so it is for the person alone: the agent may neither run this nor
read the page. With --serve the page follows the campaign while it goes on; that one leaves out what verify found.
"""

from __future__ import annotations

import argparse
import sys
import webbrowser

from harness import branch, campaign, environment, summary
from harness.command import DONE, ROOT, Parser, main, show_json
from harness.report import book, files
from harness.situation import look

NAME = "report"
HOST, PORT = "127.0.0.1", 8765
EXAMPLES = """\
  tools/report.py                 write the page and the picture, print the text
  tools/report.py --open          … and show the page in the browser
  tools/report.py --serve         the page at http://127.0.0.1:8765/, following the campaign; Ctrl-C ends it
  tools/report.py --serve 9000 --open
  tools/report.py --text          only the text; nothing is written
  tools/report.py --json          only the numbers, for programs"""


def body() -> int:
    given = arguments()
    if given.serve is not None:
        return serve(given.host, given.serve, given.open)
    writes = not (given.text or given.json)
    if writes:
        environment.enter(ROOT, "matplotlib")
    try:
        with campaign.lock(ROOT):
            now = look(ROOT)
        found, text = book.of(now), summary.page(now)
    except Exception:
        # A damaged record stops every command that decides; this one names it, and shows the rest.
        found, text = book.read(ROOT, branch.current(ROOT).tag), []
        if not found.damaged:
            raise
    if given.json and text:
        show_json(summary.facts(now))
        return DONE
    damaged = [f"damaged, and left out: runs/{found.tag}/{name}" for name in found.damaged]
    if given.json:
        show_json({"tag": found.tag, "damaged": list(found.damaged)})
        return DONE
    written = files.write(found, [*damaged, *text]) if writes and found.campaign else None
    for line in [*damaged, *text[:-1], *(written.lines if written else ()), *text[-1:]]:
        print(line)
    if given.open and written:
        show(written.page.as_uri())
    return DONE


def arguments() -> argparse.Namespace:
    parser = Parser("tools/report.py", __doc__ or "", EXAMPLES)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--text", action="store_true", help="print the text, and write nothing")
    parser.add_argument("--open", action="store_true", help="show the page in the browser")
    parser.add_argument("--serve", metavar="PORT", nargs="?", type=int, const=PORT,
                        help=f"serve the page live (default port: {PORT}; 0: any that is free)")  # fmt: skip
    parser.add_argument("--host", metavar="ADDRESS", default=HOST,
                        help="with --serve: where to listen (default: this machine alone)")  # fmt: skip
    given = parser.parse_args()
    if given.serve is not None and not 0 <= given.serve <= 65535:
        parser.error(f"--serve {given.serve} is no port: 0 to 65535")
    if given.serve is not None and (given.json or given.text):
        parser.error("--serve goes with neither --json nor --text")
    return given


def serve(host: str, port: int, browser: bool) -> int:
    """Until Ctrl-C."""
    from harness.report import live

    server = live.Server(live.Source(ROOT, branch.current(ROOT).tag), host, port)
    print(f"serving {server.url} (Ctrl-C ends it)", flush=True)
    if browser:
        show(server.url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        server.closing.set()
        server.server_close()
    return DONE


def show(address: str) -> None:
    if not webbrowser.open(address):
        print(f"note: no browser could be opened; the page is {address}")


if __name__ == "__main__":
    main(NAME, body, sys.argv)
