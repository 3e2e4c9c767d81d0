"""Each strategy has its page of the docs, made from its class, its YAML and the tests' marks."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from composed import planned
from transfergrid.records.factory import locate
from transfergrid.records.shipped import conf_dir, strategies
from transfergrid.runs.checking import check_parts

TRAININGS = {
    **{"brief": "brief", "small_images": "digits28", "images": "images", "text": "text"},
    "vectors": "vectors",
}
DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS))

import strategy_pages  # noqa: E402 (beside the docs' other pages)


@pytest.fixture(scope="module")
def pages():
    return strategy_pages.pages()


@pytest.mark.parametrize("name", strategies())
def test_every_strategy_says_formula_when_cost_and_source(name):
    said = strategy_pages.sections(locate(strategies()[name]))
    assert all(len(said[title]) > 3 for title in strategy_pages.SECTIONS)
    assert len(said[""].splitlines()[0]) > 20


def test_a_docstring_without_one_is_told():
    class Silent:
        """Does something.

        Formula:
            x
        """

    with pytest.raises(KeyError, match="Silent has no Try it, Cost, Source"):
        strategy_pages.sections(Silent)


def test_each_page_holds_what_a_reader_asks_for(pages):
    assert {name.removesuffix(".md") for name in pages} == {*strategies(), "index"}
    for name in strategies():
        text, about = pages[f"{name}.md"], yaml_of(name)["about"]
        for part in ("```text\n", "**Try it**", "**Cost**", "**Source**", "## Needs", "## Knobs"):
            assert part in text, (name, part)
        for key, space in about["space"].items():
            (row,) = re.findall(rf"^\| `{key}` \|.*$", text, re.M)
            ends = f"{space['low']:g} to {space['high']:g}"
            assert ("0.1 to 10 times the default" if "around" in space else ends) in row, (
                name,
                key,
            )
            assert not row.endswith("|  |"), f"{name}: nothing is said of {key}"
            for kind, number in space.get("under", {}).items():
                assert f"`training={TRAININGS[kind]}` {number:g}" in row, (name, key)
        assert not re.search(r"^\| `.*\bNone\b", text, re.M), f"{name}: null is typed"
        for badge in about.get("badges", []):
            (line,) = re.findall(rf"^- \*{badge.replace('_', '-')}\*.*$", text, re.M)
            assert "tests/" in line


def test_pages_stand_as_they_are_made(pages):
    there = {path.name: path.read_text() for path in (DOCS / "strategies").glob("*.md")}
    stale = sorted(n for n in {*pages, *there} if pages.get(n) != there.get(n))
    assert not stale, "python docs/strategy_pages.py makes them anew"


def test_links_between_pages_lead_to_pages(pages):
    for name, text in pages.items():
        for link in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert link in pages or (DOCS / "strategies" / link).resolve().is_file(), (name, link)


@pytest.mark.parametrize("name", strategies())
def test_its_command_can_be_typed(pages, name):
    (line,) = re.findall(r"^transfergrid (.*)$", pages[f"{name}.md"], re.M)
    words = line.replace("'", "").split()
    if {*strategy_pages.ON_TEXTS, *strategy_pages.ON_PICTURES} & {*words}:  # where the data are
        chosen = [word.split("=") for word in words if not word.startswith(("labels", "seed"))]
        assert all((conf_dir() / group / f"{option}.yaml").is_file() for group, option in chosen)
        return
    plan = planned(*words)
    own = [cell for cell in plan.cells if cell.names.strategy == name]
    assert own, plan.skipped
    assert check_parts(own[0]) >= 0


def yaml_of(name):
    return yaml.safe_load((conf_dir() / "strategy" / f"{name}.yaml").read_text())


@pytest.mark.parametrize(("typed", "code"), [(["--help"], 0), (["--fold", "x"], 2)])
def test_an_option_is_no_folder(typed, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        strategy_pages.main(typed)
    assert ended.value.code == code
    assert not list(tmp_path.iterdir())


def test_pages_of_what_is_gone_are_taken_away(tmp_path):
    (tmp_path / "gone.md").write_text("old")
    strategy_pages.write(tmp_path)
    assert not (tmp_path / "gone.md").exists()
    assert (tmp_path / "l2_sp.md").is_file()
