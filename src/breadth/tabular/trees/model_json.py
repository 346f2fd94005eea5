"""Boosted models as JSON text: readable, complete, and safe to load from anywhere.

Version 1 is one object. Where JSON lacks a number, NaN is null and infinities are "inf" and "-inf" among numbers; a
label, category or parameter that is infinite is {"float": "inf"}. Floats are written with as many digits as bring
the same bits back.

    format              "breadth.gradient_boosting"
    version             1
    estimator           "GradientBoostingClassifier" or "GradientBoostingRegressor"
    parameters          name -> value as in `get_params`; arrays become lists, a dict {"dict": [[key, value], ...]}
    n_features          number of columns
    feature_names       list, or null if the model was fitted without names
    classes             {"dtype": NumPy's name, "values": [...]}; null for a regressor
    validation_loss     loss after each round, or null
    categorical         for each categorical column {"column": index, "categories": [...] where the position is the
                        code, "rare": [...] that share the code after the last, or null}
    threshold_dtype     "float32" or "float64": X is cast to it
    first_score         raw score before the first tree, one for each output
    trees               a list, tree r * outputs + k being that of round r for output k; each has
        left            of each node the left child, its right sibling being the next node; -1 at a leaf
        feature, threshold   x <= threshold goes left; threshold null at leaves and categorical splits
        missing_left    whether missing values and unknown categories go left
        value           what a leaf adds to the raw score
        gain, rows      loss reduction of the split; training rows that passed
        category_splits {"node": number, "left": [codes], "n_codes": codes that training saw}; absent without any
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from breadth.tabular.columns import ColumnEncoder
from breadth.tabular.trees.tree_ensemble import TreeEnsemble

if TYPE_CHECKING:
    from breadth.tabular.trees.boosting_base import GradientBoostingBase

    Model = TypeVar("Model", bound=GradientBoostingBase)

FORMAT = "breadth.gradient_boosting"
VERSION = 1


def to_json(model: GradientBoostingBase) -> str:
    """A fitted model as text of the form above, one tree a line.

    Raises:
        sklearn.exceptions.NotFittedError: if the model is not fitted.
        TypeError: for a parameter, label or category that JSON has no form for, such as a generator as `random_state`.

    Cost: O(nodes) time; about 60 to 100 bytes of text a node.
    """
    check_is_fitted(model)
    if not isinstance(model.random_state, (int, np.integer, type(None))):
        raise TypeError(
            f"random_state is a {type(model.random_state).__name__}, whose state has no place in JSON; "
            "call set_params(random_state=...) with an integer or None first."
        )
    trees, names = model._ensemble, getattr(model, "feature_names_in_", None)
    head = {
        "format": FORMAT,
        "version": VERSION,
        "estimator": type(model).__name__,
        "parameters": {name: _packed(value, f"parameter {name}") for name, value in model.get_params().items()},
        "n_features": trees.n_features,
        "feature_names": None if names is None else [str(name) for name in names],
        "classes": _packed_classes(model.classes_) if hasattr(model, "classes_") else None,
        "validation_loss": None if model.validation_loss_ is None else _floats(model.validation_loss_),
        "categorical": _packed_columns(model._encoder),
        "threshold_dtype": trees.threshold.dtype.name,
        "first_score": _floats(trees.first_score),
    }
    lines = [f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in head.items()]
    rows = [json.dumps(_packed_tree(trees, t), allow_nan=False) for t in range(trees.n_trees)]
    return "{\n" + ",\n".join(lines) + ',\n"trees": [\n' + ",\n".join(rows) + "\n]\n}\n"


def from_json(kind: type[Model], text: str) -> Model:
    """The model that `to_json` wrote: the same parameters and, to the last bit, the same predictions.

    Args:
        kind: the estimator class that the text must describe.
        text: of the form above.

    Raises:
        ValueError: if the text is cut off or no JSON, is of another format, version or estimator, lacks an entry, or
            its arrays do not fit together (every node but the root must have one parent before it).

    Cost: O(nodes) time.
    """
    document = _parsed(text)
    if document.get("format") != FORMAT:
        raise ValueError(f"format must be {FORMAT!r}; got {document.get('format')!r}.")
    if document.get("version") != VERSION:
        raise ValueError(f"version must be {VERSION}, the one this breadth reads; got {document.get('version')!r}.")
    if document.get("estimator") != kind.__name__:
        raise ValueError(
            f"the text holds a {document.get('estimator')!r}; load it with that class, not {kind.__name__}."
        )
    try:
        return _assembled(kind, document)
    except KeyError as error:
        raise ValueError(f"the text lacks the entry {error}.") from error
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"an entry of the text has the wrong type: {error}.") from error


def _parsed(text: str) -> dict[str, Any]:
    if not isinstance(text, (str, bytes, bytearray)):
        raise TypeError(f"text must be what to_json wrote, a str; got a {type(text).__name__}.")

    def refuse(name: str) -> None:
        raise ValueError(f"the text holds {name}, which is no JSON.")

    try:
        document = json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"text of {len(text)} characters is not whole JSON ({error}); was it cut off?") from error
    if not isinstance(document, dict):
        raise ValueError(f"the text must hold a JSON object; got a {type(document).__name__}.")
    return document


def _assembled(kind: type[Model], document: dict[str, Any]) -> Model:
    parameters = {name: _unpacked(value) for name, value in document["parameters"].items()}
    model: Any = kind()
    unknown = sorted(set(parameters) ^ set(model.get_params()))
    if unknown:
        raise ValueError(f"the text and {kind.__name__} differ in the parameters {', '.join(unknown)}.")
    model.set_params(**parameters)
    n_features, names = document["n_features"], document["feature_names"]
    trees = _unpacked_trees(document, n_features)
    if names is not None:
        if len(names) != n_features:
            raise ValueError(f"feature_names holds {len(names)} names for {n_features} features.")
        model.feature_names_in_ = np.array(names, dtype=object)
    if document["classes"] is not None:
        model.classes_ = _unpacked_classes(document["classes"])
        outputs = 1 if len(model.classes_) == 2 else len(model.classes_)
        if outputs != trees.n_outputs:
            raise ValueError(f"first_score has length {trees.n_outputs}; {len(model.classes_)} classes need {outputs}.")
    elif trees.n_outputs != 1:
        raise ValueError(f"first_score has length {trees.n_outputs}; a regressor needs 1.")
    loss = document["validation_loss"]
    model.validation_loss_ = None if loss is None else _array(loss, np.float64)
    model.n_features_in_ = n_features
    model.n_iter_ = trees.n_rounds
    model._encoder = _unpacked_columns(document["categorical"], n_features)
    _check_categorical_splits(trees, model._encoder)
    model._ensemble = trees
    return model


def _floats(values: np.ndarray) -> list[float | str | None]:
    plain = values.tolist()  # float32 widens exactly
    if np.isfinite(values).all():
        return plain
    return [None if v != v else v if abs(v) != np.inf else str(v) for v in plain]


def _array(values: list, dtype: Any) -> np.ndarray:
    """The numbers of a list in one dimension, null as NaN and "inf" as infinity."""
    if not isinstance(values, list):
        raise ValueError(f"the text should hold a list of numbers where it has {values!r}.")
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return np.array([np.nan if v is None else float(v) for v in values], dtype)
    wanted = bool if dtype.kind == "b" else int
    strangers = [v for v in values if type(v) is not wanted]
    if strangers:
        raise ValueError(f"the text should hold only {wanted.__name__} in a list that has {strangers[0]!r}.")
    return np.array(values, dtype)


def _packed(value: Any, what: str) -> Any:
    """A scalar, sequence or dict in a form that JSON keeps."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    if type(value) is float:
        return value if np.isfinite(value) else {"float": str(value)}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_packed(v, what) for v in value]
    if isinstance(value, dict):
        return {"dict": [[_packed(k, what), _packed(v, what)] for k, v in value.items()]}
    raise TypeError(
        f"{what} holds {value!r} of type {type(value).__name__}; JSON keeps str, int, float, bool and None. "
        "Convert it before fitting, or use pickle."
    )


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"]) if "float" in value else {_unpacked(k): _unpacked(v) for k, v in value["dict"]}
    return [_unpacked(v) for v in value] if isinstance(value, list) else value


