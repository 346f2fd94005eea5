"""Milvus behind `VectorIndex`: Milvus Lite in a file, or a server."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from breadth.vector.engines.common import (
    Fields,
    as_text,
    check_new,
    check_there,
    engine_module,
    from_text,
    join_hits,
    of_one_kind,
    read_collection,
    write_collection,
)
from breadth.vector.filters import And, Condition, Expression, Or, Value
from breadth.vector.index import Filter, Hits, Ids, Metadata, Metric, as_vectors, check_count, check_space
from breadth.vector.metadata import Table
from breadth.vector.records import as_ids

_BATCH = 1000  # entities a request
_LARGEST_K = 16384  # Milvus's own limit
_METRIC = {"cosine": "COSINE", "dot": "IP", "euclidean": "L2"}
_SYMBOL = {"$eq": "==", "$ne": "!=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


class Milvus:
    """A Milvus collection: a string id, a vector, and a JSON field with the metadata.

    An integer id 7 is kept as "i:7" and a string "a" as "s:a"; filters become Milvus's expressions on the JSON field.

    Args:
        dim: the length of the vectors, >= 1.
        metric: "cosine", "dot" or "euclidean".
        collection: its name; one that exists already is taken as it is.
        location: the file of a Milvus Lite database, or the URL of a server; ":memory:" is a file that is deleted
            with the index.
        token: of the server.
        index_type: Milvus's kind of index, such as "FLAT" (exact), "HNSW" or "AUTOINDEX".

    Attributes:
        dim, metric, collection: as given.
        client: the `pymilvus.MilvusClient`.

    Raises:
        ModuleNotFoundError: without pymilvus, and for files milvus-lite.
        ValueError: if the collection exists with another dimension or metric, an id is longer than 1,022 bytes, or k
            exceeds 16,384; or as `VectorIndex` says.

    Cost: what the kind of index takes.
    Deviations: no bounds of k or ids beyond those named; Milvus compares large integers as the JSON field keeps them.
    References: Wang et al. 2021, SIGMOD, section 2 (Milvus).
    Peer: breadth.vector.Flat on the same vectors: equal ids with "FLAT", scores 1e-5 (A).
    In production: use a server for collections that one machine does not hold.
    """

    def __init__(
        self,
        dim: int,
        *,
        metric: Metric = "cosine",
        collection: str = "breadth",
        location: str = ":memory:",
        token: str = "",
        index_type: str = "FLAT",
    ) -> None:
        check_space(dim, metric)
        milvus: Any = engine_module("pymilvus", "'pymilvus[milvus_lite]'")
        self.dim = int(dim)
        self.metric: Metric = metric
        self.collection = collection
        if location == ":memory:":
            self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            location = str(Path(self._folder.name) / "index.db")
        if "://" not in location:
            engine_module("milvus_lite", "milvus-lite")
        self.client: Any = milvus.MilvusClient(location, token=token)
        self._fields = Fields()
        self._text: bool | None = None  # whether ids are strings; None in an empty collection
        if self.client.has_collection(collection):
            self._take_over()
            return
        kinds = milvus.DataType
        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", kinds.VARCHAR, is_primary=True, max_length=1024)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=self.dim)
        schema.add_field("metadata", kinds.JSON)
        index = self.client.prepare_index_params()
        index.add_index("vector", index_type=index_type, metric_type=_METRIC[metric])
        self.client.create_collection(collection, schema=schema, index_params=index, consistency_level="Strong")

    def _take_over(self) -> None:
        fields = {field["name"]: field for field in self.client.describe_collection(self.collection)["fields"]}
        there = (
            fields["vector"]["params"]["dim"],
            self.client.describe_index(self.collection, "vector")["metric_type"],
        )
        if there != (self.dim, _METRIC[self.metric]):
            raise ValueError(
                f"collection {self.collection!r} exists with dimension and metric {there}, "
                f"not {(self.dim, _METRIC[self.metric])}: take another name"
            )
        self.client.load_collection(self.collection)
        for page in self._pages(["id", "metadata"]):
            entries = [entity["metadata"] for entity in page]
            self._fields.learn({field: kind for field, (kind, _, _) in Table().check(entries, len(entries)).items()})
            self._text = isinstance(from_text(page[0]["id"]), str)

    def _pages(self, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        pages = self.client.query_iterator(self.collection, batch_size=_BATCH, output_fields=fields)
        while page := pages.next():
            yield page
        pages.close()

    def __len__(self) -> int:
        return self.client.query(self.collection, filter="", output_fields=["count(*)"])[0]["count(*)"]

    def __contains__(self, id: int | str) -> bool:
        return bool(self._stored(as_ids([id])))

    def _stored(self, listed: list) -> dict[int | str, dict[str, Value]]:
        """The metadata of those ids that are there."""
        found = {}
        for start in range(0, len(listed), _BATCH):
            wanted = _among(listed[start : start + _BATCH])
            page = self.client.query(self.collection, filter=wanted, output_fields=["id", "metadata"])
            found.update({from_text(entity["id"]): entity["metadata"] for entity in page})
        return found

    def add(self, ids: Ids, vectors: ArrayLike, metadata: Metadata | None = None) -> None:
        """Add vectors under new ids; see `VectorIndex.add`."""
        check_new(self._stored(of_one_kind(as_ids(ids), self._text)))
        self.upsert(ids, vectors, metadata)

    def upsert(self, ids: Ids, vectors: ArrayLike, metadata: Metadata | None = None) -> None:
        """Add vectors, and replace those whose ids are there; see `VectorIndex.upsert`."""
        rows = as_vectors(vectors, dim=self.dim, metric=self.metric)
        listed = of_one_kind(as_ids(ids), self._text, n=len(rows))
        long = [id for id in listed if len(as_text(id).encode()) > 1024]
        if long:
            raise ValueError(f"ids must be at most 1,022 bytes long in Milvus, got {long[0][:40]!r}...")
        entries, kinds = self._fields.check(metadata, len(rows))
        for start in range(0, len(rows), _BATCH):
            part = slice(start, start + _BATCH)
            triples = zip(listed[part], rows[part].tolist(), entries[part], strict=True)
            entities = [{"id": as_text(id), "vector": row, "metadata": entry} for id, row, entry in triples]
            self.client.upsert(self.collection, entities)
        self._fields.learn(kinds)
        if listed:
            self._text = isinstance(listed[0], str)

    def remove(self, ids: Ids) -> None:
        """Take ids out; see `VectorIndex.remove`."""
        listed = as_ids(ids)
        check_there(listed, self._stored(listed))
        for start in range(0, len(listed), _BATCH):
            self.client.delete(self.collection, filter=_among(listed[start : start + _BATCH]))

    def metadata(self, ids: Ids) -> list[dict[str, Value]]:
        """The metadata of each id; see `VectorIndex.metadata`."""
        listed = as_ids(ids)
        return check_there(listed, self._stored(listed))

    def search(self, queries: ArrayLike, k: int = 10, filter: Filter | None = None) -> Hits:
        """The k best vectors for each query; see `VectorIndex.search`."""
        x = as_vectors(queries, dim=self.dim, metric=self.metric, name="queries")
        check_count("k", k, min(len(self), _LARGEST_K), "vectors in the index (or Milvus's limit)")
        expression = "" if filter is None else _expression(self._fields.parse(filter))
        if not len(x):
            return join_hits([], [], bool(self._text))
        found = self.client.search(
            self.collection, data=x.tolist(), limit=k, filter=expression, output_fields=["id"], anns_field="vector"
        )
        ids = [[from_text(hit["entity"]["id"]) for hit in row] for row in found]
        scores = [np.array([hit["distance"] for hit in row]) for row in found]
        if self.metric == "euclidean":  # Milvus gives the square
            scores = [np.sqrt(np.maximum(row, 0)) for row in scores]
        return join_hits(ids, [row.tolist() for row in scores], bool(self._text))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the collection's content to one file; see `VectorIndex.save`."""
        entities = [entity for page in self._pages(["id", "vector", "metadata"]) for entity in page]
        vectors = np.array([entity["vector"] for entity in entities], dtype=np.float32).reshape(len(entities), self.dim)
        ids: list = [from_text(entity["id"]) for entity in entities]
        metadata = [entity["metadata"] for entity in entities]
        write_collection(path, "Milvus", self.dim, self.metric, ids, vectors, metadata)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, mmap: bool = True, verify: bool = True, location: str = ":memory:"
    ) -> Self:
        """Read a saved collection into a new one at `location`; see `VectorIndex.load`."""
        dim, metric, ids, vectors, metadata = read_collection(path, "Milvus", mmap, verify)
        index = cls(dim, metric=metric, location=location)
        index.add(ids, vectors, metadata)
        return index


