"""Splitting lines into cells, beside Python's csv module on every mixture of delimiters, quotes and line ends."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.data import DataError
from breadth.data.delimited import read_delimited, sniff_delimiter

pieces = st.sampled_from(["a", "7", " ", ",", ",", "\n", "\n", '"', '"', '""', '"b"', ',"c,d",', '"\n"', "\r\n"])


def ends_inside_quotes(text):
    try:
        list(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True))
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False


@settings(max_examples=500, deadline=None)
@given(st.lists(pieces, max_size=30).map("".join))
def test_cells_are_those_of_the_csv_module_or_the_file_is_refused(text):
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    records = [["" if len(row) == 1 and not row[0].strip() else cell for cell in row] for row in reader]
    rows = [row for row in records if row not in ([], [""])]
    try:
        table = read_delimited(text.encode(), "t", header=False, delimiter=",", quote='"')
    except DataError:
        ragged = len({len(row) for row in rows}) != 1
        open_quote = ends_inside_quotes(text)
        blank_start = not rows or not any(cell.strip() for cell in rows[0]) or records[0] == [""] or text[0] in " \n\r"
        assert ragged or open_quote or blank_start
        return
    if table.frame.width == 1:
        return  # a blank line of a single column is a missing cell, not a skipped line
    found = [tuple((cell or "").strip() for cell in row) for row in table.frame.rows()]
    assert found == [tuple(cell.strip().replace("\r\n", "\n") for cell in row) for row in rows]
    assert len(table.locate(range(len(found)))) == len(found)


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n", ";"),
        ("a\tb c,d\n1\t2\n", "\t"),
        ("a|b|c\n1,0|2|3\n", "|"),
        ('"a,b",c\n"1,2;3;4",5\n', ","),
        ("name;note\nx;a, b\ny;c, d, e\n", ";"),
        ("alone\n1\n2\n", ","),
        ("a,b,c\n1,2\n1,2,3\n4,5,6\n", ","),
    ],
)
def test_the_delimiter_is_the_one_that_cuts_all_lines_alike(text, delimiter):
    assert sniff_delimiter(text.encode()) == delimiter


@pytest.mark.parametrize("arguments", [{"delimiter": ",,"}, {"delimiter": "\n"}, {"quote": "«"}, {"quote": ""}])
def test_delimiter_and_quote_must_be_one_character(arguments):
    with pytest.raises(DataError, match=r"is not one ASCII character; pass for instance"):
        read_delimited(b"a,b\n1,2\n", "t", **{"header": True, "delimiter": ",", "quote": '"', **arguments})


def test_lines_are_counted_across_blank_lines_and_quoted_line_ends():
    table = read_delimited(b'\na,b\n1,"x\ny"\n\n2,z\n', "t", header=True, delimiter=",", quote='"')
    assert table.locate([0, 1]) == ["line 3", "line 6"]
    assert table.locate([]) == []


def test_nameless_columns_are_numbered_and_a_header_that_looks_like_data_is_announced():
    table = read_delimited(b",b\n1,2\n3,4\n", "t", header=True, delimiter=None, quote='"')
    assert table.frame.columns == ["c0", "b"] and table.warnings == ()
    table = read_delimited(b"5.1,3.5,setosa\n4.9,3.0,setosa\n", "t", header=True, delimiter=None, quote='"')
    assert any("pass header=False" in note for note in table.warnings)
    table = read_delimited(b"y,0,1,2\n1,2,3,4\n5,6,7,8\n", "t", header=True, delimiter=None, quote='"')
    assert table.warnings == ()
