#!/usr/bin/env bash
# Sets up, then ruff, mypy, shellcheck and every test. Arguments go to pytest: scripts/test.sh tests/start -x
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
cd "$root"
# No data: the tests make their own, and a person's preparation is none of their business.
./scripts/setup.sh --no-data
export PATH="$root/.venv/bin:$root/.tools/bin:$PATH"
echo "test: ruff"
ruff check --quiet .
echo "test: mypy"
mypy --no-error-summary .
echo "test: shellcheck"
shellcheck -x scripts/*.sh .ci/run
echo "test: pytest"
exec python -m pytest -n auto --dist loadscope "$@"
