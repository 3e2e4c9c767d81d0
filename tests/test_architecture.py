"""The walls between the rooms, as all imports have them, those in functions and for types too.

What a room may import stands in one place, its docstring; docs/architecture.md says the same.
"""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter

from documents import PAGES, ROOT

PACKAGE = ROOT / "src" / "transfergrid"


def name_of(file):
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): ast.parse(file.read_text()) for file in PACKAGE.rglob("*.py")}
ROOMS = {
    path.parent.name: ast.get_docstring(MODULES[name_of(path)])
    for path in PACKAGE.glob("*/__init__.py")
}


def said(room, after):
    """The names that a room's docstring lists after these words."""
    listed = re.search(rf"{after}: (.*?)\.", ROOMS[room], re.S)
    assert listed, f"the docstring of {room} does not say: {after}: ..."
    return listed[1].split(", ")


def room_of(module):
    return [*module.split("."), ""][1]


def imported(tree):
    """All that is imported anywhere in a file: modules of ours whole, others as they are named."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            wholes = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (whole if whole in MODULES else node.module for whole in wholes)


IMPORTS = {module: {*imported(tree)} for module, tree in MODULES.items()}
OURS = {module: (names & {*MODULES}) - {module} for module, names in IMPORTS.items()}


def floors(graph):
    """On which floor each stands, above all that it imports; raises where there is a circle."""
    found = {}
    for node in TopologicalSorter(graph).static_order():
        found[node] = 1 + max((found[other] for other in graph[node]), default=0)
    return found


def test_rooms_are_few_and_what_lies_at_the_root_is_known():
    assert len(ROOMS) <= 9
    assert not {*ROOMS} & {"core", "common", "utils", "misc"}
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py", "api.py"}


def test_nothing_is_imported_across_a_wall():
    crossing = []
    for module, names in IMPORTS.items():
        if (room := room_of(module)) in ROOMS:
            may, never = {room, *said(room, "May import")}, {*said(room, "Never")}
            ours = {other for other in OURS[module] if room_of(other) not in may}
            theirs = {other for other in names - {*MODULES} if other.split(".")[0] in never}
            crossing += [f"{module} -> {other}" for other in ours | theirs]
    assert crossing == []


def test_there_is_no_circle_and_no_house_of_more_than_ten_floors():
    assert floors(OURS)
    rooms = {room_of(module): set() for module in MODULES}
    for module, names in OURS.items():
        rooms[room_of(module)] |= {*map(room_of, names)} - {room_of(module)}
    assert max(floors(rooms).values()) <= 10


def test_what_judges_runs_where_nothing_can_be_trained():
    """Here "never" means not even by way of another library."""
    for room in ("records", "evidence", "report"):
        modules = ", ".join(name for name in MODULES if room_of(name) == room)
        code = f"import sys, {modules}; print({{*{said(room, 'Never')}}} & {{*sys.modules}})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (done.stdout.strip(), done.stderr) == ("set()", "")


def test_the_page_says_of_each_room_what_the_room_says_of_itself():
    for room, text in ROOMS.items():
        what = text.partition("\n")[0]
        lists = [", ".join(said(room, after)) for after in ("May import", "Never")]
        assert " | ".join([f"| `{room}`", what, *lists]) + " |" in PAGES["architecture.md"]
