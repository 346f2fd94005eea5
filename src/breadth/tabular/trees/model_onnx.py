"""Boosted models as ONNX graphs, to run wherever ONNX Runtime 1.21 or later does.

The trees become one `TreeEnsemble` node (ai.onnx.ml, operator set 5) in float64: a float32 input widens exactly, so
every row takes the branches that it takes here, and scores differ by the order of their sums only.

Inputs: one table "X" of shape (rows, features), float32 if the model was fitted on float32, else float64; NaN is
missing. If a categorical column holds text, ONNX has no type for the table, and each column is an input of its own,
shape (rows, 1), by its name ("c0", "c1", ... without names): float64, or strings where the column is text. Categories
go in as they are, not as codes; a string that training did not see, such as "", is missing.

Outputs: "label" and "probabilities" of a classifier, shapes (rows,) and (rows, classes); "prediction" of a regressor,
shape (rows,). Numbers have the type of the thresholds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

import breadth
from breadth.tabular.trees.tree_ensemble import TreeEnsemble

if TYPE_CHECKING:
    import onnx

    from breadth.tabular.trees.boosting_base import GradientBoostingBase

OPSET, ML_OPSET, IR_VERSION = 18, 5, 9  # the oldest with a TreeEnsemble of float64 and of sets
LESS_OR_EQUAL, MEMBER = 0, 6  # modes of a split
OUTPUTS = ("label", "probabilities", "prediction")
MAX_EXACT = 2**53  # float64 holds every integer up to it


def to_onnx(model: GradientBoostingBase) -> onnx.ModelProto:
    """A fitted model as a graph with the inputs and outputs above.

    Raises:
        ImportError: without the package `onnx`.
        sklearn.exceptions.NotFittedError: if the model is not fitted.
        ValueError: for labels or categories that no ONNX tensor holds: a column of text and numbers, integers beyond
            2^53, names that cannot be told apart.

    Cost: O(nodes) time; about 20 bytes a node.

    Deviations: missing values are NaN, and in columns of text any unknown string; ONNX has no null.

    References: ONNX 1.16, ai.onnx.ml operators, TreeEnsemble-5 and LabelEncoder-4.

    Peer: onnxruntime on the graph: the same branches, scores within 1e-12, float32 probabilities within 1e-6 (A).

    In production: use it to serve without Python, and `to_json` or pickle to come back to a fitted estimator.
    """
    check_is_fitted(model)
    try:
        import onnx
    except ImportError as error:
        raise ImportError('to_onnx needs the package onnx: pip install "breadth[onnx]"') from error
    graph = _Graph()
    inputs, table = _inputs(model, graph)
    scores = _scores(model._ensemble, graph, table)
    is_float32 = model._ensemble.threshold.dtype == np.float32
    number = onnx.TensorProto.FLOAT if is_float32 else onnx.TensorProto.DOUBLE
    if is_classifier(model):
        outputs = _classify(model, graph, scores, number)
    else:
        outputs = _regress(model, graph, scores, number)
    drawn = onnx.helper.make_graph(graph.nodes, type(model).__name__, inputs, outputs, graph.constants)
    return onnx.helper.make_model(
        drawn,
        producer_name="breadth",
        producer_version=breadth.__version__,
        ir_version=IR_VERSION,
        opset_imports=[onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
    )


class _Graph:
    """Nodes and constants as they are added; every value gets a name of its own unless it is given one."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: Any = np.float64) -> str:
        from onnx import numpy_helper

        name = f"breadth/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def __call__(self, operator: str, *inputs: str, name: str | None = None, domain: str = "", **attributes) -> str:
        from onnx import helper

        name = name or f"breadth/{operator}_{len(self.nodes)}"  # no column is called so
        self.nodes.append(helper.make_node(operator, list(inputs), [name], domain=domain, **attributes))
        return name


def _inputs(model: GradientBoostingBase, graph: _Graph) -> tuple[list[onnx.ValueInfoProto], str]:
    """The graph's inputs, and the float64 table of numbers and codes that the trees read."""
    from onnx import TensorProto, helper

    trees, encoder = model._ensemble, model._encoder
    names = [str(name) for name in getattr(model, "feature_names_in_", [f"c{j}" for j in range(trees.n_features)])]
    tables = {int(j): _category_table(model, int(j), names[j]) for j in np.flatnonzero(encoder.categorical)}
    as_text = {j for j, (values, _) in tables.items() if values.dtype == object}
    if as_text:
        clashes = sorted({name for name in names if name in ("", *OUTPUTS) or names.count(name) > 1})
        if clashes:
            raise ValueError(
                f"columns named {', '.join(map(repr, clashes))} cannot be ONNX inputs: names must be distinct, "
                f"not empty, and none of {', '.join(OUTPUTS)}. Rename them and refit."
            )
        values = [
            helper.make_tensor_value_info(name, TensorProto.STRING if j in as_text else TensorProto.DOUBLE, ["rows", 1])
            for j, name in enumerate(names)
        ]
        columns = [_encoded(graph, name, *tables[j]) if j in tables else name for j, name in enumerate(names)]
        return values, graph("Concat", *columns, axis=1)
    dtype = TensorProto.FLOAT if trees.threshold.dtype == np.float32 else TensorProto.DOUBLE
    values = [helper.make_tensor_value_info("X", dtype, ["rows", trees.n_features])]
    table = graph("Cast", "X", to=TensorProto.DOUBLE)
    if tables:
        pieces, start = [], 0
        for j in [*sorted(tables), trees.n_features]:
            if start < j:
                pieces.append(_slice(graph, table, start, j))
            if j in tables:
                pieces.append(_encoded(graph, _slice(graph, table, j, j + 1), *tables[j]))
            start = j + 1
        table = graph("Concat", *pieces, axis=1)
    return values, table


