import html
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the report needs breadth[compare]")
pytest.importorskip("jinja2", reason="the report needs breadth[compare]")

from breadth.cli.main import main
from breadth.evidence.report import render
from breadth.evidence.report_format import around, duration, number
from breadth.evidence.store import Planned, Store
from breadth.evidence.study import Cell, Contender, Measure, Study, Table, Unrun
from breadth.evidence.verdict import judge, rank, speed

LOSS = Measure("log loss", "lower", margin=0.004)
AUC = Measure("ROC AUC", "higher", margin=0.005)
MADE_UP = {  # contender: (origin, effect on the loss, fit seconds, predict seconds, bytes of the model)
    "breadth leaf-wise": ("breadth", -0.0004, 0.21, 0.004, 1.9e5),
    "breadth level-wise": ("breadth", -0.0055, 0.24, 0.004, 2.1e5),
    "LightGBM": ("lightgbm", 0.0, 0.47, 0.012, 3.4e5),
    "XGBoost": ("xgboost", 0.0021, 0.72, 0.007, 3.9e5),
    "scikit-learn hist": ("scikit-learn", 0.0085, 0.91, 0.021, 5.2e5),
    "random forest": ("scikit-learn", 0.012, 1.9, 0.11, 4.1e7),
    "dummy": ("scikit-learn", 0.17, 0.0006, 0.0003, 900.0),
}


def made_up(*, name="boosting", n_tables=1, seed=0, baseline="LightGBM", failed=None, error="", iterations=60):
    """A study with known effects; `failed` names a contender whose second split fails, in quality and in speed."""
    rng = np.random.default_rng(seed)
    tables = tuple(
        Table(data, "binary", 6366 + 700 * i, 8 + i, 2, note="32 % positives")
        for i, data in enumerate(("fair", "randhie", "generated 100k", "wine", "digits", "breast cancer")[:n_tables])
    )
    cells = []
    for table in tables:
        for repeat in range(2):
            for fold in range(5):
                difficulty = 0.42 + rng.normal(0, 0.01)
                for who, (_, effect, *_) in MADE_UP.items():
                    loss = difficulty + effect + rng.normal(0, 0.0012)
                    steps = np.arange(1, iterations + 1)
                    curve = loss + 0.2 * np.exp(-steps / 9) + 4e-6 * np.maximum(steps - 40, 0) ** 2
                    broken = who == failed and (repeat, fold) == (0, 1)
                    cells.append(
                        Cell(
                            "quality", table.name, who, repeat, fold, repeat,
                            "failed" if broken else "ok",
                            error=error if broken else "",
                            values={} if broken else {"log loss": loss, "ROC AUC": 0.9 - loss / 3},
                            curve=() if broken or who in ("dummy", "random forest") else tuple(curve),
                            n_train=800, n_test=200,
                        )
                    )  # fmt: skip
        for turn in range(5):
            for who, (_, _, fit, predict, model) in MADE_UP.items():
                broken = who == failed
                slow = 1 + abs(rng.normal(0, 0.05))
                values = {"fit_seconds": fit * slow, "predict_seconds": predict * slow}
                values |= {"peak_bytes": 3e7 + 40 * model, "model_bytes": model}
                cells.append(
                    Cell("speed", table.name, who, turn, 0, 0, "failed" if broken else "ok",
                         error=error if broken else "", values={} if broken else values)
                )  # fmt: skip
    return Study(
        name=name,
        question="Which boosting library predicts best, and at what cost?",
        measures=(LOSS, AUC),
        baseline=baseline,
        contenders=tuple(Contender(who, origin) for who, (origin, *_) in MADE_UP.items()),
        tables=tables,
        cells=tuple(cells),
        signature={
            "breadth": "0.1.0", "lightgbm": "4.7.0", "xgboost": "3.2.0", "scikit-learn": "1.9.0",
            "threads": "quality 1, speed 2", "seeds": "0, 1", "folds": "5", "budget": "100 rounds, 31 leaves",
            "tuning": "none", "command": f"breadth compare {name} --data fair", "date": "2026-11-22T16:00:00+00:00",
        },
    )  # fmt: skip


@cache
def plain():
    """The page of a study with nothing special to it."""
    return render([made_up()])


def stored(path, *studies):
    """A database that holds the studies, oldest first."""
    with Store(path) as store:
        for i, study in enumerate(studies):
            planned = [Planned(f"{i}-{j}", c.stage, c.table, c.contender) for j, c in enumerate(study.cells)]
            store.begin(f"study-{i}", study, planned, {})
            for plan, cell in zip(planned, study.cells, strict=True):
                store.put(plan.key, cell)
    return path


def text_of(page):
    """What a reader reads, tags and style left out."""
    body = re.sub(r"<(style|script)>.*?</\1>", "", page.split("<body>")[1], flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).replace("\u00a0", " ").split())


def test_the_same_studies_give_the_same_bytes():
    assert render([made_up()]) == plain()


