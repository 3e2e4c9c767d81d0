"""Which cells were sent where."""

from transfergrid.records.tracking import sent


def test_cells_are_noted_by_place(tmp_path):
    sent.note(tmp_path, "a" * 16, "team/project")
    sent.note(tmp_path, "b" * 16, "other")
    assert sent.to(tmp_path, "team/project") == {"a" * 16}
    assert sent.to(tmp_path, "nowhere") == set()


def test_where_nothing_can_be_written_nothing_is_lost_but_the_note(tmp_path):
    (tmp_path / "sent").write_text("a file in the folder's place")
    sent.note(tmp_path, "a" * 16, "project")
    assert sent.to(tmp_path, "project") == set()
