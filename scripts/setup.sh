#!/usr/bin/env bash
# Makes this checkout ready to work: the training environment, a box for runs, the opencode client, prepared data.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
# shellcheck source=scripts/python.sh
. "$root/scripts/python.sh"
find_python "$root"
exec "$python" "$root/tools/setup.py" "$@"
