import json
import os

import pytest

from transfergrid.records.errors import BadInputError
from transfergrid.records.files import contents
from transfergrid.records.files.fingerprints import fingerprint
from transfergrid.sources.files.model_card import _front_matter


def test_what_files_and_folders_hold_is_read(tmp_path):
    (tmp_path / "file").write_bytes(b"held")
    assert contents.read_bytes(tmp_path / "file") == b"held"
    assert contents.status_of(tmp_path / "file").st_size == 4
    contents.status_of(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "device", "link"])
def test_what_is_no_file_is_not_waited_for(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(OSError, match="a pipe, a socket or a device, not a file") as caught:
        contents.read_bytes(tmp_path / kind)
    assert caught.value.filename == str(tmp_path / kind)


def test_a_pipe_as_data_is_refused_with_its_name(tmp_path):
    os.mkfifo(tmp_path / "texts.csv")
    with pytest.raises(BadInputError, match=r"texts\.csv: a pipe, a socket or a device"):
        fingerprint_of_file(tmp_path / "texts.csv")


def fingerprint_of_file(path):
    from transfergrid.records.files.fingerprints import content_hashes

    return content_hashes(path, [""])


def test_pipes_in_a_folder_are_none_of_its_files(tmp_path):
    (tmp_path / "a").write_text("a")
    before = fingerprint(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize(
    ("text", "told"),
    [("[" * 100_000, "nested too deeply"), ("1" * 5000, "a number of too many digits")],
)
def test_json_that_python_does_not_read_is_a_wrong_value(text, told):
    with pytest.raises(ValueError, match=told):
        contents.parsed(text)


def test_json_is_read_and_broken_json_says_where():
    assert contents.parsed(b'{"a": [1, null]}') == {"a": [1, None]}
    with pytest.raises(json.JSONDecodeError, match="line 2"):
        contents.parsed("[1,\n}")


@pytest.mark.parametrize("held", ["[" * 5000, "day: 2026-99-99", "a: &b [*b, *c]"])
def test_front_matter_that_yaml_does_not_read_says_nothing(tmp_path, held):
    (tmp_path / "README.md").write_text(f"---\n{held}\n---\n")
    assert _front_matter(tmp_path / "README.md") == {}


def test_a_pipe_as_a_models_card_says_nothing(tmp_path):
    os.mkfifo(tmp_path / "README.md")
    assert _front_matter(tmp_path / "README.md") == {}
