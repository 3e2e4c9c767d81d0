"""A page for each strategy, made from its class, its YAML and the tests that prove it.

python docs/strategy_pages.py [FOLDER]
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from reference import cell, described, plain

from transfergrid.records.factory import locate
from transfergrid.records.shipped import conf_dir, strategies
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.composition.offered import ADDITIONS

HERE = Path(__file__).parent
MADE = "% Made by `python docs/strategy_pages.py` from the class, its YAML and the marks of tests."
SECTIONS = ("Formula", "Try it", "Cost", "Source")
"""What each class says of itself, before its arguments."""
SOURCES = {
    "none": "none: plain features of the target",
    "domain": "its labelled domain alone, no network",
    "architecture": "its architecture alone",
    "start": "its weights before the source domain was learned",
    "weights": "its weights",
    "head": "its weights, and the head that was trained with them",
}
STATISTICS = {
    "recorded": "target batches move its running statistics",
    "normalised": "unlabelled batches are normalised by their own statistics, which are not kept",
    "unseen": "no target batch moves its running statistics, or is normalised by its own",
}
"""What a network's BatchNorm layers do with target batches, if it has any."""
LABELS = {
    "required": "required",
    "optional": "used where there are any",
    "unused": "never seen: `labels=0`",
}
LAYERS = {"batch_norm": "BatchNorm", "norm": "a norm of any kind", "tokens": "tokens"}
ADDED = "[additions](index.md#additions)"
BADGES = {
    "formula_exact": "its loss, weights or rates are the published values",
    "trajectory_exact": "its parameters after 20 steps are those of an independent loop",
    "band_reproduced": "a score found elsewhere is met",
}
ROOMS = {
    "fine_tuning": "Fine-tuning, staged or not",
    "held_near": "Held near the source",
    "few_parameters": "Few parameters",
    "beside": "Beside the source",
    "weight_space": "In weight space",
    "closed_form": "Without gradients",
    "distillation": "Distillation",
    "adaptation": "Adaptation to unlabelled inputs",
    "self_training": "Self-training on unlabelled inputs",
    "shallow": "Adaptation without gradients",
    "several_sources": "Several sources",
    "label_shift": "Other shares of classes",
    "few_examples": "From a few examples",
    "no_examples": "From descriptions alone",
    "unlabelled": "From inputs without labels",
    "tasks": "Several tasks",
    "baselines": "Baselines and references",
}


ON_TEXTS = ("source=minilm", "target=sst2", "training=text")
"""Where a method of tokens is tried, of texts, or of transformers."""
ON_PICTURES = ("source=mobilenetv2_insects", "target=flowers", "training=images")
"""Where a method of sources with many classes is tried."""
OF_TWO = ("'source=[glyph_digits,glyph_digits(domain.inverted=true)]'",)
"""Where a method of several sources is tried."""
CHAIN = ("source=trained_here", "'target@source.domain=[glyph_letters,glyph_digits]'")
"""Where a method of tasks that follow each other is tried."""
PARTIAL = ("'target.only=[0,1,2,3]'",)
OPEN = ("'source.domain.only=[0,1,2,3,4,5]'",)
"""Where a method of targets with fewer classes than the source is tried, and of such with more."""
EPISODES = (
    *("source=glyph_letters", "'source.domain.only=[A,B,C,D,E,F,G,H,I,J,K,L,M]'"),
    *("target=episodes", "'target.domain.only=[N,O,P,Q,R,S,T,U,V,W,X,Y,Z]'"),
)
"""Where a method of few examples of new classes is tried."""
UNSEEN = (
    *("source=glyph_letters", "'source.domain.only=[A,B,C,D,E,F,G,H,I,J,K,L,M]'"),
    *("target=glyph_letters", "'target.only=[N,O,P,Q,R,S,T,U,V,W,X,Y,Z]'"),
)
"""Where a method of classes without examples is tried."""
NOTHING = "nothing"
"""What is transferred by whom transfer is compared with."""
PLACES = {
    **dict.fromkeys(["bitfit", "bottleneck_adapters", "ia3", "lora", "mixout"], ON_TEXTS),
    "co_tuning": ON_PICTURES,
    "further_pretraining": ON_TEXTS,
    **dict.fromkeys(["m3sda", "mdan", "weighted_sources"], OF_TWO),
    **dict.fromkeys(["task_arithmetic", "ties_merging"], OF_TWO),
    **dict.fromkeys(["sequential", "progressive_columns"], CHAIN),
    **dict.fromkeys(["iwan", "pada"], PARTIAL),
    "osbp": OPEN,
    **dict.fromkeys(["prototypical_networks", "matching_networks", "siamese"], EPISODES),
    **dict.fromkeys(["simple_shot", "maml", "reptile"], EPISODES),
    **dict.fromkeys(["direct_attribute_prediction", "eszsl", "ale"], UNSEEN),
    "text_prototypes": ("source=minilm", "target=trec_fine", "training=text"),
}
"""Where a method makes sense that would run, or be refused, on the small networks at hand."""


