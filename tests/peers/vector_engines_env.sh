#!/usr/bin/env bash
# Makes .venv-engines, in which tests/vector/test_engines.py runs the contract against Chroma and Milvus Lite: they are
# heavy, and their pins may clash with those of the development environment. Another place: BREADTH_ENGINES_PYTHON.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=.venv-engines
test -x "$venv/bin/python" || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e . chromadb pymilvus milvus-lite
echo "Ready: $venv/bin/python"
