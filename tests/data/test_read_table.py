"""What a well-formed file becomes, whatever its format, delimiter, compression and markers."""

import datetime
import gzip
import math
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breadth.data import DataError, read_table

ROWS = [("red", 1, 0.5, "yes"), ("blue", 2, None, "no"), (None, 3, -1.25, "yes"), ("red", None, 4.0, "no")]
FRAME = pl.DataFrame(ROWS, schema=["colour", "count", "size", "label"], orient="row")


def write(path, text, *, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def check_frame(data):
    """`data` is what FRAME holds, with label as the target."""
    assert data.feature_names == ("colour", "count", "size")
    assert data.X["colour"].to_list() == ["red", "blue", None, "red"]
    assert data.X["count"].to_list() == [1, 2, 3, None]
    assert data.X["size"].to_list() == [0.5, None, -1.25, 4.0]
    assert (data.task, data.classes, data.y.tolist()) == ("binary", ("no", "yes"), [1, 0, 1, 0])
    assert data.categorical == ("colour",)


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("blank", ["", " "])
@pytest.mark.parametrize("missing", ["", "?", "NA", "N/A", "NaN", "null"])
def test_delimiter_blanks_and_missing_markers_are_recognised(tmp_path, delimiter, blank, missing):
    cells = [FRAME.columns, *([missing if cell is None else str(cell) for cell in row] for row in ROWS)]
    text = "\n".join((delimiter + blank).join(row) for row in cells) + "\n"
    check_frame(read_table(write(tmp_path / "t.csv", text), target="label"))


def test_a_table_reads_the_same_from_every_format_and_compression(tmp_path):
    FRAME.write_csv(tmp_path / "t.csv")
    FRAME.write_csv(tmp_path / "t.tsv", separator="\t")
    FRAME.write_parquet(tmp_path / "t.parquet")
    FRAME.write_ndjson(tmp_path / "t.jsonl")
    for name in ("t.csv", "t.tsv", "t.parquet", "t.jsonl"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        check_frame(read_table(tmp_path / name, target="label"))
        check_frame(read_table(tmp_path / f"{name}.gz", target="label"))
    # without a telling suffix, the content tells
    (tmp_path / "packed").write_bytes((tmp_path / "t.parquet.gz").read_bytes())
    check_frame(read_table(tmp_path / "packed", target="label"))


def test_a_zstd_file_is_unpacked_by_polars(tmp_path):
    pl.DataFrame({"a": [1, 2, 3, 4], "b": ['x,"1"', "y", "x\nz", None], "y": [0, 1, 0, 1]}).write_csv(
        tmp_path / "t.csv.zst", compression="zstd"
    )
    data = read_table(tmp_path / "t.csv.zst", target="y")
    assert data.X["b"].to_list() == ['x,"1"', "y", "x\nz", None]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("tail", ["", "1", "3"])
def test_line_ends_blank_lines_and_a_missing_last_line_end_change_nothing(tmp_path, end, tail):
    lines = ["", "a,b,y", "1,2,p", "", "3,4,q", "5,,p"] + [""] * int(tail or 0)
    data = read_table(write(tmp_path / "t.csv", end.join(lines)), target="y")
    assert data.X.rows() == [(1, 2), (3, 4), (5, None)]


def test_blank_lines_are_skipped_where_the_last_column_has_missing_cells(tmp_path):
    data = read_table(write(tmp_path / "t.csv", "y,a,b\np,1,\n\nq,2,3\n   \np,3,\n"), target="y")
    assert data.X.rows() == [(1, None), (2, 3), (3, None)]


def test_byte_order_mark_and_other_encodings_are_read(tmp_path):
    text = "é,y\nä,1\nß,0\nä,0\n"
    for encoding, given_encoding in (("utf-8-sig", "utf-8"), ("cp1252", "cp1252"), ("utf-16", "utf-16")):
        data = read_table(write(tmp_path / "t.csv", text, encoding=encoding), target="y", encoding=given_encoding)
        assert data.X.to_dict(as_series=False) == {"é": ["ä", "ß", "ä"]}


def test_quotes_hold_delimiters_line_ends_and_quotes_even_after_a_blank(tmp_path):
    for blank in ("", " "):
        text = f'a,b,y\n1,{blank}"x, ""1""",p\n2,{blank}"u\nv",q\n3,{blank}w,p\n'
        assert read_table(write(tmp_path / "t.csv", text), target="y").X["b"].to_list() == ['x, "1"', "u\nv", "w"]
    text = "a,b,y\n1,'x, 1',p\n2,'u',q\n3,'u',q\n"
    assert read_table(write(tmp_path / "t.csv", text), target="y", quote="'").X["b"].to_list() == ["x, 1", "u", "u"]


def test_single_quoted_numbers_are_labels(tmp_path):
    data = read_table(write(tmp_path / "t.csv", "0.1,'-1'\n0.2,'-1'\n0.3,'1'\n"), header=False, target=1)
    assert (data.classes, data.y.tolist(), data.target_name) == (("-1", "1"), [0, 0, 1], "c1")


def test_target_is_named_by_name_or_by_position_and_a_name_goes_first(tmp_path):
    path = write(tmp_path / "t.csv", "1,b,c\n5,6,0\n7,8,1\n9,6,0\n")
    assert read_table(path, target="c").target_name == "c"
    assert read_table(path, target=0).target_name == "1"
    assert read_table(path, target=-1).target_name == "c"
    assert read_table(path, target="2").target_name == "c"
    assert read_table(path, target="1").target_name == "1"


def test_without_a_target_every_column_is_a_feature(tmp_path):
    data = read_table(write(tmp_path / "t.csv", "a,b\n1,x\n2,y\n"))
    assert (data.task, data.y.shape, data.feature_names) == ("unlabelled", (0,), ("a", "b"))


@pytest.mark.parametrize(
    ("cells", "task", "classes"),
    [
        ("x y x y", "binary", ("x", "y")),
        ("a b c a b c", "multiclass", ("a", "b", "c")),
        ("0 1 0 1", "binary", (0, 1)),
        ("0.0 1.0 1.0 0.0", "binary", (0, 1)),
        ("0.5 1.5 1.5 0.5", "binary", (0.5, 1.5)),
        ("true false true", "binary", ("false", "true")),
        ("10 9 11 9 10 11", "multiclass", (9, 10, 11)),
        ("10x 9x 10x", "binary", ("10x", "9x")),
        ("1 2 3 4 5 6", "regression", ()),
        ("1.5 2.5 3.5 1.5 2.5 3.5", "regression", ()),
        (" ".join(map(str, range(21))) + " 0" * 30, "regression", ()),
    ],
)
def test_task_follows_from_the_target(tmp_path, cells, task, classes):
    rows = "".join(f"{i % 3},{cell}\n" for i, cell in enumerate(cells.split()))
    data = read_table(write(tmp_path / "t.csv", "a,y\n" + rows), target="y")
    assert (data.task, data.classes) == (task, classes)
    assert data.y.dtype == (np.float64 if task == "regression" else np.int64)


def test_task_can_be_overridden_and_an_inferred_reading_of_whole_numbers_is_announced(tmp_path):
    path = write(tmp_path / "t.csv", "a,y\n1,1\n5,2\n3,3\n2,1\n7,2\n9,3\n")
    assert any("pass task='regression'" in w for w in read_table(path, target="y").warnings)
    data = read_table(path, target="y", task="regression")
    assert (data.task, data.y.tolist(), data.warnings) == ("regression", [1, 2, 3, 1, 2, 3], ())


def test_types_are_inferred_and_shown(tmp_path):
    text = "whole,real,code,text,day,gone,y\n1,1.5,007,a,2024-03-01,NA,0\n2,-2e3,010,b,2024-03-09,,1\n,3,011,a,,?,0\n"
    data = read_table(write(tmp_path / "t.csv", text), target="y")
    assert [(s.column, s.type, s.missing, s.distinct, s.example) for s in data.describe()] == [
        ("whole", "integer", 1, 2, "1"),
        ("real", "real", 0, 3, "1.5"),
        ("code", "category", 0, 3, "007"),
        ("text", "category", 0, 2, "a"),
        ("day", "date", 1, 2, "2024-03-01T00:00:00"),
        ("gone", "empty", 3, 0, ""),
        ("y", "target: 2 classes", 0, 2, "0"),
    ]
    assert any("leading zeros" in w for w in data.warnings)


@pytest.mark.parametrize(
    ("first", "second", "seconds"),
    [
        ("2024-03-01", "2024-03-02", 86_400),
        ("2024/3/1", "2024/3/2", 86_400),
        ("1.3.2024", "2.3.2024", 86_400),
        ("03/30/2024", "03/31/2024", 86_400),
        ("30/03/2024", "31/03/2024", 86_400),
        ("2024-03-01 10:00", "2024-03-01 10:01", 60),
        ("2024-03-01T10:00:00", "2024-03-01T10:00:01.5", 1.5),
        ("2024-03-01T10:00:00Z", "2024-03-01T10:00:00-01:00", 3600),
    ],
)
def test_dates_become_days(tmp_path, first, second, seconds):
    data = read_table(write(tmp_path / "t.csv", f"day,y\n{first},0\n{second},1\n,1\n"), target="y")
    day = data.X["day"]
    assert data.dates == ("day",) and day[2] is None
    assert (day[1] - day[0]) * 86_400 == pytest.approx(seconds, abs=1e-4)  # float64 days resolve 4e-12 of 20,000


def test_ambiguous_dates_are_announced_and_dates_of_typed_formats_agree(tmp_path):
    data = read_table(write(tmp_path / "t.csv", "day,y\n01/02/2024,0\n03/04/2024,1\n01/02/2024,1\n"), target="y")
    assert any("%m/%d/%Y or %d/%m/%Y" in w for w in data.warnings)
    pl.DataFrame({"day": [datetime.date(1970, 1, 2), None, datetime.date(1970, 1, 4)], "y": [0, 1, 0]}).write_parquet(
        tmp_path / "t.parquet"
    )
    assert read_table(tmp_path / "t.parquet", target="y").X["day"].to_list() == [1.0, None, 3.0]


def test_numeric_categorical_missing_decimal_and_drop_are_obeyed(tmp_path):
    path = write(tmp_path / "t.csv", "id;zip;x;w;y\n1;010;1,5;-999;a\n2;020;2,5;3;b\n3;010;4;none;a\n")
    data = read_table(
        path,
        target="y",
        decimal=",",
        drop=["id"],
        numeric=["zip"],
        categorical=["w"],
        missing=["-999", "none"],
    )
    assert data.X.to_dict(as_series=False) == {"zip": [10, 20, 10], "x": [1.5, 2.5, 4.0], "w": [None, "3", None]}
    assert data.categorical == ("w",)
    path = write(tmp_path / "u.csv", "x;y\n1,5;a\n2,5;b\n3,5;a\n")
    assert any("pass decimal=','" in w for w in read_table(path, target="y").warnings)


def test_typed_formats_obey_numeric_and_categorical_too(tmp_path):
    columns = {
        "flag": [True, None, False],
        "level": pl.Series(["3", "1", None], dtype=pl.Categorical),
        "size": pl.Series(["10", "2", None], dtype=pl.Enum(["10", "2"])),
        "day": [datetime.date(2024, 3, 1)] * 2 + [None],
        "code": [7, 11, None],
        "y": [0, 1, 0],
    }
    pl.DataFrame(columns).write_parquet(tmp_path / "t.parquet")
    data = read_table(tmp_path / "t.parquet", target="y")
    assert data.categorical == ("flag", "level", "size")
    assert data.X["size"].dtype == pl.Enum(["10", "2"])  # an order that the file states is kept
    data = read_table(
        tmp_path / "t.parquet", target="y", numeric=["flag", "level", "size"], categorical=["day", "code"]
    )
    assert data.categorical == ("day", "code")
    assert data.X.select("flag", "level", "size").rows() == [(1, 3, 10), (None, 1, 2), (0, None, None)]
    assert data.X["code"].dtype == pl.Enum(["7", "11"])


def test_matrix_has_nan_for_missing_and_ordinal_codes_for_categories(tmp_path):
    data = read_table(write(tmp_path / "t.csv", "a,b,y\n1,z,0\n?,m,1\n3,?,0\n"), target="y")
    np.testing.assert_array_equal(data.to_numpy(), [[1, 1], [math.nan, 0], [3, math.nan]])
    assert data.to_numpy().dtype == np.float64
    assert data.to_numpy(np.float32).dtype == np.float32
    assert data.categorical_mask.tolist() == [False, True]


def test_numeric_categories_are_ordered_as_numbers(tmp_path):
    data = read_table(write(tmp_path / "t.csv", "a,y\n10,0\n9,1\n100,0\n"), target="y", categorical=["a"])
    assert data.X["a"].dtype == pl.Enum(["9", "10", "100"])


def test_rows_without_a_target_are_left_out_only_when_asked(tmp_path):
    path = write(tmp_path / "t.csv", "a,y\n1,p\n2,\n3,q\n4,?\n5,p\n")
    with pytest.raises(DataError, match=r"missing in 2 of 5 rows, first on line 3.*drop_missing_target=True"):
        read_table(path, target="y")
    data = read_table(path, target="y", drop_missing_target=True)
    assert data.X["a"].to_list() == [1, 3, 5]
    assert any("2 of 5 rows had no target" in w for w in data.warnings)


def test_a_file_of_many_rows_and_mixed_columns_keeps_every_value(tmp_path):
    rng = np.random.default_rng(0)
    n = 50_000
    frame = pl.DataFrame(
        {
            "x": rng.standard_normal(n),
            "k": rng.integers(-(2**60), 2**60, n),
            "s": np.array(["a b", 'q"', "c,d", "e\nf"])[rng.integers(0, 4, n)],
            "y": rng.integers(0, 2, n),
        }
    )
    frame.write_csv(tmp_path / "t.csv")
    data = read_table(tmp_path / "t.csv", target="y")
    assert data.X.with_columns(pl.col("s").cast(pl.String)).equals(frame.drop("y"))
    assert data.y.tolist() == frame["y"].to_list()


cell_text = st.text(st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=8)
finite = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-(2**63) + 1, 2**63 - 1)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.none() | finite, st.none() | whole, st.none() | cell_text.map(lambda t: "t" + t.strip() + "t")),
        min_size=2,
        max_size=12,
    ),
    compressed=st.booleans(),
)
def test_what_polars_writes_is_read_back_equal_with_missing_cells_in_place(tmp_path, rows, compressed):
    rows = [(f"r{i}", *row, i % 2) for i, row in enumerate(rows)]
    schema = {"row": pl.String, "real": pl.Float64, "whole": pl.Int64, "text": pl.String, "y": pl.Int64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    path = tmp_path / ("t.csv.gz" if compressed else "t.csv")
    text = frame.write_csv().encode()
    path.write_bytes(gzip.compress(text) if compressed else text)
    task = "regression" if frame.height == 2 else None  # two rows of two classes would be one row a class
    data = read_table(path, target="y", task=task)
    assert data.X["real"].cast(pl.Float64).to_list() == frame["real"].to_list()
    assert data.X["whole"].cast(pl.Int64).to_list() == frame["whole"].to_list()
    text_back = data.X["text"]
    assert (text_back if text_back.is_null().all() else text_back.cast(pl.String)).to_list() == frame["text"].to_list()


def test_importing_the_package_does_not_import_polars():
    code = "import breadth, sys; raise SystemExit('polars' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
