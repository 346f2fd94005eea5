"""Qdrant behind `VectorIndex`: in this process, in a folder, or on a server."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from breadth.vector.engines.common import (
    Fields,
    check_new,
    check_there,
    engine_module,
    join_hits,
    of_one_kind,
    read_collection,
    write_collection,
)
from breadth.vector.filters import And, Condition, Expression, Or, Value
from breadth.vector.index import Filter, Hits, Ids, Metadata, Metric, as_vectors, check_count, check_space
from breadth.vector.metadata import Table
from breadth.vector.records import as_ids

_BATCH = 1000  # points a request
_NAMESPACE = uuid.UUID(
    "5a0cc4c0-8f0f-4a3c-9b43-0b6ad1f2c111"
)  # Qdrant's ids are integers >= 0 or UUIDs: ours hash to one
_DISTANCE = {"cosine": "Cosine", "dot": "Dot", "euclidean": "Euclid"}


class Qdrant:
    """A Qdrant collection.

    A point's payload holds the id as given ("id") and the metadata ("metadata"); filters become Qdrant's conditions.

    Args:
        dim: the length of the vectors, >= 1.
        metric: "cosine", "dot" or "euclidean".
        collection: its name; one that exists already is taken as it is.
        location: ":memory:" or a folder, searched by brute force in this process; or the URL of a server.
        api_key: of the server.

    Attributes:
        dim, metric, collection: as given.
        client: the `qdrant_client.QdrantClient`.

    Raises:
        ModuleNotFoundError: without qdrant-client.
        ValueError: if the collection exists with another dimension or metric; or as `VectorIndex` says.

    Cost: in this process a search scans everything in Python; a server has its own graph.
    Deviations: Qdrant cannot order strings ($gt and the like on them are errors), and compares integers as float64.
    References: Malkov & Yashunin 2020, IEEE TPAMI 42(4), algorithms 1 to 5 (the server's graph).
    Peer: breadth.vector.Flat on the same vectors: equal ids in memory, scores 1e-5 (A).
    In production: use a server where several programs share vectors that outgrow one process.
    """

    def __init__(
        self,
        dim: int,
        *,
        metric: Metric = "cosine",
        collection: str = "breadth",
        location: str = ":memory:",
        api_key: str | None = None,
    ) -> None:
        check_space(dim, metric)
        qdrant: Any = engine_module("qdrant_client", "qdrant-client")
        self.dim = int(dim)
        self.metric: Metric = metric
        self.collection = collection
        self._models = qdrant.models
        if location == ":memory:":
            self.client = qdrant.QdrantClient(location=location)
        elif "://" in location:
            self.client = qdrant.QdrantClient(url=location, api_key=api_key)
        else:
            self.client = qdrant.QdrantClient(path=location)
        self._fields = Fields()
        self._text: bool | None = None  # whether ids are strings; None in an empty collection
        if self.client.collection_exists(collection):
            self._take_over()
        else:
            distance = self._models.Distance(_DISTANCE[metric])
            space = self._models.VectorParams(size=self.dim, distance=distance)
            self.client.create_collection(collection, vectors_config=space)

    def _take_over(self) -> None:
        space: Any = self.client.get_collection(self.collection).config.params.vectors
        if space.size != self.dim or space.distance.value != _DISTANCE[self.metric]:
            raise ValueError(
                f"collection {self.collection!r} exists with dimension {space.size} and distance "
                f"{space.distance.value}, not {self.dim} and {_DISTANCE[self.metric]}: take another name"
            )
        for points in self._pages(vectors=False):
            entries = [point.payload["metadata"] for point in points]
            self._fields.learn({field: kind for field, (kind, _, _) in Table().check(entries, len(entries)).items()})
            self._text = isinstance(points[0].payload["id"], str)

    def _pages(self, *, vectors: bool) -> Iterator[list[Any]]:
        offset = None
        while True:
            points, offset = self.client.scroll(
                self.collection, limit=_BATCH, offset=offset, with_payload=True, with_vectors=vectors
            )
            if points:
                yield points
            if offset is None:
                return

    def __len__(self) -> int:
        return self.client.count(self.collection, exact=True).count

    def __contains__(self, id: int | str) -> bool:
        return bool(self._stored(as_ids([id])))

    def add(self, ids: Ids, vectors: ArrayLike, metadata: Metadata | None = None) -> None:
        """Add vectors under new ids; see `VectorIndex.add`."""
        check_new(self._stored(of_one_kind(as_ids(ids), self._text)))
        self.upsert(ids, vectors, metadata)

    def upsert(self, ids: Ids, vectors: ArrayLike, metadata: Metadata | None = None) -> None:
        """Add vectors, and replace those whose ids are there; see `VectorIndex.upsert`."""
        rows = as_vectors(vectors, dim=self.dim, metric=self.metric)
        listed = of_one_kind(as_ids(ids), self._text, n=len(rows))
        entries, kinds = self._fields.check(metadata, len(rows))
        for start in range(0, len(rows), _BATCH):
            part = slice(start, start + _BATCH)
            payloads = [{"id": id, "metadata": entry} for id, entry in zip(listed[part], entries[part], strict=True)]
            points = self._models.Batch(
                ids=[_point_id(id) for id in listed[part]], vectors=rows[part].tolist(), payloads=payloads
            )
            self.client.upsert(self.collection, points, wait=True)
        self._fields.learn(kinds)
        if listed:
            self._text = isinstance(listed[0], str)

    def remove(self, ids: Ids) -> None:
        """Take ids out; see `VectorIndex.remove`."""
        listed = as_ids(ids)
        check_there(listed, self._stored(listed))
        for start in range(0, len(listed), _BATCH):
            points = [_point_id(id) for id in listed[start : start + _BATCH]]
            self.client.delete(self.collection, self._models.PointIdsList(points=points), wait=True)

    def metadata(self, ids: Ids) -> list[dict[str, Value]]:
        """The metadata of each id; see `VectorIndex.metadata`."""
        listed = as_ids(ids)
        return check_there(listed, self._stored(listed))

    def _stored(self, listed: list) -> dict[int | str, dict[str, Value]]:
        """The metadata of those ids that are there."""
        found = {}
        for start in range(0, len(listed), _BATCH):
            wanted = [_point_id(id) for id in listed[start : start + _BATCH]]
            for point in self.client.retrieve(self.collection, wanted, with_payload=True):
                payload: Any = point.payload
                found[payload["id"]] = payload["metadata"]
        return found

    def search(self, queries: ArrayLike, k: int = 10, filter: Filter | None = None) -> Hits:
        """The k best vectors for each query; see `VectorIndex.search`."""
        x = as_vectors(queries, dim=self.dim, metric=self.metric, name="queries")
        check_count("k", k, len(self), "vectors in the index")
        condition = None if filter is None else self._translate(self._fields.parse(filter))
        requests = [
            self._models.QueryRequest(query=row, filter=condition, limit=k, with_payload=["id"]) for row in x.tolist()
        ]
        found = self.client.query_batch_points(self.collection, requests) if requests else []
        ids = [[point.payload["id"] for point in response.points] for response in found]
        return join_hits(ids, [[point.score for point in response.points] for response in found], bool(self._text))

    def _translate(self, expression: Expression) -> Any:
        """Qdrant's filter for an expression without Not."""
        models = self._models
        if isinstance(expression, And):
            return models.Filter(must=[self._translate(part) for part in expression.parts])
        if isinstance(expression, Or):
            if not expression.parts:  # nothing: Qdrant takes an empty list for no condition
                return models.Filter(must=[models.HasIdCondition(has_id=[])])
            return models.Filter(should=[self._translate(part) for part in expression.parts])
        assert isinstance(expression, Condition)
        field, operator, value = expression.field, expression.operator, expression.value
        key = f'metadata."{field}"' if not field.isidentifier() else f"metadata.{field}"
        if operator == "$exists":
            empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
            return models.Filter(must_not=[empty]) if value else models.Filter(must=[empty])
        if operator in ("$eq", "$in", "$ne", "$nin"):
            equal = [self._equal(key, one) for one in (value if isinstance(value, tuple) else (value,))]
            return models.Filter(should=equal) if operator in ("$eq", "$in") else models.Filter(must_not=equal)
        if isinstance(value, str):
            raise ValueError(f"filter: {operator} of {field!r}: Qdrant cannot order strings")
        return models.Filter(must=[models.FieldCondition(key=key, range=models.Range(**{operator[1:]: value}))])

    def _equal(self, key: str, value: Value) -> Any:
        models = self._models
        if isinstance(value, float):
            return models.FieldCondition(key=key, range=models.Range(gte=value, lte=value))
        return models.FieldCondition(key=key, match=models.MatchValue(value=value))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the collection's content to one file; see `VectorIndex.save`."""
        points = [point for page in self._pages(vectors=True) for point in page]
        vectors = np.array([point.vector for point in points], dtype=np.float32).reshape(len(points), self.dim)
        ids = [point.payload["id"] for point in points]
        metadata = [point.payload["metadata"] for point in points]
        write_collection(path, "Qdrant", self.dim, self.metric, ids, vectors, metadata)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, mmap: bool = True, verify: bool = True, location: str = ":memory:"
    ) -> Self:
        """Read a saved collection into a new one at `location`; see `VectorIndex.load`."""
        dim, metric, ids, vectors, metadata = read_collection(path, "Qdrant", mmap, verify)
        index = cls(dim, metric=metric, location=location)
        index.add(ids, vectors, metadata)
        return index


def _point_id(id: int | str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{type(id).__name__}:{id}"))
