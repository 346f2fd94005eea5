"""Engines keep the same contract in their embedded mode; those not installed here do so in an environment of their own.

`tests/peers/vector_engines_env.sh` makes that environment.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from breadth.vector.engines.chroma import Chroma
from breadth.vector.engines.common import Fields
from breadth.vector.engines.faiss import Faiss
from breadth.vector.engines.milvus import Milvus
from breadth.vector.engines.qdrant import Qdrant
from breadth.vector.filters import And, Condition, Or
from tests.vector.contract import CONTRACT, vectors

ROOT = Path(__file__).parents[2]
ENVIRONMENT = Path(os.environ.get("BREADTH_ENGINES_PYTHON", ROOT / ".venv-engines" / "bin" / "python"))


@pytest.mark.parametrize("factory", ["Flat", "HNSW32"])
@pytest.mark.parametrize("clause", CONTRACT, ids=lambda clause: clause.__name__)
def test_faiss_keeps_the_contract(clause, factory, tmp_path):
    pytest.importorskip("faiss", reason="pip install faiss-cpu")
    clause(FAISS[factory], tmp_path)


class FaissFlat(Faiss):
    def __init__(self, dim, **settings):
        super().__init__(dim, **{"factory": "Flat", **settings})


FAISS = {"Flat": FaissFlat, "HNSW32": Faiss}


@pytest.mark.parametrize("clause", CONTRACT, ids=lambda clause: clause.__name__)
def test_qdrant_keeps_the_contract(clause, tmp_path):
    pytest.importorskip("qdrant_client", reason="pip install qdrant-client")
    clause(Qdrant, tmp_path)


@pytest.mark.parametrize(
    ("package", "module", "name"),
    [
        ("chromadb", "breadth.vector.engines.chroma", "Chroma"),
        ("milvus_lite", "breadth.vector.engines.milvus", "Milvus"),
    ],
)
def test_chroma_and_milvus_lite_keep_the_contract(package, module, name):
    python = Path(sys.executable) if importlib.util.find_spec(package) else ENVIRONMENT
    if not python.exists():
        pytest.skip(f"{package} is not installed; tests/peers/vector_engines_env.sh makes an environment with it")
    run = subprocess.run(
        [python, "-m", "tests.vector.contract", module, name], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("kept:") == len(CONTRACT)


def test_a_qdrant_folder_is_taken_over_with_its_fields_and_ids(tmp_path):
    pytest.importorskip("qdrant_client", reason="pip install qdrant-client")
    X = vectors(5)
    first = Qdrant(8, metric="dot", location=str(tmp_path / "db"))
    first.add(["a", "b", "c", "d", "e"], X, [{"year": i} for i in range(5)])
    first.client.close()
    again = Qdrant(8, metric="dot", location=str(tmp_path / "db"))
    assert again.search(X[3:4], 5, {"year": {"$gte": 3}}).ids.shape == (1, 2)
    with pytest.raises(TypeError, match="ids of this index are strings"):
        again.add([1], X[:1])
    again.client.close()
    with pytest.raises(ValueError, match="exists with dimension 8 and distance Dot, not 9 and Dot"):
        Qdrant(9, metric="dot", location=str(tmp_path / "db"))


def test_qdrant_says_that_it_cannot_order_strings():
    pytest.importorskip("qdrant_client", reason="pip install qdrant-client")
    index = Qdrant(8)
    index.add([1], vectors(1), [{"lang": "en"}])
    with pytest.raises(ValueError, match="Qdrant cannot order strings"):
        index.search(vectors(1), 1, {"lang": {"$gt": "de"}})


@pytest.mark.parametrize("factory", ["IVF4,Flat", "IVF4,PQ4"])
def test_faiss_lists_find_as_many_as_asked_for_under_a_narrow_filter(factory):
    pytest.importorskip("faiss", reason="pip install faiss-cpu")
    X = np.random.default_rng(0).normal(size=(10_000, 8))
    index = Faiss(8, factory=factory, n_probe=1)
    index.add(np.arange(10_000), X, [{"i": i} for i in range(10_000)])
    hits = index.search(X[:50], 10, {"i": {"$lt": 11}})
    assert hits.ids.shape == (50, 10) and hits.ids.max() < 11


@pytest.mark.parametrize(
    ("engine", "package"),
    [(Faiss, "faiss-cpu"), (Qdrant, "qdrant-client"), (Chroma, "chromadb"), (Milvus, "pymilvus")],
)
def test_an_engine_that_is_not_installed_says_what_to_install(engine, package, monkeypatch):
    for name in ("faiss", "qdrant_client", "chromadb", "pymilvus"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=f"pip install .*{package}"):
        engine(8)


def test_engines_are_not_imported_before_they_are_used():
    code = (
        "import sys\n"
        "from breadth.vector.engines import chroma, faiss, milvus, qdrant\n"
        "assert not {'faiss', 'qdrant_client', 'chromadb', 'pymilvus'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_filters_reach_engines_without_not_and_with_numbers_of_the_fields_kind():
    fields = Fields()
    fields.learn({"i": "int", "f": "float", "s": "str"})
    absent = Condition("i", "$exists", False)
    assert fields.parse({"$not": {"i": {"$gt": 2.5}}}) == Or((Condition("i", "$lte", 2), absent))
    assert fields.parse({"$not": {"$not": {"i": {"$gte": 2.5}}}}) == Condition("i", "$gte", 3)
    assert fields.parse({"$not": {"i": 3, "s": "a"}}) == Or((Condition("i", "$ne", 3), Condition("s", "$ne", "a")))
    assert fields.parse({"f": 3}) == Condition("f", "$eq", 3.0)
    assert fields.parse({"i": 3.5}) == Or(())
    assert fields.parse({"i": {"$nin": [3.5]}}) == And(())
    assert fields.parse({"i": {"$in": [3.5, 4.0]}}) == Condition("i", "$in", (4,))
    with pytest.raises(ValueError, match="no vector has the field 'x'; the fields are 'i', 'f', 's'"):
        fields.parse({"x": 1})