def _packed_classes(classes: np.ndarray) -> dict[str, Any]:
    return {"dtype": classes.dtype.str, "values": [_packed(v, "classes_") for v in classes.tolist()]}


def _unpacked_classes(classes: dict[str, Any]) -> np.ndarray:
    dtype = np.dtype(classes["dtype"])
    if dtype.kind not in "biufUO":
        raise ValueError(f"classes has dtype {dtype}; labels are numbers, truth values, text or Python objects.")
    return np.array([_unpacked(v) for v in classes["values"]], dtype=dtype)


def _packed_columns(encoder: ColumnEncoder) -> list[dict[str, Any]]:
    columns = []
    for j in np.flatnonzero(encoder.categorical).tolist():
        what = f"categorical column {j}"
        categories = sorted(encoder.codes[j], key=encoder.codes[j].__getitem__)
        rare = encoder.rare.get(j)
        columns.append(
            {
                "column": j,
                "categories": [_packed(v, what) for v in categories],
                "rare": None if rare is None else [_packed(v, what) for v in sorted(rare, key=_by_kind)],
            }
        )
    return columns


def _by_kind(value: Any) -> tuple[str, Any]:
    return str(type(value)), value


def _unpacked_columns(columns: list[dict[str, Any]], n_features: int) -> ColumnEncoder:
    encoder = ColumnEncoder(np.zeros(n_features, bool))
    for column in columns:
        j = column["column"]
        if type(j) is not int or not 0 <= j < n_features:
            raise ValueError(f"categorical names column {j!r}; the model has {n_features}, counted from 0.")
        encoder.categorical[j] = True
        encoder.codes[j] = {_unpacked(v): code for code, v in enumerate(column["categories"])}
        if column["rare"] is not None:
            encoder.rare[j] = frozenset(_unpacked(v) for v in column["rare"])
            encoder.pooled[j] = len(column["categories"])
    return encoder


