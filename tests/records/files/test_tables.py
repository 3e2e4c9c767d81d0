import csv
import io
import json
import time

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from transfergrid.records.errors import BadInputError
from transfergrid.records.files.table_formats import Asked, csv_columns, json_columns
from transfergrid.records.files.tables import read_table

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)


def saved(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def read(file, *wanted, **arguments):
    return read_table(file, file.name, wanted or ("text", "label"), **arguments)


def values(table):
    return list(zip(*table.columns.values(), strict=True))


def refused(message, file, *wanted, **arguments):
    with pytest.raises(BadInputError, match=message) as caught:
        read(file, *wanted, **arguments)
    assert "\n" not in str(caught.value)
    if "encoding" not in arguments:
        assert file.name in str(caught.value)


GOOD = {
    "t.csv": 'id,text,label\n1,"a, ""b""\nc",x\n\n2, d ,y\n',
    "t.tsv": 'text\tlabel\n"a, ""b""\nc"\tx\n d \ty\n',
    "t.jsonl": '{"text": "a, \\"b\\"\\nc", "label": "x"}\n\n{"label": "y", "text": " d "}',
    "t.ndjson": '{"text": "a, \\"b\\"\\nc", "label": "x"}\r\n{"label": "y", "text": " d "}\r\n',
    "t.json": '[{"text": "a, \\"b\\"\\nc", "label": "x"},\n{"label": "y", "text": " d "}]',
    "lines.json": '{"text": "a, \\"b\\"\\nc", "label": "x"}\n{"label": "y", "text": " d "}',
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
def test_text_formats_are_read_with_and_without_a_byte_order_mark(tmp_path, name, mark):
    table = read(saved(tmp_path, name, mark + GOOD[name].encode()))
    assert values(table) == [('a, "b"\nc', "x"), (" d ", "y")]


def test_parquet_is_read(tmp_path):
    columns = {"text": ["a", None], "other": [1, 2], "label": pa.array(["x", "y"])}
    columns["label"] = columns["label"].dictionary_encode()
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = read(tmp_path / "t.parquet")
    assert values(table) == [("a", "x"), (None, "y")]
    assert table.place(1) == "t.parquet: row 2"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5), st.sampled_from(",;\t|"))
def test_whatever_was_written_as_csv_is_read_again(rows, delimiter):
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerows([("text", "label"), *rows])
    columns, _, _ = csv_columns(stream.getvalue(), "t", Asked(["label", "text"]), delimiter)
    assert list(zip(columns["text"], columns["label"], strict=True)) == rows


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXTS, st.integers()), min_size=1, max_size=5), st.booleans())
def test_whatever_was_written_as_json_lines_is_read_again(rows, ascii_only):
    made = [{"text": text, "label": label} for text, label in rows]
    text = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in made)
    columns, numbers, unit = json_columns(text, "t", Asked(["text", "label"]), whole=False)
    assert list(zip(columns["text"], columns["label"], strict=True)) == rows
    assert (list(numbers), unit) == (list(range(1, len(rows) + 1)), "line")


def test_places_are_lines_of_the_file(tmp_path):
    table = read(saved(tmp_path, "t.csv", GOOD["t.csv"]))
    assert [table.place(i) for i in range(2)] == ["t.csv: line 2", "t.csv: line 5"]
    assert table.only([1]).place(0) == "t.csv: line 5"


@pytest.mark.parametrize(
    "lines",
    [
        ['"Fine" he said\tx', 'so"so\ty'],  # no CSV
        ['"Fine\tx', "bad\ty", 'worse"\tx', "b\ty"],  # three lines would become one
        ['"\tx', "a\ty", '"b"\tx'],  # broken as CSV only at the end
    ],
)
def test_quotes_between_tabs_may_quote_nothing(tmp_path, lines):
    table = read(saved(tmp_path, "t.tsv", "\n".join(["text\tlabel", *lines])))
    assert ["\t".join(row) for row in values(table)] == lines


def test_long_fields_are_read(tmp_path):
    file = saved(tmp_path, "t.csv", f"text,label\n{'word ' * 100_000},x\n")
    assert len(read(file).columns["text"][0]) == 500_000


