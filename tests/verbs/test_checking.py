"""`transfergrid check` tells each rule on a line, and leaves with 1 where one is broken."""

import pytest

from transfergrid.testing import CHECKS, run_check
from transfergrid.verbs.cli import main
from transfergrid.verbs.describing import class_of

OWN = """
from transfergrid.strategies.base import Strategy


class Own(Strategy):
    def loss(self, batch, progress):
        return super().loss(batch, progress).detach()
"""


def leaves(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    told = capsys.readouterr()
    return left.value.code, told.out.splitlines(), told.err


def test_a_shipped_strategy_keeps_every_rule_its_own_yaml_among_them(capsys):
    code, lines, _ = leaves(["check", "majority"], capsys)
    assert lines == [
        *(f"kept    {rule}" for rule in CHECKS),
        f"Majority keeps all {len(CHECKS)} rules",
    ]
    assert code == 0


def test_a_broken_one_is_told_with_its_place_and_mending(capsys, tmp_path, monkeypatch):
    (tmp_path / "own_check.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    code, lines, _ = leaves(["check", "own_check.Own"], capsys)
    assert code == 1
    broken = [line for line in lines if line.startswith("BROKEN")]
    assert [line.partition(":")[0] for line in broken] == ["BROKEN  loss_is_a_finite_scalar"]
    assert "has no gradient. Compute it from what its objective lets learn" in broken[0]
    after = lines[lines.index(broken[0]) + 1 : -1]
    assert after[0] == "not run everything_is_in_its_state"
    assert all(line.startswith("not run") for line in after)
    assert lines[-1] == f"Own breaks 1 of {len(CHECKS)} rules"


def test_the_file_that_describe_writes_is_the_class_s_own(tmp_path, monkeypatch, yaml_rules):
    (tmp_path / "own_plain.py").write_text(OWN.partition("    def loss")[0] + "    pass\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["describe", "own_plain.Own", "--write", "own.yaml"])
    for rule in yaml_rules:
        run_check(rule, class_of("own_plain.Own"), tmp_path / "own.yaml")


@pytest.fixture
def yaml_rules():
    return [rule for rule in CHECKS if "yaml" in rule]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["majorty"], "give a shipped strategy's name, or MODULE.CLASS"),
        (["transfergrid.testing.tiny.TinyDomain"], "no strategy"),
        (["majority", "--yaml", "nowhere.yaml"], "there is no file nowhere.yaml"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_a_line(words, told, capsys):
    code, lines, err = leaves(["check", *words], capsys)
    assert code == 2
    assert told in err
    assert not lines
