#!/usr/bin/env bash
# Starts or resumes a research campaign, or shows one: scripts/start.sh --demo
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
# shellcheck source=scripts/python.sh
. "$root/scripts/python.sh"
find_python "$root"
exec "$python" "$root/tools/start.py" "$@"
