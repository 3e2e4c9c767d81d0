"""The walls between rooms, as each tells them: imports in functions and for types count."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter

from documents import PAGES, ROOT

PACKAGE = ROOT / "src" / "transfergrid"
MODULES = {
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): (
        ast.parse(file.read_text())
    )
    for file in PACKAGE.rglob("*.py")
}
ROOMS = {
    path.parent.name: ast.get_docstring(MODULES[f"transfergrid.{path.parent.name}"])
    for path in PACKAGE.glob("*/__init__.py")
}


def said(room, after):
    return re.search(rf"{after}: (.*?)\.", ROOMS[room], re.S)[1].split(", ")


def room_of(module):
    return [*module.split("."), ""][1]


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            wholes = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (whole if whole in MODULES else node.module for whole in wholes)


IMPORTS = {module: {*imported(tree)} - {module} for module, tree in MODULES.items()}


def test_rooms_are_few_and_nothing_is_imported_across_a_wall():
    assert len(ROOMS) <= 9
    assert not {*ROOMS} & {"core", "common", "utils", "misc"}
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py", "api.py"}
    for module, names in IMPORTS.items():
        if (room := room_of(module)) in ROOMS:
            ours, never = {room_of(name) for name in names & {*MODULES}}, {*said(room, "Never")}
            assert ours <= {room, *said(room, "May import")}, module
            assert not {name.split(".")[0] for name in names} & never, module


def test_there_is_no_circle_and_no_house_of_more_than_ten_floors():
    floors, rooms = {}, {room_of(module): set() for module in MODULES}
    TopologicalSorter({module: names & {*MODULES} for module, names in IMPORTS.items()}).prepare()
    for module, names in IMPORTS.items():
        rooms[room_of(module)] |= {*map(room_of, names & {*MODULES})} - {room_of(module)}
    for room in TopologicalSorter(rooms).static_order():
        floors[room] = 1 + max((floors[other] for other in rooms[room]), default=0)
    assert max(floors.values()) <= 10


def test_what_judges_runs_where_nothing_can_be_trained():
    """Here "never" means not even by way of another library."""
    for room in ("records", "evidence", "report"):
        modules = ", ".join(name for name in MODULES if room_of(name) == room)
        code = f"import sys, {modules}; print({{*{said(room, 'Never')}}} & {{*sys.modules}})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (done.stdout.strip(), done.stderr) == ("set()", "")


def test_the_page_says_of_each_room_what_the_room_says_of_itself():
    for room, text in ROOMS.items():
        lists = [", ".join(said(room, after)) for after in ("May import", "Never")]
        row = f"| `{room}` | {text.partition(chr(10))[0]} | {' | '.join(lists)} |"
        assert row in PAGES["architecture.md"]