class Told(NamedTuple):
    """What is known of one strategy."""

    name: str
    kind: type[Strategy]
    config: Mapping[str, Any]
    proofs: Mapping[str, list[str]]
    """The files of tests that prove each badge."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What its YAML says of it."""
        about: Mapping[str, Any] = self.config["about"]
        return about

    @property
    def room(self) -> str:
        """The package that its file lies in."""
        return self.kind.__module__.split(".")[-2]


def write(folder: Path) -> None:
    """Write all pages into a folder, and take away what is of no strategy any more."""
    folder.mkdir(exist_ok=True)
    made = pages()
    for old in folder.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Return each page's text by its file's name."""
    proofs = proven(HERE.parent / "tests")
    found = [_told(name, proofs) for name in strategies()]
    made = {f"{told.name}.md": "\n".join(page(told)) + "\n" for told in found}
    return {"index.md": "\n".join(index(found)) + "\n", **made}


def _told(name: str, proofs: Mapping[tuple[str, str], list[str]]) -> Told:
    config = yaml.safe_load((conf_dir() / "strategy" / f"{name}.yaml").read_text(encoding="utf-8"))
    own = {badge: proofs.get((badge, name), []) for badge in config["about"].get("badges", [])}
    return Told(name, locate(config["_target_"]), config, own)


def proven(tests: Path) -> dict[tuple[str, str], list[str]]:
    """Return the files of tests that prove a badge of a strategy, by both, from their marks."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        for call in ast.walk(ast.parse(text)) if ".proves(" in text else ():
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "proves":
                badge, name = (ast.literal_eval(argument) for argument in call.args)
                files = found.setdefault((badge, name), [])
                files += [str(path.relative_to(tests.parent))] if str(path) not in files else []
    return {key: sorted(set(files)) for key, files in found.items()}


# One page ---------------------------------------------------------------------------------------


def page(told: Told) -> Iterator[str]:
    """Yield the lines of a strategy's page."""
    said = sections(told.kind)
    yield from [MADE, "", f"# {told.name}", "", *_paragraphs(said[""])]
    if names := list(_names(told)):
        yield from [" ".join(names), ""]
    yield from ["```text", said["Formula"], "```", ""]
    for title in SECTIONS[1:]:
        yield from [f"**{title}**: {_sentence(said[title])}", ""]
    yield from ["```bash", command(told), "```", "", "## Needs", "", *_needs(told), ""]
    yield from ["## Knobs", "", *_knobs(told), "", "## Proven", "", *_proven(told)]


def _names(told: Told) -> Iterator[str]:
    """Yield sentences of its other usual names, and of those that mean an option of it."""
    if told.about.get("also_called"):
        yield f"Also called {', '.join(map(_code, told.about['also_called']))}."
    for name, typed in told.about.get("variants", {}).items():
        yield f"`{name}` is `strategy={told.name} {typed}`."


def sections(kind: type) -> dict[str, str]:
    """Return what a class's docstring says under each of its titles; "" is what comes first.

    Raises:
        KeyError: one of `SECTIONS` is missing.
    """
    text = inspect.getdoc(kind) or ""
    parts = re.split(r"(?m)^([A-Z][\w ]*):\n(?=    )", text)
    found = {"": parts[0].strip()}
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        found[title] = inspect.cleandoc(f"\n{body}").strip()
    lacking = [title for title in SECTIONS if title not in found]
    if lacking:
        raise KeyError(f"the docstring of {kind.__qualname__} has no {', '.join(lacking)}")
    return found


def _sentence(text: str) -> str:
    """Return a text that begins and ends as sentences do."""
    whole = plain(text)
    return whole[:1].upper() + whole[1:] + ("" if whole.endswith(".") else ".")


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        yield from [plain(paragraph), ""]


def _code(word: object) -> str:
    return f"`{word}`"


def command(told: Told) -> str:
    """Return a command that runs it on what is at hand, or on the real data it needs."""
    needs, words = told.about["needs"], ["transfergrid", f"strategy={told.name}"]
    words += ON_TEXTS if needs.get("layers") == "tokens" else PLACES.get(told.name, ())
    words += ["tuning=random"] if needs.get("trials") else []
    few = "5" if "target=episodes" in words else "20"
    if "completion" in needs["tasks"]:
        words += ["source=planted_ratings"] if needs["domains"] else []
        words, few = [*words, "target=planted_ratings"], "600"
    elif "clustering" in needs["tasks"]:
        words += ["target=digits", "target.metric=nmi"]
    elif "classification" not in needs["tasks"]:
        words += ["target=glyph_angles"]
    words += ["labels=0" if needs["target_labels"] == "unused" else f"labels={few}"]
    return " ".join([*words, "'seed=range(5)'"])


def _needs(told: Told) -> Iterator[str]:
    needs = told.about["needs"]
    yield f"- of the source: {SOURCES[needs['source']]}"
    if needs["domains"]:
        pairs = " and ".join(needs.get("pairs", ()))
        same = f"the target's, in pairs that are {pairs}" if pairs else "the target's"
        described = "others than the target's, described by the same numbers"
        others = described if needs["classes"] == "described" else "any"
        classes = same if needs["classes"] == "same" else others
        several = needs["domains"] > 1
        which = "the labelled examples of two sources or more, a batch of each at every step"
        whose = which if several else "the source's labelled examples, while it learns"
        yield f"- {whose}; their classes: {classes}"
    if needs.get("each"):
        yield "- the weights of two sources or more, each trained here from the same start"
    yield f"- target labels: {LABELS[needs['target_labels']]}"
    if needs["classes"] == "named":
        yield "- texts of the target's classes: their descriptions, or their names"
    if needs["unlabelled"]:
        yield "- target inputs without labels"
    if needs["teacher"]:
        yield "- a teacher, which is the source adapted beforehand; its steps are counted apart"
    if needs.get("layers", "any") in LAYERS:
        yield f"- a network with {LAYERS[needs['layers']]}"
    if needs.get("trials"):
        yield "- a tuned cell, of whose trials it is made: `tuning=random`"
    if not needs["steps"]:
        yield "- no step: it is one cell under every training"
    yield f"- targets of {' and '.join(needs['tasks'])}"
    yield f"- setting: {told.about['setting']}; {_transferred(told.about['transfers'])}"
    yield f"- BatchNorm: {STATISTICS[told.about.get('target_statistics', 'recorded')]}"
    yield f"- compared with {_baselines(told.about['baselines'], _inner(told))}"


def _transferred(what: str) -> str:
    carried = f"what is transferred: {what}"
    return "nothing is transferred: it learns from the target alone" if what == NOTHING else carried


def _inner(told: Told) -> dict[str, str]:
    """Return the names of the strategies inside one, by their keys."""
    parts = [entry for entry in told.config.get("defaults", []) if isinstance(entry, dict)]
    return {place.partition("@")[2]: name for part in parts for place, name in part.items()}


def _baselines(known: Mapping[str, Any], inner: Mapping[str, str]) -> str:
    first = [known.get("labelled"), known.get("unlabelled")]
    names = [name for name in dict.fromkeys([*first, *known.get("exploratory", [])]) if name]
    shown = ", ".join(
        f"`{name}` alone, such as [{inner[name]}]({inner[name]}.md)"
        if name in inner
        else f"[{name}]({name.partition('@')[0]}.md)"
        for name in names
    )
    return shown or "nothing: others are compared with it"


def _knobs(told: Told) -> Iterator[str]:
    meanings = {k: v for kind in reversed(told.kind.__mro__) for k, v in described(kind).items()}
    own = _inner(told)
    shared = _additions(told)
    hidden = {"_target_", "defaults", "about", *shared}
    names = [*own, *(key for key in told.config if key not in hidden)]
    if names:
        yield "| key | default | range of a search | meaning |"
        yield "| --- | --- | --- | --- |"
    for name in names:
        value = told.config.get(name, own.get(name))
        space = told.about["space"].get(name, {})
        words = [_code(name), _default(value, space), _range(space), cell(meanings.get(name, ""))]
        yield f"| {' | '.join(words)} |"
    if taken := [key for key in shared if _takes(told, key)]:
        yield from ["", f"It also takes {', '.join(map(_code, taken))}: see {ADDED}."]
    elif not names:
        yield "None."


def _additions(told: Told) -> list[str]:
    """Return the keys that it shares with other methods; `optional` has younger ones of its own."""
    known = {addition.key for addition in ADDITIONS}
    return [key for key in told.about.get("optional", []) if key in known]


def _takes(told: Told, key: str) -> bool:
    """Return whether an addition can be, as far as the class alone can tell."""
    (addition,) = (addition for addition in ADDITIONS if addition.key == key)
    return key not in told.kind.closed_to and not addition.why_not(told.kind.needs)


def _default(value: object, space: Mapping[str, Any]) -> str:
    if isinstance(value, dict):  # a part, by the name of its class
        return _code(str(value.get("_target_", "")).rpartition(".")[2])
    plainly = {None: "null", True: "true", False: "false"}
    shown = _code(plainly[value] if value is None or isinstance(value, bool) else value)
    under = [
        f"`training={name}` {number:g}"
        for kind, number in space.get("under", {}).items()
        for name in _trainings()[kind]
    ]
    return f"{shown}; {', '.join(under)}" if under else shown


@cache
def _trainings() -> dict[str, list[str]]:
    """Return the names of the trainings of each kind, of which strategies have own defaults."""
    found: dict[str, list[str]] = {}
    for path in sorted((conf_dir() / "training").glob("*.yaml")):
        about = yaml.safe_load(path.read_text(encoding="utf-8"))["about"]
        found.setdefault(about.get("kind", ""), []).append(path.stem)
    return found


def _range(space: Mapping[str, Any]) -> str:
    if not space:
        return ""
    if "choices" in space:
        return ", ".join(map(str, space["choices"]))
    if around := space.get("around"):
        return f"{1 / around:g} to {around:g} times the default, log"
    log = ", log" if space.get("log") else ""
    return f"{space['low']:g} to {space['high']:g}{log}"


def _proven(told: Told) -> Iterator[str]:
    for badge, files in told.proofs.items():
        yield f"- *{badge.replace('_', '-')}*: {BADGES[badge]} ({', '.join(map(_code, files))})"
    yield "- it keeps the rules of the conformance suite: `transfergrid check " + told.name + "`"


# All of them ------------------------------------------------------------------------------------


def index(found: list[Told]) -> Iterator[str]:
    """Yield the lines of the page that lists all strategies by their rooms."""
    yield from [MADE, "", "# Strategies", ""]
    yield "In a terminal: `transfergrid list strategies`, `--where 'transfers=features'` to choose."
    yield "What the words mean is told in [the field's words](../field_words.md); how one is"
    yield from ["written, in [strategies, by example](../strategies_by_example.md).", ""]
    for room in dict.fromkeys([*ROOMS, *(told.room for told in found)]):
        members = [told for told in found if told.room == room]
        if members:
            yield from [f"## {ROOMS.get(room, room.replace('_', ' ').capitalize())}", ""]
            yield from [_intro(members[0]), "", *_catalogue(members), ""]
    yield from ["## Additions", "", "What any gradient strategy takes.", "", *_shared(found), ""]
    yield from ["## What is proven", ""]
    yield from (f"- *{badge.split('_')[0]}*: {meaning}" for badge, meaning in BADGES.items())
    names = sorted(told.name for told in found)
    yield from ["", "```{toctree}", ":hidden:", "", *names, "```"]


def _intro(told: Told) -> str:
    package = import_module(told.kind.__module__.rpartition(".")[0])
    return plain(inspect.getdoc(package) or "")


def _catalogue(members: list[Told]) -> Iterator[str]:
    yield "| strategy | what it does | setting | transfers | proven |"
    yield "| --- | --- | --- | --- | --- |"
    for told in members:
        about = told.about
        badges = ", ".join(badge.split("_")[0] for badge in about.get("badges", []))
        words = [f"[{told.name}]({told.name}.md)", cell(about["help"])]
        yield f"| {' | '.join([*words, about['setting'], about['transfers'], badges])} |"


def _shared(found: list[Told]) -> Iterator[str]:
    """Yield the keys that are added to other methods, and who does not take each."""
    meanings = described(Strategy)
    taking = {key for told in found for key in _additions(told)}
    yield "| key | meaning |"
    yield "| --- | --- |"
    for key in [name for name in meanings if name in taking]:
        yield f"| {_code(key)} | {cell(meanings[key])} |"
    yield from ["", "A strategy that cannot take one says so in one line and why."]


def main(arguments: Sequence[str] | None = None) -> None:
    """Obey `python docs/strategy_pages.py [FOLDER]`."""
    parser = argparse.ArgumentParser(description="Write a page of the docs for each strategy.")
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=HERE / "strategies",
        help="of the pages; others that lie there are taken away (default: %(default)s)",
    )
    write(parser.parse_args(arguments).folder)


if __name__ == "__main__":
    main()