def _slice(graph: _Graph, table: str, start: int, stop: int) -> str:
    bounds = [graph.constant([bound], np.int64) for bound in (start, stop, 1)]
    return graph("Slice", table, *bounds)


def _category_table(model: GradientBoostingBase, j: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Categories of one column, objects if they are text and float64 if numbers, and their codes."""
    encoder = model._encoder
    codes = dict(encoder.codes[j]) | {value: encoder.pooled[j] for value in encoder.rare.get(j, ())}
    values = list(codes)
    texts = [isinstance(value, str) for value in values]
    if all(texts) and texts:
        return np.array(values, dtype=object), np.array(list(codes.values()), np.float64)
    strangers = [v for v in values if not isinstance(v, (bool, np.bool_, int, np.integer, float, np.floating))]
    if strangers:
        what = "text and numbers" if any(texts) else f"values such as {strangers[0]!r}"
        raise ValueError(
            f"Column {name!r} holds {what}; ONNX inputs are all text or all numbers. Convert it and refit."
        )
    large = [v for v in values if abs(v) > MAX_EXACT and not isinstance(v, (float, np.floating))]
    if large:
        raise ValueError(
            f"Column {name!r} holds the integer {large[0]}, which float64 does not; make it text and refit."
        )
    return np.array([float(v) for v in values], np.float64), np.array(list(codes.values()), np.float64)


def _encoded(graph: _Graph, column: str, values: np.ndarray, codes: np.ndarray) -> str:
    """Codes of a column of categories, NaN for unknown ones."""
    from onnx import numpy_helper

    if len(values) == 0:  # nothing but missing values in training: the encoder needs at least one key
        values, codes = np.array([np.inf]), np.array([np.nan])
    return graph(
        "LabelEncoder",
        column,
        domain="ai.onnx.ml",
        keys_tensor=numpy_helper.from_array(values),
        values_tensor=numpy_helper.from_array(codes),
        default_tensor=numpy_helper.from_array(np.array([np.nan])),
    )


def _scores(trees: TreeEnsemble, graph: _Graph, table: str) -> str:
    """Raw scores, float64 (rows, outputs)."""
    from onnx import numpy_helper

    K = trees.n_outputs
    tree_of_node = np.repeat(np.arange(trees.n_trees), np.diff(trees.roots))
    leaves = np.flatnonzero(trees.left < 0)
    # the operator numbers splits and leaves apart, and wants a split at every root: a tree of one leaf gets an empty
    # one that leads to that leaf on either side
    stumps = trees.roots[:-1][trees.left[trees.roots[:-1]] < 0]
    splits = np.sort(np.concatenate([np.flatnonzero(trees.left >= 0), stumps]))
    split_number = np.zeros(len(trees.left), np.int64)
    split_number[splits] = np.arange(len(splits))
    leaf_number = np.zeros(len(trees.left), np.int64)
    leaf_number[leaves] = np.arange(len(leaves))
    is_leaf = trees.left < 0

    stump = is_leaf[splits]
    yes = np.where(stump, splits, trees.left[splits]).astype(np.int64)
    no = np.where(stump, splits, yes + 1)
    categorical = trees.category_set[splits] >= 0
    # a set of codes answers no to missing and unknown ones: where these go left, the set is that of the right side
    swap = categorical & trees.missing_left[splits]
    yes, no = np.where(swap, no, yes), np.where(swap, yes, no)
    members = [_codes(trees, node) for node in splits[categorical]]
    threshold = np.where(stump | categorical, 0.0, trees.threshold[splits]).astype(np.float64)

    def child(node: np.ndarray) -> list[int]:
        return np.where(is_leaf[node], leaf_number[node], split_number[node]).tolist()

    attributes: dict[str, Any] = {}
    if members:
        attributes["membership_values"] = numpy_helper.from_array(np.concatenate(members))
    raw = graph(
        "TreeEnsemble",
        table,
        domain="ai.onnx.ml",
        n_targets=K,
        aggregate_function=1,  # sum
        post_transform=0,
        tree_roots=split_number[trees.roots[:-1]].tolist(),
        nodes_featureids=np.where(stump, 0, trees.feature[splits]).tolist(),
        nodes_modes=numpy_helper.from_array(np.where(categorical, MEMBER, LESS_OR_EQUAL).astype(np.uint8)),
        nodes_splits=numpy_helper.from_array(threshold),
        nodes_missing_value_tracks_true=(trees.missing_left[splits] & ~categorical).astype(int).tolist(),
        nodes_truenodeids=child(yes),
        nodes_trueleafs=is_leaf[yes].astype(int).tolist(),
        nodes_falsenodeids=child(no),
        nodes_falseleafs=is_leaf[no].astype(int).tolist(),
        leaf_weights=numpy_helper.from_array(trees.value[leaves]),
        leaf_targetids=(tree_of_node[leaves] % K).tolist(),
        **attributes,
    )
    return graph("Add", raw, graph.constant(trees.first_score))


def _codes(trees: TreeEnsemble, node: int) -> np.ndarray:
    """Codes on the side of a categorical split where missing values do not go, closed by NaN."""
    *words, n_codes = trees.category_sets[trees.category_set[node]].tolist()
    left = np.array([words[code >> 6] >> (code & 63) & 1 for code in range(n_codes)], bool)
    codes = np.flatnonzero(left != trees.missing_left[node]).astype(np.float64)
    if len(codes) == 0:
        codes = np.array([-1.0])  # a set must not be empty; no code is negative
    return np.append(codes, np.nan)


def _classify(model: Any, graph: _Graph, scores: str, number: int) -> list[onnx.ValueInfoProto]:
    from onnx import TensorProto, helper

    if model._ensemble.n_outputs > 1:
        probabilities = graph("Softmax", scores, axis=1)
        chosen = graph("ArgMax", scores, axis=1, keepdims=0)
    else:
        odds = _calibrated(model, graph, scores) if model.loss == "focal" else scores
        probabilities = graph("Concat", graph("Sigmoid", graph("Neg", odds)), graph("Sigmoid", odds), axis=1)
        positive = graph("Greater", odds, graph.constant(0.0))
        chosen = graph("Squeeze", graph("Cast", positive, to=TensorProto.INT64), graph.constant([1], np.int64))
    classes, kind = _label_constant(model.classes_)
    graph("Gather", graph.constant(classes, classes.dtype), chosen, axis=0, name="label")
    graph("Cast", probabilities, to=number, name="probabilities")
    return [
        helper.make_tensor_value_info("label", kind, ["rows"]),
        helper.make_tensor_value_info("probabilities", number, ["rows", len(classes)]),
    ]


def _calibrated(model: Any, graph: _Graph, score: str) -> str:
    """Log-odds of which the focal score is the minimiser: log A - log B of `losses.focal_probability`.

    With softplus(s) = -log(1 - p) it is gamma s + log((1 - alpha) / alpha) + log(p + gamma (1 - p) softplus(s))
    - log((1 - p) + gamma p softplus(-s)).
    """
    alpha = 0.5 if model.focal_alpha is None else float(model.focal_alpha)
    gamma = graph.constant(model.focal_gamma)
    minus = graph("Neg", score)

    def term(s: str, opposite: str) -> str:
        distortion = graph("Mul", gamma, graph("Mul", graph("Sigmoid", opposite), graph("Softplus", s)))
        return graph("Log", graph("Add", graph("Sigmoid", s), distortion))

    shift = graph.constant(np.log1p(-alpha) - np.log(alpha))
    powers = graph("Add", graph("Mul", gamma, score), shift)
    return graph("Add", powers, graph("Sub", term(score, minus), term(minus, score)))


def _label_constant(classes: np.ndarray) -> tuple[np.ndarray, int]:
    from onnx import TensorProto

    kinds = {"i": (np.int64, TensorProto.INT64), "u": (np.int64, TensorProto.INT64), "b": (bool, TensorProto.BOOL)}
    if classes.dtype.kind in kinds:
        dtype, kind = kinds[classes.dtype.kind]
        if classes.dtype == np.uint64 and classes.max() > np.iinfo(np.int64).max:
            raise ValueError(f"the label {classes.max()} is beyond int64; relabel y and refit.")
        return classes.astype(dtype), kind
    if classes.dtype.kind == "f":
        return classes.astype(np.float64), TensorProto.DOUBLE
    if all(isinstance(label, str) for label in classes.tolist()):
        return classes.astype(object), TensorProto.STRING
    raise ValueError(f"labels must be numbers, truth values or text; got {classes[0]!r}. Relabel y and refit.")


def _regress(model: Any, graph: _Graph, scores: str, number: int) -> list[onnx.ValueInfoProto]:
    from onnx import helper

    value = graph("Squeeze", scores, graph.constant([1], np.int64))
    if model.loss == "poisson":
        value = graph("Exp", value)
    graph("Cast", value, to=number, name="prediction")
    return [helper.make_tensor_value_info("prediction", number, ["rows"])]
