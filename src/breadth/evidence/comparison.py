"""A question put to several contenders, as data; and the plan that a command line makes of it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from breadth.evidence import plan
from breadth.evidence.cell import Probe
from breadth.evidence.entry import Entry, choose
from breadth.evidence.measures import MEASURES, find
from breadth.evidence.plan import Plan
from breadth.evidence.problem import Family, Prepared, Task, from_dataset
from breadth.evidence.settings import Settings
from breadth.evidence.study import Measure

NAMES: Mapping[str, str] = {  # comparison: its question, so that a list of them imports nothing
    "boosting": "Which gradient boosting predicts best, and at what cost?",
    "trees": "What do more trees buy: overfitting, accuracy, and how much is left to read?",
    "classifiers": "Which kind of classifier suits this table?",
    "kernels": "Which kernel suits this table, in a support vector machine, ridge regression or Gaussian process?",
    "regressors": "Which kind of regressor suits this table?",
    "tokenizers": "Which tokenizer makes the shortest sequences of this text, and at what cost?",
    "ann": "Which vector index finds the nearest neighbours, and how fast?",
    "similarity": "Do cosine, dot product and Euclidean distance find the same neighbours?",
    "attention": "What does attention cost with length, and what do its approximations lose?",
    "optimizers": "Which optimizer trains a small network best in the same number of passes?",
    "decay": "Is decoupled weight decay better than an L2 penalty, under SGD, momentum and Adam?",
    "normalisation": "Which normaliser helps, and how does it depend on the size of a batch?",
    "initialisation": "Which first weights let a deep network learn?",
    "activations": "Which activation suits this table?",
    "depth-or-width": "With so many parameters, is it better to be deep or wide?",
    "selection": "Which selection of columns keeps out noise, and does the model predict better for it?",
    "generative-vs-discriminative": "Do models of the columns beat models of the classes where rows are few?",
    "imbalance": "What helps a classifier where one class is rare: weights, losses, or a moved threshold?",
    "imbalance-losses": "Which loss learns the rare classes when some are rare in training?",
    "noisy-labels": "Which loss is misled least by wrong labels in training?",
    "semi-supervised": "What do rows without labels add where few have one?",
    "active-learning": "Which choice of rows to label predicts best for so many labels?",
    "architectures": "Which architecture suits small images, and what is its bias worth when rows are few?",
    "language-models": "What do published language models cost for each token, in memory and arithmetic?",
    "token-pruning": "What does dropping tokens of a long prompt save up to the first answer, and what does it lose?",
    "decoding": "Which way of decoding writes texts like those that the model has learned from?",
    "kv-cache": "What does a smaller cache of keys and values save in bytes and time, and what does it lose?",
    "positions": "Which positions let a decoder read texts longer than those it was trained on?",
    "objectives": "Is it better to learn from the next token or from masked ones, on the same data and budget?",
    "clustering": "Which clustering finds the groups that are there?",
    "recommenders": "Which recommender finds what users take, and is it more than what all take?",
    "drift": "Which detector tells that a stream has changed, how soon, and how often for nothing?",
    "imbalance-metrics": "Which metric ranks the better scorer first, and stays where it is, as positives get rare?",
    "text-metrics": "Which metric puts a sentence in other words above one that says something else?",
    "intervals": "Which interval holds the truth as often as it says, and how wide is it?",
    "rl": "Which method of reinforcement learning earns most after so many steps?",
}


FULL, QUICK = {"seeds": 3, "folds": 5, "rounds": 5}, {"seeds": 2, "folds": 5, "rounds": 3}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One file in `comparisons/`.

    Args:
        name: the file's name.
        contenders: in the order of the table; `families` says which kind of task each is for.
        baseline: name of the contender that the others are compared with.
        data: names of embedded sets that it runs on by default.
        quick_data: the same for `--quick`; empty means `data`.
        suite: the suite of eight that `--suite` runs; "" for none.
        measures: per kind of task, the deciding one first.
        only: contenders that serve one kind of task alone.
        quick: settings replaced in `--quick`, by contender.
        repeats: seeds, folds and rounds where the command line says none, those of FULL when left out.
        quick_repeats: the same for `--quick`, those of QUICK when left out.
        probes: further questions to each fitted estimator.
        families: kinds of task that it can judge.
        read: from a name or file of --data, and the encoding of text, to a data set; None reads tables.
    """

    name: str
    contenders: tuple[Entry, ...]
    baseline: str
    data: tuple[str, ...]
    suite: str = ""
    quick_data: tuple[str, ...] = ()
    measures: Mapping[Family, tuple[Measure, ...]] = field(default_factory=lambda: MEASURES)
    only: Mapping[str, Family] = field(default_factory=dict)
    quick: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    repeats: Mapping[str, int] = field(default_factory=dict)
    quick_repeats: Mapping[str, int] = field(default_factory=dict)
    probes: tuple[Probe, ...] = ()
    families: tuple[Family, ...] = ("classification", "regression")
    read: Callable[[str, str], Prepared] | None = None

    @property
    def question(self) -> str:
        return NAMES[self.name]

    def amounts(self, quick: bool) -> dict[str, int]:
        """How many seeds, folds and rounds there are unless the command line says other numbers."""
        return {**QUICK, **self.quick_repeats} if quick else {**FULL, **self.repeats}

    def left_out(self, asked: Collection[str] = ()) -> str:
        """What `--quick` does less of than a whole run: "2 seeds for 3; 3 rounds for 5; data wine for wine, digits".

        Args:
            asked: of "seeds", "folds", "rounds" and "data" those that the command line says itself.
        """
        whole, few = self.amounts(False), self.amounts(True)
        parts = [
            f"{few[name]} {name} for {whole[name]}" for name in whole if few[name] != whole[name] and name not in asked
        ]
        if self.quick_data and self.quick_data != self.data and "data" not in asked:
            parts.append(f"data {', '.join(self.quick_data)} for {', '.join(self.data)}")
        changes: dict[str, list[str]] = {}
        for entry in self.contenders:
            for name, value in self.quick.get(entry.name, {}).items():
                changes.setdefault(f"{name} {value} for {entry.settings.get(name, 'its own')}", []).append(entry.name)
        for text, who in changes.items():
            able = sum(text.split(" ")[0] in entry.settings for entry in self.contenders)
            parts.append(text + f" ({', '.join(who)})" * (len(who) < able))
        return "; ".join(parts)