def test_the_page_has_the_question_the_regime_and_the_whole_signature():
    study = made_up()
    text = text_of(plain())
    assert study.question in text
    assert "6,366 rows × 8 features · binary · 32 % positives" in text
    for key, value in study.signature.items():
        assert f"{key} {value}" in text


def test_verdicts_and_ratios_are_those_of_the_verdict_module():
    study = made_up()
    text = text_of(plain())
    ratios = {s.contender: s.fit_ratio for s in speed(study)}
    for v in judge(study):
        if v.contender.startswith("breadth"):
            assert f"On fair, {v.contender} is {v.call}" in text
            assert f"It took {ratios[v.contender]:.2f} × the fit time" in text
        else:
            assert v.call in text


def test_a_changed_number_changes_the_verdict_sentence():
    study = made_up()
    worse = [
        replace(c, values={**c.values, "log loss": c.values["log loss"] + 0.1})
        if c.stage == "quality" and c.contender == "breadth leaf-wise"
        else c
        for c in study.cells
    ]
    assert "breadth leaf-wise is EQUIVALENT to LightGBM" in text_of(plain())
    assert "breadth leaf-wise is WORSE than LightGBM" in text_of(render([replace(study, cells=tuple(worse))]))


def test_an_undecided_verdict_says_what_would_have_gone_unseen():
    study = replace(made_up(), measures=(replace(LOSS, margin=1e-6), AUC))
    text = text_of(render([study]))
    assert re.search(r"breadth leaf-wise: we CAN'T TELL whether it differs .* a difference below 0\.00\d+ would", text)


def test_a_failed_contender_stays_visible_with_its_reason_in_both_tables():
    page = render([made_up(failed="XGBoost", error="XGBoostError: bad allocation")])
    text = text_of(page)
    assert "On fair, XGBoost: FAILED . 1 of 10 splits failed; 1 ×: XGBoostError: bad allocation" in text
    assert "FAILED: XGBoostError: bad allocation" in text  # speed stage
    assert page.count('<span class="verdict failed">FAILED</span>') == 1
    assert "Not drawn: XGBoost (FAILED)" in text


def test_every_distinct_reason_of_a_failure_is_shown():
    study = made_up(failed="XGBoost", error="first reason")
    cells = list(study.cells)
    i = next(i for i, c in enumerate(cells) if c.contender == "XGBoost" and c.status == "ok")
    cells[i] = replace(cells[i], status="failed", error="second reason", values={}, curve=())
    text = text_of(render([replace(study, cells=tuple(cells))]))
    assert "XGBoost failed 1 ×: first reason" in text
    assert "XGBoost failed 1 ×: second reason" in text


def test_a_failed_baseline_leaves_a_page_that_says_so():
    text = text_of(render([made_up(failed="LightGBM", error="LightGBMError: no rows")]))
    assert "LightGBM: FAILED" in text
    assert "LightGBMError: no rows" in text


def test_cells_that_were_not_run_are_counted_and_named():
    study = made_up()
    kept = tuple(c for c in study.cells if c.contender != "XGBoost")
    unrun = (Unrun("quality", "fair", "XGBoost", 10), Unrun("speed", "fair", "XGBoost", 5))
    text = text_of(render([replace(study, cells=kept, unrun=unrun)]))
    assert "incomplete: 15 planned cells not run" in text
    assert "XGBoost: 10 planned cells not run" in text
    assert "On fair, XGBoost: NOT RUN" in text


def test_a_study_without_any_cell_still_gives_a_page():
    text = text_of(render([replace(made_up(), cells=())]))
    assert text.count("NOT RUN") >= len(MADE_UP)


def test_without_studies_the_page_says_how_to_make_one():
    text = text_of(render([]))
    assert "Nothing has been compared yet" in text
    assert "breadth compare boosting" in text


def test_names_errors_and_notes_are_escaped_everywhere():
    evil = '<script>alert("x")</script>&\'"$\\frac{'
    study = made_up(failed="XGBoost", error=f"Error: {evil}")
    names = {"XGBoost": f"XGBoost {evil}", "random forest": evil, "fair": f"fair {evil}"}
    study = replace(
        study,
        question=evil,
        contenders=tuple(replace(c, name=names.get(c.name, c.name), origin=evil) for c in study.contenders),
        tables=tuple(replace(t, name=names["fair"], note=evil) for t in study.tables),
        cells=tuple(
            replace(c, contender=names.get(c.contender, c.contender), table=names["fair"]) for c in study.cells
        ),
        signature={evil: evil},
    )
    page = render([study])
    assert page.count("<script>") == 1  # the page's own
    assert "alert(" in page.replace("&#34;", '"')  # shown as text
    assert 'alert("x")</script>' not in page


def test_the_page_names_no_other_host():
    page = plain()
    assert "://" not in page
    assert not re.search(r'(src|href)="(?!#|data:,)', page)