def _packed_tree(trees: TreeEnsemble, t: int) -> dict[str, Any]:
    nodes = slice(int(trees.roots[t]), int(trees.roots[t + 1]))
    left = trees.left[nodes]
    tree: dict[str, Any] = {
        "left": np.where(left < 0, -1, left - nodes.start).tolist(),
        "feature": trees.feature[nodes].tolist(),
        "threshold": _floats(trees.threshold[nodes]),
        "missing_left": trees.missing_left[nodes].tolist(),
        "value": _floats(trees.value[nodes]),
        "gain": _floats(trees.gain[nodes]),
        "rows": trees.rows[nodes].tolist(),
    }
    splits = []
    for node in np.flatnonzero(trees.category_set[nodes] >= 0).tolist():
        *words, n_codes = trees.category_sets[trees.category_set[nodes.start + node]].tolist()
        codes = [code for code in range(256) if words[code >> 6] >> (code & 63) & 1]
        splits.append({"node": node, "left": codes, "n_codes": n_codes})
    return tree | {"category_splits": splits} if splits else tree


def _unpacked_trees(document: dict[str, Any], n_features: int) -> TreeEnsemble:
    if type(n_features) is not int or n_features < 1:
        raise ValueError(f"n_features must be a positive integer; got {n_features!r}.")
    if document["threshold_dtype"] not in ("float32", "float64"):
        raise ValueError(f"threshold_dtype must be 'float32' or 'float64'; got {document['threshold_dtype']!r}.")
    first_score = _array(document["first_score"], np.float64)
    trees = document["trees"]
    if len(first_score) == 0 or len(trees) == 0 or len(trees) % len(first_score):
        raise ValueError(f"{len(trees)} trees are no whole rounds of {len(first_score)} outputs.")
    kinds = {
        "left": np.int32, "feature": np.int32, "threshold": np.dtype(document["threshold_dtype"]), "missing_left": bool,
        "value": np.float64, "gain": np.float64, "rows": np.int64,
    }  # fmt: skip
    parts: dict[str, list[np.ndarray]] = {name: [] for name in kinds}
    set_of_node, sets, start = [], [], 0
    for t, tree in enumerate(trees):
        arrays = {name: _array(tree[name], kind) for name, kind in kinds.items()}
        of_tree = _sets_of(tree.get("category_splits", []), t, len(arrays["left"]))
        _check_tree(t, arrays, n_features, of_tree)
        arrays["left"][arrays["left"] >= 0] += start
        for name, array in arrays.items():
            parts[name].append(array)
        row = np.full(len(arrays["left"]), -1, np.int32)
        row[list(of_tree)] = np.arange(len(sets), len(sets) + len(of_tree))
        set_of_node.append(row)
        sets += of_tree.values()
        start += len(row)
    sizes = [len(left) for left in parts["left"]]
    return TreeEnsemble(
        n_features=n_features,
        first_score=first_score,
        roots=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        category_set=np.concatenate(set_of_node),
        category_sets=np.array(sets, np.uint64).reshape(-1, 5),
        **{name: np.concatenate(arrays) for name, arrays in parts.items()},
    )


