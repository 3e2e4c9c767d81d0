"""Help fits a terminal of 80 columns: the command's own, and every verb's."""

import pytest

from transfergrid.verbs.cli import VERBS, main
from transfergrid.verbs.configs.keys import KEYS
from transfergrid.verbs.parser import Parser


@pytest.mark.parametrize("verb", [None, *VERBS])
@pytest.mark.parametrize("columns", [80, 60])
def test_help_fits(verb, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as left:
        main([*([verb] if verb else []), "--help"])
    shown = capsys.readouterr().out
    assert left.value.code in (0, None)
    assert max(map(len, shown.splitlines())) <= (columns if verb else 80)
    assert "--allow" in shown
    if verb:
        assert f"usage: transfergrid {verb}" in " ".join(shown.split())
    else:
        assert all(f"transfergrid {name}" in shown for name in VERBS)
        assert {key for key in KEYS if key not in shown} == set(), "every key is named"


def test_nothing_is_lost_where_lines_are_cut(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    words = [f"word{n}" for n in range(60)]
    parser = Parser(prog="x", epilog=" ".join(words))
    assert [word for word in parser.format_help().split() if word.startswith("word")] == words