def test_other_delimiters_and_encodings_can_be_given(tmp_path):
    file = saved(tmp_path, "t.csv", "text;label\né;x\n".encode("latin-1"))
    expected = [("é", "x")]
    assert values(read(file, encoding="latin-1", delimiter=";")) == expected
    assert values(read(file, encoding="latin-1", delimiter="semicolon")) == expected
    file = saved(tmp_path, "t.csv", "text\tlabel\né\tx\n".encode("utf-16"))
    assert values(read(file, encoding="utf-16", delimiter="tab")) == expected


BAD = {
    "empty.csv": ("", "empty.csv is empty"),
    "blank.jsonl": ("\n\n", "blank.jsonl is empty"),
    "marked.csv": (b"\xef\xbb\xbf", "marked.csv is empty"),
    "header.csv": ("text,label\n", "header.csv has no rows"),
    "none.json": ("[]", "none.json has no rows"),
    "column.csv": ("test,label\na,x\n", r"no column 'text'; did you mean test\? \(it has test, l"),
    "column.jsonl": ('{"x": 1}\n{"label": 2}', "no column 'text'; there is label, x"),
    "semicolon.csv": ("text;label\na;x\n", "only 'text;label': give target.delimiter=\";\""),
    "tabs.csv": ("text\tlabel\na\tx\n", "give target.delimiter=tab"),
    "twice.csv": ("text,label,text\na,x,b\n", "more than one column 'text'"),
    "long.csv": ('text,label\n"a\nb",x\na,b,x\n', "line 4 has 3 fields, but the header has 2"),
    "short.csv": ("text,label\na,x\nb\n", "line 3 has 1 fields, but the header has 2"),
    "open.csv": ('text,label\na,x\n"b,x\nc,y\n', "line 3 is broken CSV: unexpected end"),
    "quote.csv": ('text,label\n"a" b,x\n', "line 2 is broken CSV: ',' expected after '\"'"),
    "bytes.csv": (b"text,label\na,x\n\xe9,y\n", r"line 3 has bytes that are no utf-8 \(0xe9\)"),
    "bytes.jsonl": (b'{"text": "a"}\n\n{"text": "\xff"}', r"line 3 has bytes .*encoding=latin-1"),
    "wide.csv": ("text,label\na,x\n".encode("utf-16"), "line 1 .*target.encoding=utf-16"),
    "unmarked.csv": ("text,label\na,x\n".encode("utf-16-le"), "target.encoding=utf-16-le"),
    "swapped.csv": ("text,label\na,x\n".encode("utf-16-be"), "target.encoding=utf-16-be"),
    "twin.csv": ("te\u200bxt,label\na,x\n", r"no column 'text', but 'te\\u200bxt', which looks"),
    "cut.jsonl": ('{"text": "a"}\n{"text": "b', "line 2 is broken JSON: Unterminated string"),
    "comma.json": ('[\n{"text": "a"},\n]', "line 3 is broken JSON"),
    "deep.jsonl": ("[" * 100_000, "line 1 is broken JSON: nested too deeply"),
    "long.jsonl": ("{}\n" + "1" * 5000, "line 2 is broken JSON: a number of too many digits"),
    "long.json": ("[" + "1" * 5000, "line 1 is broken JSON: a number of too many digits"),
    "list.jsonl": ('{"text": "a"}\n["b"]', "line 2 is no object"),
    "list.json": ('[{"text": "a"}, "b"]', "row 2 is no object"),
    "object.json": ('{"text": ["a"]}', "must hold a list of rows"),
    "twice.jsonl": (
        '{"text": "a"}\n\n{"text": "b", "text": "c"}',
        "line 3 has more than one .*'text'",
    ),
    "twice.json": ('[\n\n{"text": "b", "text": "c"}]', "row 1 has more than one column 'text'"),
    "damaged.parquet": ("PAR1 no more", "cannot be read as Parquet"),
    "table.xlsx": ("x", "no table that can be read; there is .csv"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_told_with_its_line(tmp_path, name):
    content, message = BAD[name]
    refused(message, saved(tmp_path, name, content))


def test_more_of_what_cannot_be(tmp_path):
    file = saved(tmp_path, "t.csv", "text,label\na,x\n")
    refused("no encoding 'utf-9'", file, encoding="utf-9")
    refused("no encoding 'hex'", file, encoding="hex")
    with pytest.raises(BadInputError, match="delimiter must be one character"):
        read(file, delimiter="::")
    parquet.write_table(pa.table({"texts": ["a"]}), tmp_path / "t.parquet")
    refused("no column 'text'; did you mean texts", tmp_path / "t.parquet")
    twice = pa.table([["a"], ["b"]], names=["text", "text"])
    parquet.write_table(twice, tmp_path / "twice.parquet")
    refused("more than one column 'text'", tmp_path / "twice.parquet", "text")
    (tmp_path / "folder.csv").mkdir()
    refused("no table that can be read", tmp_path / "folder.csv")


def test_all_columns_are_read_where_none_are_named(tmp_path):
    for name, content in GOOD.items():
        columns = read_table(saved(tmp_path, name, content), name, None).columns
        assert list(columns) == (["id", "text", "label"] if name == "t.csv" else ["text", "label"])
    parquet.write_table(pa.table({"a": [1], "b": [{"c": [2]}]}), tmp_path / "t.parquet")
    nested = read_table(tmp_path / "t.parquet", "t", None)
    assert nested.columns == {"a": [1], "b": [{"c": [2]}]}
    for name, text in (("t.csv", "a,b,a\n1,2,3\n"), ("t.jsonl", '{"a": 1, "b": 2, "a": 3}')):
        twice = saved(tmp_path, name, text)
        with pytest.raises(BadInputError, match="more than one column 'a'"):
            read_table(twice, "t", None)
        assert set(read_table(twice, "t", ["b"]).columns) == {"b"}


def test_what_stands_twice_inside_a_value_is_no_column(tmp_path):
    file = saved(tmp_path, "t.jsonl", '{"a": {"c": 1, "c": 2}}')
    assert read_table(file, "t", None).columns == {"a": [{"c": 2}]}


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_what_divides_the_first_line_divides_all_of_them(tmp_path, between):
    rows = [("text", "label"), ("a", "x"), ("b, c; d\te", "y")]
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=between).writerows(rows)
    table = read_table(saved(tmp_path, "t.csv", "\n\n" + stream.getvalue()), "t", None)
    assert (values(table), list(table.numbers)) == (rows[1:], [4, 5])


def test_blank_lines_are_passed_over_wherever_they_are(tmp_path):
    file = saved(tmp_path, "t.csv", "\n\r\ntext,label\n\na,x\n  \nb,y\n \n")
    table = read(file)
    assert (values(table), list(table.numbers)) == ([("a", "x"), ("b", "y")], [5, 7])
    alone = saved(tmp_path, "alone.csv", "text\na\n \n")
    assert read(alone, "text").columns == {"text": ["a", " "]}  # of one column it is a value


MARKDOWN = "About\n\n| text | **n** |\n|:----|--:|\n| a \\| b | __1__ |\n\n| c | - |\n"


def test_tables_in_markdown(tmp_path):
    table = read_table(saved(tmp_path, "t.md", MARKDOWN), "t", None)
    assert table.columns == {"text": ["a | b", "c"], "n": ["1", "-"]}
    assert list(table.numbers) == [5, 7]
    with pytest.raises(BadInputError, match="t: line 3 has 3 fields, but the header has 2"):
        read_table(saved(tmp_path, "r.md", "|a|b|\n|-|-|\n|1|2|3|\n"), "t", None)
    with pytest.raises(BadInputError, match="t has no rows"):
        read_table(saved(tmp_path, "n.md", "a README\n"), "t", None)


def test_a_line_of_dashes_takes_no_time(tmp_path):
    dashes = saved(tmp_path, "t.md", "| a |\n|---|\n| " + "-" * 5000 + " x |\n")
    start = time.process_time()
    assert len(read_table(dashes, "t", None)) == 1
    assert time.process_time() - start < 1


def test_headings_in_several_rows_are_joined(tmp_path):
    text = '\n,d,,e\n\nname,0,1,0\n\n"a\nb",1,2,3\nc,4,5,6\n'
    table = read_table(saved(tmp_path, "t.csv", text), "t", None, headings=2)
    assert list(table.columns) == ["name", "d / 0", "d / 1", "e / 0"]
    assert (table.columns["name"], list(table.numbers)) == (["a\nb", "c"], [6, 8])
    for content, told in (("a,b\n", "no rows below 2"), ("a,b\nc\n1,2\n", "not of one length")):
        with pytest.raises(BadInputError, match=told):
            read_table(saved(tmp_path, "t.csv", content), "t", None, headings=2)
    with pytest.raises(BadInputError, match="only CSV and markdown have 2 rows of headings"):
        read_table(saved(tmp_path, "t.jsonl", "{}"), "t", None, headings=2)