def _sets_of(splits: list[dict[str, Any]], t: int, n_nodes: int) -> dict[int, list[int]]:
    """Node -> four words of codes that go left and the number of codes."""
    found = {}
    for split in splits:
        node, codes, n_codes = split["node"], split["left"], split["n_codes"]
        if any(type(v) is not int or not 0 <= v < 256 for v in codes) or not 0 <= n_codes <= 256:
            raise ValueError(f"tree {t}, node {node}: codes must lie in 0 to 255; got {codes!r} of {n_codes!r}.")
        if type(node) is not int or not 0 <= node < n_nodes:
            raise ValueError(f"tree {t}: category_splits names node {node!r} of {n_nodes}.")
        words = [0, 0, 0, 0]
        for code in codes:
            words[code >> 6] |= 1 << (code & 63)
        found[node] = [*words, n_codes]
    return found


def _check_tree(t: int, tree: dict[str, np.ndarray], n_features: int, sets: dict[int, list[int]]) -> None:
    n = len(tree["left"])
    lengths = {name: len(array) for name, array in tree.items()}
    if n == 0 or len(set(lengths.values())) > 1:
        raise ValueError(f"tree {t}: its arrays must have one length, at least 1; got {lengths}.")
    inner = np.flatnonzero(tree["left"] >= 0)
    left = tree["left"][inner]
    children = np.sort(np.concatenate([left, left + 1]))
    if not np.array_equal(children, np.arange(1, n)) or (left <= inner).any() or (tree["left"] < -1).any():
        raise ValueError(f"tree {t}: left must give every node but the root one parent that stands before it.")
    if ((tree["feature"][inner] < 0) | (tree["feature"][inner] >= n_features)).any():
        raise ValueError(f"tree {t}: feature must lie in 0 to {n_features - 1}.")
    ordered = np.setdiff1d(inner, list(sets))
    if np.isnan(tree["threshold"][ordered]).any():
        raise ValueError(f"tree {t}: threshold must be a number at every split that is not categorical.")
    if not np.isin(list(sets), inner).all() or not np.isnan(tree["threshold"][list(sets)]).all():
        raise ValueError(f"tree {t}: category_splits must name nodes that have children and a null threshold.")
    if not np.isfinite(tree["value"]).all() or (tree["rows"] < 0).any():
        raise ValueError(f"tree {t}: value must be finite and rows must not be negative.")


def _check_categorical_splits(trees: TreeEnsemble, encoder: ColumnEncoder) -> None:
    splits = trees.left >= 0
    feature = trees.feature[splits]
    wrong = (trees.category_set[splits] >= 0) != encoder.categorical[feature]
    if wrong.any():
        raise ValueError(
            f"feature {feature[wrong][0]} is split as numeric and categorical alike: "
            "categorical and category_splits must name the same columns."
        )