def get(name: str) -> Comparison:
    """The comparison of that name.

    Raises:
        ValueError: if there is none; the message names the nearest and lists all.
    """
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"there is no comparison {name!r}; {hint}there are {', '.join(NAMES)}")
    return import_module(f"breadth.evidence.comparisons.{name.replace('-', '_')}").COMPARISON


def tables(
    comparison: Comparison,
    data: Sequence[str] = (),
    *,
    target: str | int | None = None,
    header: bool = True,
    encoding: str = "utf-8",
    task: Task | None = None,
    suite: bool = False,
    quick: bool = False,
) -> list[Prepared]:
    """Read the data sets that a command line names, or else the comparison's own.

    Args:
        comparison: for its defaults.
        data: files (anything that exists, or has a folder or a dot in it) and names of embedded sets.
        target: of the files, by name or 0-based index.
        header: whether the files' first line names the columns.
        encoding: of the files' text.
        task: what the files' target asks; None lets the reader tell.
        suite: take the comparison's suite of eight; not together with data.
        quick: take the comparison's quick data where nothing else is asked for.

    Raises:
        ValueError: if data and suite are both given, target is missing for a file, or given without one; and whatever
            the reader says of a file.
    """
    if data and suite:
        raise ValueError("--data and --suite both say what to compare on; give one of them")
    own = (quick and comparison.quick_data) or comparison.data
    if comparison.read is not None:
        for option, given in (("--target", target is not None), ("--task", task is not None), ("--suite", suite)):
            if given:
                raise ValueError(f"{option} belongs to comparisons on tables; {comparison.name!r} has none")
        return [comparison.read(name, encoding) for name in data or own]
    from breadth.data import load, read_table
    from breadth.data import suite as names_of_suite

    names = data or (names_of_suite(comparison.suite) if suite else own)
    files = [name for name in names if _is_file(name)]
    if files and target is None:
        raise ValueError(f"{files[0]}: name the column to predict with --target NAME_OR_INDEX")
    if target is not None and not files:
        raise ValueError("--target belongs to a file given with --data; embedded sets have their own target")
    if task is not None and not files:
        raise ValueError("--task belongs to a file given with --data; embedded sets have their own task")
    how: dict[str, Any] = {"header": header, "encoding": encoding, "target": target, "task": task}
    return [from_dataset(read_table(name, **how) if _is_file(name) else load(name)) for name in names]


def lay_out(
    comparison: Comparison,
    prepared: Sequence[Prepared],
    settings: Settings,
    *,
    contenders: Sequence[str] = (),
    metric: str | None = None,
    quick: bool = False,
    signature: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of one run: the contenders that serve the data's kind of task, with the chosen measure first.

    A run without the comparison's baseline compares with the first contender that is left.

    Raises:
        ValueError: for an unknown contender or metric, a kind of task that the comparison does not judge, or what
            `plan.make` refuses.
    """
    if not prepared:
        raise ValueError("no data set was given")
    family = prepared[0].problem.family
    if family not in comparison.families:
        other = {"regression": "regressors", "classification": "classifiers"}.get(
            family, "tokenizers, ann, attention, rl, decoding or positions"
        )
        raise ValueError(
            f"{comparison.name!r} judges {comparison.families[0]} and the target of {prepared[0].table.name!r} makes "
            f"it {family}; use `breadth compare {other}`, or another target"
        )
    entries = tuple(e for e in comparison.contenders if comparison.only.get(e.name, family) == family)
    entries = choose(entries, contenders, comparison=comparison.name) if contenders else entries
    if quick:
        entries = tuple(e.having(**comparison.quick.get(e.name, {})) for e in entries)
    measures = comparison.measures[family]
    if metric is not None:
        first = find(measures, metric)
        measures = (first, *(m for m in measures if m != first))
    baseline = comparison.baseline if comparison.baseline in {e.name for e in entries} else entries[0].name
    return plan.make(
        comparison.name,
        question=comparison.question,
        measures=measures,
        baseline=baseline,
        entries=entries,
        tables=prepared,
        settings=settings,
        probes=comparison.probes,
        signature=signature,
    )


def _is_file(name: str) -> bool:
    path = Path(name)
    return path.is_file() or len(path.parts) > 1 or bool(path.suffix)