def test_identifiers_are_unique_over_all_plots():
    idents = re.findall(r'\bid="([^"]+)"', render([made_up(n_tables=2), made_up(name="trees")]))
    assert len(idents) == len(set(idents))


def test_plots_carry_a_description_and_only_the_colours_of_the_page():
    page = plain()
    plots = re.findall(r"<svg .*?</svg>", page, flags=re.S)
    assert len(plots) == 4
    for plot in plots:
        assert 'role="img"' in plot
        assert "breadth leaf-wise" in re.search(r'aria-label="([^"]+)"', plot)[1]
        assert not re.search(r"#[0-9a-f]{6}\b", plot)  # every colour is a CSS variable
        assert "var(--accent)" in plot


def test_average_ranks_appear_from_five_data_sets_on():
    assert "Across data sets" not in plain()
    study = made_up(n_tables=5)
    page = render([study])
    ranking = rank(study)
    assert "Across data sets" in page
    assert f"Friedman χ² = {ranking.test.chi_square:.1f}" in page
    assert f"{ranking.contenders[0]} {ranking.ranks[0]:.2f}" in page  # the description of the plot
    assert re.search(r"breadth level-wise against LightGBM in log loss: BETTER on \d", text_of(page))


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_scores_of_any_size_and_sign_can_be_shown(scale):
    study = made_up()
    cells = tuple(
        replace(c, values={k: -v * scale for k, v in c.values.items()}, curve=tuple(-v * scale for v in c.curve))
        if c.stage == "quality"
        else c
        for c in study.cells
    )
    page = render([replace(study, cells=cells, measures=(replace(LOSS, margin=0.004 * scale), AUC))])
    assert "<svg" in page
    assert "nan" not in text_of(page).lower()


def test_constant_scores_times_and_curves_do_not_break_the_plots():
    study = made_up()
    cells = tuple(replace(c, values=dict.fromkeys(c.values, 1.0), curve=(0.5,) if c.curve else ()) for c in study.cells)
    assert render([replace(study, cells=cells)]).count("<svg") == 4


def test_one_contender_and_one_split_give_a_page_without_plots_of_differences():
    study = made_up()
    cell = next(c for c in study.cells if c.contender == "LightGBM")
    alone = replace(study, contenders=(Contender("LightGBM", "lightgbm"),), cells=(cell,))
    page = render([alone])
    assert "Difference in log loss" not in page
    assert "BASELINE" in page


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.4512, "0.451"),
        (0.9, "0.900"),
        (-0.00123, "−0.00123"),
        (123456.7, "123,457"),
        (1e-7, "1.00e−7"),
        (np.nan, "–"),
    ],
)
def test_numbers_keep_three_digits_and_their_sign(value, expected):
    assert number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.000_4, "400 µs"), (0.25, "250 ms"), (61.2, "61.2 s"), (0.0, "0 µs")]
)
def test_times_choose_their_unit(value, expected):
    assert duration(value) == expected


def test_a_difference_has_the_decimals_of_its_interval():
    assert around(-0.000156, -0.0023, 0.00199) == ("−0.0002", "[−0.0023,\u00a0+0.0020]")
    assert around(0.0, 0.0, 0.0) == ("0", "[0,\u00a00]")


def test_the_command_writes_all_stored_studies_the_latest_first(tmp_path, capsys):
    later = replace(made_up(), name="trees", question="Is one tree enough?", cells=made_up().cells[:1])
    db = stored(tmp_path / "b.sqlite", made_up(), later)
    out = tmp_path / "page.html"
    assert main(["report", "-o", str(out), "--db", str(db)]) == 0
    page = out.read_text(encoding="utf-8")
    assert page.index("Is one tree enough?") < page.index("Which boosting library")
    assert f"{out}: 2 studies" in capsys.readouterr().out
    main(["report", "-o", str(tmp_path / "again.html"), "--db", str(db)])
    assert (tmp_path / "again.html").read_bytes() == out.read_bytes()


def test_the_command_writes_the_empty_page_for_an_empty_database(tmp_path):
    out = tmp_path / "page.html"
    assert main(["report", "-o", str(out), "--db", str(stored(tmp_path / "b.sqlite"))]) == 0
    assert "Nothing has been compared yet" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--db", "{tmp}/none.sqlite"], "run `breadth compare` first"),
        (["--db", "{tmp}/b.sqlite", "-o", "{tmp}"], "is a folder"),
        (["--db", "{tmp}/b.sqlite", "-o", "{tmp}/no/page.html"], "create it first"),
    ],
)
def test_the_command_says_what_would_be_right(tmp_path, capsys, arguments, said):
    stored(tmp_path / "b.sqlite")
    assert main(["report", *(a.format(tmp=tmp_path) for a in arguments)]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_extra_is_named_with_what_to_install(package):
    code = f"import sys; sys.modules[{package!r}] = None; from breadth.cli.main import main; sys.exit(main(['report']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert package in done.stderr
    assert 'pip install "breadth[compare]"' in done.stderr
