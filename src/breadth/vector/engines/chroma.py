"""Chroma behind `VectorIndex`: in this process, in a folder, or on a server."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any, Self
from urllib.parse import urlsplit

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

_BATCH = 1000  # entries a request
_HAS = "?"  # the key "?year" says that an entry has "year": Chroma's filters cannot ask
_SPACE = {"cosine": "cosine", "dot": "ip", "euclidean": "l2"}


class Chroma:
    """A Chroma collection.

    Chroma's ids are strings: an integer 7 is kept as "i:7" and a string "a" as "s:a". Beside each field stands a key
    that says that it is there; filters become Chroma's `where`.

    Args:
        dim: the length of the vectors, >= 1.
        metric: "cosine", "dot" or "euclidean".
        collection: its name, of 3 characters at least; one that exists already is taken as it is. None makes one up.
        location: ":memory:" or a folder, in this process; or the URL of a server.
        ef: candidates of the graph's search.

    Attributes:
        dim, metric, collection: as given.
        client: the Chroma client.

    Raises:
        ModuleNotFoundError: without chromadb.
        ValueError: if the collection exists with another metric; or as `VectorIndex` says.

    Cost: a graph (HNSW, 16 neighbours) in memory, and metadata in SQLite.
    Deviations: an upsert takes the old entry out first, since Chroma would merge its metadata. Chroma cannot order
        strings ($gt and the like on them are errors).
    References: Malkov & Yashunin 2020, IEEE TPAMI 42(4), algorithms 1 to 5.
    Peer: breadth.vector.Flat on the same vectors: recall@10 >= 0.95, scores 1e-5 (A).
    In production: use it where an application keeps its documents in Chroma already.
    """

    def __init__(
        self,
        dim: int,
        *,
        metric: Metric = "cosine",
        collection: str | None = None,
        location: str = ":memory:",
        ef: int = 100,
    ) -> None:
        check_space(dim, metric)
        chroma: Any = engine_module("chromadb", "chromadb")
        self.dim = int(dim)
        self.metric: Metric = metric
        self.collection = f"breadth-{uuid.uuid4().hex}" if collection is None else collection
        settings = chroma.config.Settings(anonymized_telemetry=False)
        if location == ":memory:":
            self.client = chroma.EphemeralClient(settings=settings)
        elif "://" in location:
            url = urlsplit(location)
            self.client = chroma.HttpClient(
                host=url.hostname, port=url.port or 8000, ssl=url.scheme == "https", settings=settings
            )
        else:
            self.client = chroma.PersistentClient(path=location, settings=settings)
        self._entries: Any = self.client.get_or_create_collection(
            self.collection,
            configuration={"hnsw": {"space": _SPACE[metric], "ef_search": ef}},
            embedding_function=None,
        )
        space = self._entries.configuration["hnsw"]["space"]
        if space != _SPACE[metric]:
            raise ValueError(
                f"collection {self.collection!r} exists with space {space!r}, not {_SPACE[metric]!r}: take another name"
            )
        self._fields = Fields()
        self._text: bool | None = None  # whether ids are strings; None in an empty collection
        for page in self._pages(["metadatas"]):
            entries = [_metadata(entry) for entry in page["metadatas"]]
            self._fields.learn({field: kind for field, (kind, _, _) in Table().check(entries, len(entries)).items()})
            self._text = isinstance(from_text(page["ids"][0]), str)

    def _pages(self, include: list[str]) -> Iterator[dict[str, Any]]:
        for start in range(0, len(self), _BATCH):
            yield self._entries.get(limit=_BATCH, offset=start, include=include)

    def __len__(self) -> int:
        return self._entries.count()

    def __contains__(self, id: int | str) -> bool:
        return bool(self._stored(as_ids([id])))

    def _stored(self, listed: list) -> dict[int | str, dict[str, Value]]:
        """The metadata of those ids that are there."""
        found = {}
        for start in range(0, len(listed), _BATCH):
            wanted = [as_text(id) for id in listed[start : start + _BATCH]]
            page = self._entries.get(ids=wanted, include=["metadatas"])
            entries = zip(page["ids"], page["metadatas"], strict=True)
            found.update({from_text(id): _metadata(entry) for id, entry in entries})
        return found

    def add(self, ids: Ids, vectors: ArrayLike, metadata: Metadata | None = None) -> None:
        """Add vectors under new ids; see `VectorIndex.add`."""
        check_new(self._stored(of_one_kind(as_ids(ids), self._text)))
        self.upsert(ids, vectors, metadata)

    def upsert(self, ids: Ids, vectors: ArrayLike, metadata: Metadata | None = None) -> None:
        """Add vectors, and replace those whose ids are there; see `VectorIndex.upsert`."""
        rows = as_vectors(vectors, dim=self.dim, metric=self.metric)
        listed = of_one_kind(as_ids(ids), self._text, n=len(rows))
        entries, kinds = self._fields.check(metadata, len(rows))
        old = list(self._stored(listed))
        if old:
            self.remove(old)
        for start in range(0, len(rows), _BATCH):
            part = slice(start, start + _BATCH)
            self._entries.add(
                ids=[as_text(id) for id in listed[part]],
                embeddings=rows[part],
                metadatas=[{_HAS: True, **{_HAS + name: True for name in entry}, **entry} for entry in entries[part]],
            )
        self._fields.learn(kinds)
        if listed:
            self._text = isinstance(listed[0], str)

    def remove(self, ids: Ids) -> None:
        """Take ids out; see `VectorIndex.remove`."""
        listed = as_ids(ids)
        check_there(listed, self._stored(listed))
        for start in range(0, len(listed), _BATCH):
            self._entries.delete(ids=[as_text(id) for id in listed[start : start + _BATCH]])

    def metadata(self, ids: Ids) -> list[dict[str, Value]]:
        """The metadata of each id; see `VectorIndex.metadata`."""
        listed = as_ids(ids)
        return check_there(listed, self._stored(listed))

    def search(self, queries: ArrayLike, k: int = 10, filter: Filter | None = None) -> Hits:
        """The k best vectors for each query; see `VectorIndex.search`."""
        x = as_vectors(queries, dim=self.dim, metric=self.metric, name="queries")
        check_count("k", k, len(self), "vectors in the index")
        where = None if filter is None else _where(self._fields.parse(filter))
        if not len(x):
            return join_hits([], [], bool(self._text))
        found = self._entries.query(query_embeddings=x, n_results=k, where=where, include=["distances"])
        ids = [[from_text(id) for id in row] for row in found["ids"]]
        distances = [np.asarray(row) for row in found["distances"]]
        if self.metric == "euclidean":  # Chroma gives the square, and 1 - x.y for the others
            scores = [np.sqrt(np.maximum(row, 0)) for row in distances]
        else:
            scores = [1 - row for row in distances]
        return join_hits(ids, [row.tolist() for row in scores], bool(self._text))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the collection's content to one file; see `VectorIndex.save`."""
        pages = list(self._pages(["metadatas", "embeddings"]))
        ids: list = [from_text(id) for page in pages for id in page["ids"]]
        vectors = np.concatenate([np.zeros((0, self.dim)), *(page["embeddings"] for page in pages)]).astype(np.float32)
        metadata = [_metadata(entry) for page in pages for entry in page["metadatas"]]
        write_collection(path, "Chroma", self.dim, self.metric, ids, vectors, metadata)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, mmap: bool = True, verify: bool = True, location: str = ":memory:"
    ) -> Self:
        """Read a saved collection into a new one at `location`; see `VectorIndex.load`."""
        dim, metric, ids, vectors, metadata = read_collection(path, "Chroma", mmap, verify)
        index = cls(dim, metric=metric, location=location)
        index.add(ids, vectors, metadata)
        return index


def _metadata(entry: dict[str, Any]) -> dict[str, Value]:
    return {name: value for name, value in entry.items() if not name.startswith(_HAS)}


def _where(expression: Expression) -> dict[str, Any]:
    """Chroma's filter for an expression without Not."""
    if isinstance(expression, And | Or):
        parts = [_where(part) for part in expression.parts]
        if not parts:  # everything, or nothing: every entry has the mark
            return {_HAS: True} if isinstance(expression, And) else {_HAS: {"$ne": True}}
        return parts[0] if len(parts) == 1 else {"$and" if isinstance(expression, And) else "$or": parts}
    assert isinstance(expression, Condition)
    field, operator, value = expression.field, expression.operator, expression.value
    if operator == "$exists":
        return {_HAS + field: True} if value else {_HAS + field: {"$ne": True}}
    if operator in ("$gt", "$gte", "$lt", "$lte") and isinstance(value, str):
        raise ValueError(f"filter: {operator} of {field!r}: Chroma cannot order strings")
    return {field: {operator: list(value) if isinstance(value, tuple) else value}}