def _among(listed: list) -> str:
    """Milvus's filter for ids, which its client itself would not quote."""
    return f"id in {json.dumps([as_text(id) for id in listed], ensure_ascii=False)}"


def _expression(expression: Expression) -> str:
    """Milvus's filter for an expression without Not."""
    if isinstance(expression, And | Or):
        parts = [f"({_expression(part)})" for part in expression.parts]
        if not parts:  # everything, or nothing: every id begins so
            return 'id != ""' if isinstance(expression, And) else 'id == ""'
        return (" and " if isinstance(expression, And) else " or ").join(parts)
    assert isinstance(expression, Condition)
    field, operator, value = expression.field, expression.operator, expression.value
    key = f"metadata[{json.dumps(field, ensure_ascii=False)}]"
    if operator == "$exists":
        return f"exists {key}" if value else f"not (exists {key})"
    if operator in ("$in", "$nin"):  # on a JSON field Milvus Lite has no `in`
        listed = value if isinstance(value, tuple) else (value,)
        equal = " or ".join(f"{key} == {json.dumps(one, ensure_ascii=False)}" for one in listed)
        return f"exists {key} and ({equal})" if operator == "$in" else f"not (exists {key}) or not ({equal})"
    compared = f"{key} {_SYMBOL[operator]} {json.dumps(value, ensure_ascii=False)}"
    return f"not (exists {key}) or {compared}" if operator == "$ne" else f"exists {key} and {compared}"
