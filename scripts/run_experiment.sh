#!/usr/bin/env bash
# Runs an experiment on the bench: scripts/run_experiment.sh --help
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
# shellcheck source=scripts/python.sh
. "$root/scripts/python.sh"
find_python "$root"
exec "$python" "$root/tools/run_experiment.py" "$@"
