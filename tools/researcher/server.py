#!/usr/bin/env python3
"""Serve the embedded researcher: a model of OpenAI's chat-completions form that needs no key, no GPU, no network.

It holds nothing between requests: what it does next follows from the conversation that the client sends. It
listens on the loopback alone, and its first line on stdout says where: `listening on http://127.0.0.1:PORT/v1`.

examples:
  python3 tools/researcher/server.py
  python3 tools/researcher/server.py --port 8080 --max-experiments 5 --log /tmp/requests
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from researcher.catalogue import CatalogueError, load
from researcher.conversation import Conversation, Move
from researcher.policy import next_move
from researcher.protocol import Log, serve

CATALOGUE = Path(__file__).resolve().parent / "ideas.json"


def main() -> int:
    """Serve until SIGINT or SIGTERM. Exit code 2: bad use, a bad catalogue, a taken port."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--catalogue", type=Path, default=CATALOGUE, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--log", type=Path, metavar="DIR", help="log requests, answers in DIR/requests.jsonl")
    parser.add_argument(
        "--max-experiments",
        type=int,
        metavar="N",
        help="end the turn once results.tsv holds N experiments beside the baseline (default: never)",
    )
    args = parser.parse_args()
    try:
        ideas = load(args.catalogue)

        def policy(conversation: Conversation) -> Move:
            return next_move(conversation, ideas, args.max_experiments)

        server = serve(policy, args.port, Log(args.log))
    except (CatalogueError, OSError, OverflowError) as error:
        print(f"researcher: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"listening on http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
