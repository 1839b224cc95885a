# shellcheck shell=bash
# Sourced by the other scripts: find_python ROOT sets python to an interpreter of 3.10 or newer that can run
# the tools, which need the standard library alone. The training environment's own comes first.
find_python() {
    local candidate
    for candidate in "$1/.venv/bin/python" python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        python="$candidate"
        is_new_enough && return
    done
    if command -v uv >/dev/null 2>&1; then
        python="$(uv python find '>=3.10' 2>/dev/null || true)"
        is_new_enough && return
    fi
    echo "$(basename "$0" .sh): no Python 3.10 or newer on PATH:" \
        "install one (from python.org, or your system's python3 package), then run this again" >&2
    exit 2
}

is_new_enough() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}
