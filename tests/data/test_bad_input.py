"""Every bad table is refused with the file, the line where one is to blame, and the mend."""

import gzip
import os
import re

import numpy as np
import polars as pl
import pytest

from breadth.data import DataError, Dataset, assemble, read_table

GOOD = "a,b,y\n1,2,p\n3,4,q\n5,6,p\n"


def refuse(path, content, expected, **arguments):
    """`content` written to `path` is refused by a message that names the file and matches `expected`."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    arguments.setdefault("target", "y")
    with pytest.raises(DataError, match=expected) as caught:
        read_table(path, **arguments)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.parquet", "t.csv.gz"])
def test_an_empty_file_is_refused_in_every_format(tmp_path, name):
    refuse(tmp_path / name, b"", "the file is empty; a table needs")


@pytest.mark.parametrize("content", ["\n\n", "  \n \n", "\r\n"])
def test_a_file_of_blanks_is_empty(tmp_path, content):
    refuse(tmp_path / "t.csv", content, "the file is empty")
    refuse(tmp_path / "t.jsonl", content, "the file is empty")


def test_a_header_without_rows_is_refused(tmp_path):
    refuse(tmp_path / "t.csv", "a,b,y\n", "a header and no rows; pass header=False")
    refuse(tmp_path / "t.csv", "a,b,y", "a header and no rows")
    pl.DataFrame({"a": [], "y": []}).write_parquet(tmp_path / "u.parquet")
    with pytest.raises(DataError, match="2 columns and no rows"):
        read_table(tmp_path / "u.parquet", target="y")


def test_a_blank_first_line_of_cells_is_refused(tmp_path):
    refuse(tmp_path / "t.csv", "  \na,b,y\n1,2,p\n", "line 1 is blank where the header")
    refuse(tmp_path / "t.csv", " , \n1,2\n", "line 1 is blank where the first row", header=False, target=1)


def test_one_row_is_refused(tmp_path):
    refuse(tmp_path / "t.csv", "a,b,y\n1,2,p\n", "the table has 1 row; at least two")
    refuse(tmp_path / "t.csv", "a,b,y\n1,2,p\n1,2,\n", "1 row with a target|has 1 row", drop_missing_target=True)
    refuse(tmp_path / "t.csv", "a,b\n1,2\n", "the table has 1 row", target=None)


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        ("a,b,y\n1,2,p\n3,4\n5,6,p\n", 3, 2),  # short
        ("a,b,y\n1,2,p\n3,4,q\n5,6,p,7\n", 4, 4),  # long
        ("a,b,y\n1,2,p\n3,4\n5,6,p,7\n", 3, 2),  # as many delimiters as a whole table
        ("a,b,y\n1,2,\n3,4\n5,6,p\n", 3, 2),  # short among missing cells
        ("\n\na,b,y\n1,2,p\n\n3\n5,6,p\n", 6, 1),  # blank lines count
        ('a,b,y\n1,"2\n2",p\n3,4\n5,6,p\n', 4, 2),  # so do line ends in quotes
        ('a,b,y\n1, "2,2",p\n3, 4\n5,6,p\n', 3, 2),  # the csv module's dialect
        ("a,b,y\r\n1,2,p\r\n3,4\r\n", 3, 2),
        ('a,b,y\n1,2,p\n3,"4,4",q,', 3, 4),  # at the end, without a line end
    ],
)
def test_ragged_rows_name_the_line_and_both_counts(tmp_path, content, line, found):
    for name, data in (("t.csv", content.encode()), ("t.csv.gz", gzip.compress(content.encode()))):
        refuse(tmp_path / name, data, rf"line {line} has {found} cells where the header has 3 .*mend the line")


def test_ragged_rows_without_a_header_are_counted_against_the_first_line(tmp_path):
    refuse(tmp_path / "t.csv", "1,2\n3,4\n5\n", "line 3 has 1 cells where the first line has 2", header=False, target=0)


def test_a_quote_that_is_never_closed_is_found(tmp_path):
    expected = "line 3: a quote is opened and never closed; close the quote"
    refuse(tmp_path / "t.csv", 'a,b,y\n1,2,p\n3,"4,q\n5,6,p\n', expected)


def test_a_stray_quote_inside_a_cell_is_data(tmp_path):
    (tmp_path / "t.csv").write_text('a,y\n5" pipe,p\n6,q\n7" pipe,p\n')
    assert read_table(tmp_path / "t.csv", target="y").X["a"].to_list() == ['5" pipe', "6", '7" pipe']


def test_an_absent_file_a_folder_and_an_unreadable_file_are_refused(tmp_path):
    (tmp_path / "sales.csv").write_text(GOOD)
    with pytest.raises(DataError, match=r"sales\.tsv: no such file; there is sales\.csv"):
        read_table(tmp_path / "sales.tsv")
    with pytest.raises(DataError, match="no such file; nor is there a folder"):
        read_table(tmp_path / "nowhere" / "t.csv")
    with pytest.raises(DataError, match="no such file; the current folder is"):
        read_table(tmp_path / "other.csv")
    with pytest.raises(DataError, match="is a folder; name one file"):
        read_table(tmp_path)
    if os.geteuid():  # root reads everything
        (tmp_path / "sales.csv").chmod(0)
        with pytest.raises(DataError, match=r"cannot be read .* check its permissions"):
            read_table(tmp_path / "sales.csv")


def test_an_absent_target_offers_near_names(tmp_path):
    content = "age,Income,y\n1,2,p\n3,4,q\n5,6,p\n"
    refuse(tmp_path / "t.csv", content, r"target='income' is not a column; did you mean 'Income'\?", target="income")
    refuse(tmp_path / "t.csv", content, r"the columns are 'age', 'Income', 'y'", target="zzz")
    refuse(tmp_path / "t.csv", content, r"drop='agee' is not a column; did you mean 'age'\?", drop=["agee"])
    with pytest.raises(DataError, match=r"drop='age' is one string; pass a list, drop=\['age'\]"):
        read_table(tmp_path / "t.csv", drop="age")
    with pytest.raises(DataError, match=r"missing='-999' is one string; pass a list, missing=\['-999'\]"):
        read_table(tmp_path / "t.csv", missing="-999")


@pytest.mark.parametrize("target", [3, -4, "3"])
def test_a_target_position_out_of_range_is_refused(tmp_path, target):
    refuse(tmp_path / "t.csv", GOOD, "out of range; 3 columns are counted from 0 to 2", target=target)


def test_a_target_with_one_class_is_refused(tmp_path):
    refuse(tmp_path / "t.csv", "a,y\n1,p\n2,p\n3,p\n", "'y' is 'p' in all 3 rows; a target needs two values")
    refuse(tmp_path / "t.csv", "a,y\n1,2.5\n2,2.5\n", "'y' is 2.5 in all 2 rows", task="regression")


def test_as_many_classes_as_rows_are_refused(tmp_path):
    refuse(tmp_path / "t.csv", "a,y\n1,p\n2,q\n3,r\n", r"as many classes as rows \(3\).*name another target$")
    refuse(tmp_path / "t.csv", "a,y\n1,1\n2,2\n3,3\n", "or pass task='regression'", task="multiclass")


def test_a_task_that_the_target_cannot_serve_is_refused(tmp_path):
    refuse(tmp_path / "t.csv", "a,y\n1,p\n2,q\n3,p\n", "needs a numeric target, but 'y' holds texts", task="regression")
    expected = "task='binary' but the target 'y' has 3 classes"
    refuse(tmp_path / "t.csv", "a,y\n1,p\n2,q\n3,r\n4,p\n", expected, task="binary")
    refuse(tmp_path / "t.csv", "a,y\n1,2024-01-01\n2,2024-01-02\n", "the target 'y' is a date")
    with pytest.raises(DataError, match="task='ranking' is not known; pass 'binary'"):
        (tmp_path / "t.csv").write_text(GOOD)
        read_table(tmp_path / "t.csv", target="y", task="ranking")


def test_a_target_missing_in_every_row_is_refused_whatever_is_asked(tmp_path):
    refuse(tmp_path / "t.csv", "a,y\n1,\n2,?\n", "'y' is missing in every row", drop_missing_target=True)


def test_a_target_alone_is_refused(tmp_path):
    refuse(tmp_path / "t.csv", "y\n1\n2\n1\n", "no feature is left beside the target")
    refuse(tmp_path / "t.csv", GOOD, "no feature is left", drop=["a", "b"])
    refuse(tmp_path / "t.csv", GOOD, "drop= names the target 'y'", drop=["y"])


def test_text_in_a_column_that_must_be_numeric_names_lines_and_values(tmp_path):
    content = "a,y\n1,p\nlow,q\n3,p\nhigh,q\nmid,p\n?,q\nx,p\n"
    expected = r"'a' must be numeric but holds text: 'low' on line 3, 'high' on line 5, 'mid' on line 6 and 1 more"
    refuse(tmp_path / "t.csv", content, expected, numeric=["a"])
    refuse(tmp_path / "t.csv", content, expected, numeric=[0])
    refuse(tmp_path / "t.jsonl", '{"a":1,"y":"p"}\n\n{"a":"low","y":"q"}\n', "'low' on line 3", numeric=["a"])
    refuse(tmp_path / "t.csv", content, "both name", numeric=["a"], categorical=["a"])


def test_a_few_texts_in_a_numeric_column_make_it_a_category_and_are_announced(tmp_path):
    rows = [f"{i}.5,{i % 2}" for i in range(39)] + ["n/k,1"]
    (tmp_path / "t.csv").write_text("a,y\n" + "\n".join(rows) + "\n")
    data = read_table(tmp_path / "t.csv", target="y")
    assert data.categorical == ("a",)
    assert any("39 numbers and 1 other values ('n/k' on line 41)" in w and "numeric=['a']" in w for w in data.warnings)
    assert read_table(tmp_path / "t.csv", target="y", missing=["n/k"]).categorical == ()


def test_a_header_that_was_read_as_data_is_announced(tmp_path):
    (tmp_path / "t.csv").write_text("age,y\n1,0\n2,1\n3,0\n")
    notes = read_table(tmp_path / "t.csv", header=False, target=1).warnings
    assert any("'c0' is numeric but for its first cell ('age' on line 1); pass header=True" in note for note in notes)


@pytest.mark.parametrize("cell", ["inf", "-inf", "Infinity", "1e999"])
def test_infinities_name_column_and_line(tmp_path, cell):
    content = f"a,b,y\n1,1,p\n3,{cell},q\n5,6.5,p\n"
    refuse(tmp_path / "t.csv", content, rf"line 3: column 'b' is infinite \({cell}\), 1 such cells")
    data = read_table(tmp_path / "t.csv", target="y", missing=[cell])
    assert data.X["b"].to_list() == [1, None, 6.5]


def test_infinities_in_typed_formats_name_the_row_and_nan_is_missing(tmp_path):
    frame = pl.DataFrame({"a": [1.0, float("nan"), float("-inf")], "y": [0, 1, 0]})
    frame.write_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"row 2: column 'a' is infinite \(-inf\)"):
        read_table(tmp_path / "t.parquet", target="y")
    frame.with_columns(pl.col("a").replace(float("-inf"), 0)).write_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", target="y").X["a"].to_list() == [1.0, None, 0.0]


def test_duplicate_column_names_are_refused(tmp_path):
    refuse(tmp_path / "t.csv", "a,b, a,y\n1,2,3,p\n3,4,5,q\n", "line 1: duplicate column name 'a'; rename one of them")
    expected = "duplicate column name '0'; if the first line is data, pass header=False"
    refuse(tmp_path / "t.csv", "0,1,0\n1,2,3\n", expected)


def test_damaged_archives_are_refused(tmp_path):
    packed = gzip.compress(GOOD.encode() * 100)
    refuse(tmp_path / "t.csv.gz", packed[:-20], "damaged gzip file")
    refuse(tmp_path / "t.csv.gz", packed[:30] + b"\xff\xff\xff" + packed[33:], "damaged gzip file")
    refuse(tmp_path / "t.csv.gz", GOOD, r"is not compressed although its name ends in \.gz")
    refuse(tmp_path / "t.csv.zst", b"\x28\xb5\x2f\xfdgarbage", "damaged zstd file")
    pl.read_csv(GOOD.encode() * 100).write_csv(tmp_path / "t.csv.zst", compression="zstd")
    refuse(tmp_path / "t.csv.zst", (tmp_path / "t.csv.zst").read_bytes()[:-9], "damaged zstd file")
    refuse(tmp_path / "t.xlsx", b"PK\x03\x04rest", "is a zip archive or a spreadsheet; .* save the sheet as CSV")


def test_damaged_parquet_is_refused(tmp_path):
    pl.DataFrame({"a": [1, 2], "y": [0, 1]}).write_parquet(tmp_path / "good.parquet")
    whole = (tmp_path / "good.parquet").read_bytes()
    for part in (whole[: len(whole) // 2], whole[:5], b"not parquet at all"):
        refuse(tmp_path / "t.parquet", part, "damaged Parquet file .*fetch or write it again")


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ('{"a": 2 "y": 1}', "line 2: invalid JSON .*at column"),
        ('{"a": 2', "line 2: invalid JSON"),
        ("[1, 2]", "line 2: holds a JSON list where an object"),
        ("5", "line 2: holds a JSON int where an object"),
        ('{"a": NaN, "y": 1}', "line 2: 'a' is NaN, which JSON does not have; write null"),
        ('{"a": 1e999, "y": 1}', "line 2: 'a' is too large"),
        ('{"a": true, "y": 1}', "line 2: 'a' is a bool but was a number or text on line 1"),
    ],
)
def test_bad_json_names_the_line(tmp_path, second, expected):
    refuse(tmp_path / "t.jsonl", '{"a": 1, "y": 0}\n' + second + '\n{"a": 3, "y": 0}\n', expected)


def test_nested_columns_and_json_documents_are_refused(tmp_path):
    expected = r"column 'a' holds List\(Int64\).*drop=\['a'\]"
    refuse(tmp_path / "t.jsonl", '{"a": [1], "y": 0}\n{"a": [2], "y": 1}\n', expected)
    refuse(tmp_path / "t.json", '[\n{"a": 1}\n]\n', "line 1: is one JSON document; write JSON Lines")


def test_text_that_is_not_utf8_names_line_and_offset(tmp_path):
    expected = "line 3: byte 0xe9 at offset 8 is not UTF-8; pass encoding='cp1252'"
    refuse(tmp_path / "t.csv", b"a,y\nx,1\n\xe9,0\n", expected)
    refuse(tmp_path / "t.csv", GOOD.encode("utf-16"), "is UTF-16, not UTF-8; pass encoding='utf-16'")
    refuse(tmp_path / "t.csv", GOOD.encode("utf-16-le"), "holds a zero byte at offset 1")
    refuse(tmp_path / "t.csv", b"a,y\n\x81,1\n", "offset 4 is not cp1252; pass the file's encoding", encoding="cp1252")
    with pytest.raises(DataError, match="encoding='utf-9' is not known to Python"):
        read_table(tmp_path / "t.csv", target="y", encoding="utf-9")


def test_a_data_set_of_unequal_lengths_or_with_texts_is_refused():
    X = pl.DataFrame({"a": [1.0, 2.0], "s": ["u", "v"]})
    with pytest.raises(DataError, match="X has 2 rows and y has 3"):
        Dataset("t", X.drop("s"), np.zeros(3), "regression")
    with pytest.raises(DataError, match=r"y holds class 1 but there are 1 classes"):
        Dataset("t", X.drop("s"), np.array([0, 1]), "binary", classes=("p",))
    with pytest.raises(DataError, match=r"column 's' is String; make it numeric or polars\.Enum"):
        Dataset("t", X, np.zeros(2), "regression")
    with pytest.raises(DataError, match="the table has 0 row"):
        assemble(X.clear(), name="t", target="a")


def test_messages_end_with_a_mend(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n1,p\n2\n")
    with pytest.raises(DataError) as caught:
        read_table(path, target="y")
    assert re.fullmatch(rf"{re.escape(str(path))}: line 3 .*; mend the line, .*", str(caught.value))
