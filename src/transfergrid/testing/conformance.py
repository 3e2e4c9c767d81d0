"""The conformance suite: it checks that a strategy keeps the rules of a fair comparison.

    from transfergrid.testing import check_strategy
    check_strategy(MyStrategy, yaml=Path("conf/strategy/my_strategy.yaml"))

or `transfergrid check my_strategies.MyStrategy --yaml conf/strategy/my_strategy.yaml`, or, with one
line for each rule in pytest's report,

    @pytest.mark.parametrize("check", CHECKS)
    def test_my_strategy(check):
        run_check(check, MyStrategy, yaml=...)
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transfergrid.records.errors import BadInputError, ImpossibleError, check_known
from transfergrid.records.metrics import CLASSES, ENTRIES, NUMBERS
from transfergrid.sources.source import Architecture
from transfergrid.strategies.base import Strategy
from transfergrid.strategies.composition.offered import ADDITIONS
from transfergrid.testing import (
    belonging,
    cutting,
    declarations,
    devices,
    keeping,
    learning,
    phasing,
    running,
    stacking,
)
from transfergrid.testing.bench import Bench, quiet_thread, source_domain
from transfergrid.testing.found import Broken, expect
from transfergrid.testing.tiny import TinySource

Check = Callable[[Bench], None]

_ADDED = [addition.key for addition in ADDITIONS]
_LEARNS: tuple[tuple[Check, ...], ...] = (
    (
        learning.reads_only_what_it_declares,
        learning.combine_keeps_shapes,
        learning.loss_is_a_finite_scalar,
    ),
    (belonging.everything_is_in_its_state, belonging.made_in_build),
    (running.same_seed_same_result,),
    (running.predictions_repeat,),
    (
        learning.gradients_where_declared,
        running.frozen_stays_frozen,
        running.sees_the_batches_of_its_block,
        running.cannot_reach_the_test_split,
        running.sees_only_its_labels,
        running.saved_and_loaded,
        running.one_example_is_enough,
        learning.unlabelled_moves_no_statistics,
        stacking.stackable_loss_is_pure,
        devices.goes_where_it_is_put,
    ),
    (
        cutting.learns_in_parts,
        cutting.cut_and_resumed,
        cutting.still_blocks_run_ahead,
        keeping.kept_and_used,
    ),
)
"""The stages of checks for a strategy that can be attached."""
_OF_THE_DATA = (
    running.same_seed_same_result,
    running.sees_the_batches_of_its_block,
    running.cannot_reach_the_test_split,
    running.sees_only_its_labels,
    cutting.learns_in_parts,
)
"""Checks whose result does not depend on the network."""
_ON_ONE_KIND = (*_OF_THE_DATA, cutting.cut_and_resumed, cutting.still_blocks_run_ahead)
"""Checks whose result does not depend on the kind of label, or that need further runs."""


def holds_on_tokens(bench: Bench) -> None:
    """The same rules hold on a vision transformer, without BatchNorm, as on convolutions."""
    tokens = bench.on_tokens()
    if not bench.strategy_class.needs.has_network or bench.source == tokens.source:
        return
    if bench.is_of_texts or _is_refused(tokens):
        return
    _expect_all(
        tokens,
        _OF_THE_DATA,
        "on a vision transformer",
        "Take no shape and no kind of layer for granted; what a network lacks that the method "
        "needs, refuse in build",
    )


def holds_on_texts(bench: Bench) -> None:
    """The same rules hold on texts, whose inputs are a dict and differ in length, as on images."""
    if any(isinstance(value, Architecture) for value in bench.arguments.values()):
        return  # which is one for images
    texts = bench.on_texts()
    if bench.is_of_texts or bench.is_of_entries or _is_refused(texts):
        return
    _expect_all(
        texts,
        (cutting.learns_in_parts,),
        "on texts",
        "Hand inputs to the backbone as they come, and use take, join_inputs and size_of of views",
    )


def holds_on_vectors(bench: Bench) -> None:
    """The same rules hold on vectors, with a network of dense layers alone, as on images."""
    if any(isinstance(value, Architecture) for value in bench.arguments.values()):
        return  # which is one for images
    vectors = bench.on_vectors()
    if bench.is_of_texts or bench.is_of_entries or _is_refused(vectors):
        return
    _expect_all(
        vectors,
        _OF_THE_DATA,
        "on vectors",
        "Hidden states are (batch, width) there: take no map and no convolution for granted; what "
        "a network lacks that the method needs, refuse in build",
    )


def _is_refused(bench: Bench) -> bool:
    """Return whether `build` refuses such a network, by ImpossibleError or BadInputError.

    Raises:
        Broken: it raises ImpossibleError, and `needs` does not announce that it may.
    """
    try:
        bench.spare(bench.budgets()[0])
    except ImpossibleError as error:
        told = bench.strategy_class.needs.are_choosy or {*bench.arguments} & {*_ADDED}
        expect(
            bool(told),
            f"build says that it is impossible ({error}), and needs say layers: any",
            'Say layers="some" in needs, or what is looked for: a grid then tries each source',
        )
        return True
    except BadInputError:
        return True
    except Exception:  # the check that meets it reports it
        return False
    return False


def holds_on_numbers(bench: Bench) -> None:
    """The same rules hold for numbers as labels as for classes, if `needs.tasks` has numbers."""
    tasks, numbers = bench.strategy_class.needs.tasks, bench.on_numbers()
    numbers = numbers.on_texts() if bench.is_of_texts else numbers
    if bench.of_numbers or NUMBERS not in tasks or _is_refused(numbers):
        return
    _expect_all(
        numbers,
        _ON_ONE_KIND,
        "with numbers for labels",
        "Take head, loss and what is predicted from self.task; or say in needs "
        f'tasks=("{CLASSES}",)',
    )


def _expect_all(bench: Bench, without: Sequence[Check], where: str, mend: str) -> None:
    for check in [check for stage in _LEARNS for check in stage if check not in without]:
        try:
            check(bench)
        except Broken as broken:
            raise Broken(f"{where}: {broken}") from broken
        except Exception as error:
            raise Broken(
                f"{where} it raises {type(error).__name__}: {error} ({_where(error)}). {mend}."
            ) from error


_STAGES: tuple[tuple[Check, ...], ...] = (
    (
        declarations.arguments_equal_yaml_keys,
        declarations.yaml_values_equal_defaults,
        declarations.yaml_describes_the_class,
        declarations.survives_its_own_config,
        declarations.space_fits_the_constructor,
        declarations.defines_nothing_that_nobody_calls,
    ),
    (
        phasing.phases_answer_alike,
        phasing.shares_make_one,
        phasing.groups_are_its_own,
        phasing.phases_read_what_needs_grant,
    ),
    *_LEARNS,
    (holds_on_tokens,),
    (holds_on_numbers,),
    (holds_on_texts,),
    (holds_on_vectors,),
)
"""A stage runs only if all before it have passed: without a loss there is no run to judge."""

CHECKS: tuple[str, ...] = tuple(check.__name__ for stage in _STAGES for check in stage)
"""The names of all checks, in order."""
_BY_NAME: dict[str, Check] = {check.__name__: check for stage in _STAGES for check in stage}


class ConformanceError(AssertionError):
    """A strategy breaks rules; the message says which, where, and how to fix them.

    Attributes:
        failures: maps the names of checks to what they found.
    """

    def __init__(self, strategy: str, failures: dict[str, str], left: int = 0) -> None:
        self.failures = failures
        lines = [f"- {name}: {found}" for name, found in failures.items()]
        if left:
            lines.append(f"({left} further checks were not run; they need these to pass)")
        super().__init__("\n".join([f"{strategy} is broken:", *lines]))


def check_strategy(
    strategy_class: type[Strategy], yaml: Path | None = None, **arguments: Any
) -> None:
    """Run all checks on tiny domains and a tiny source.

    Args:
        strategy_class: the class to check.
        yaml: its config file; without one, checks of the YAML are skipped.
        arguments: arguments of the constructor; those without a default that are not given here are
            taken from the YAML.

    Raises:
        ConformanceError: at least one check failed; it has all findings.
    """
    told = list(outcomes(strategy_class, yaml, **arguments))
    failures = {outcome.rule: outcome.found for outcome in told if outcome.found}
    if failures:
        left = sum(not outcome.was_run for outcome in told)
        raise ConformanceError(strategy_class.__name__, failures, left)


class Outcome(NamedTuple):
    """The result of one check; `found` is None if the rule is kept."""

    rule: str
    found: str | None = None
    was_run: bool = True


def outcomes(
    strategy_class: type[Strategy], yaml: Path | None = None, **arguments: Any
) -> Iterator[Outcome]:
    """Run all checks as `check_strategy` does and yield the result of each, in order."""
    bench, broken = bench_for(strategy_class, yaml, **arguments), False
    for stage in _STAGES:
        if broken:
            yield from (Outcome(check.__name__, was_run=False) for check in stage)
            continue
        failures: dict[str, str] = {}
        for check in stage:
            failures |= _run(check, bench)
        broken = bool(failures)
        names = dict.fromkeys([*(check.__name__ for check in stage), *failures])
        yield from (Outcome(name, failures.get(name)) for name in names)


def run_check(
    name: str, strategy_class: type[Strategy], yaml: Path | None = None, **arguments: Any
) -> None:
    """Run one of `CHECKS` by its name.

    Raises:
        BadInputError: there is no such check.
        ConformanceError: the strategy fails it.
    """
    check_known("check", name, CHECKS)
    found = _run(_BY_NAME[name], bench_for(strategy_class, yaml, **arguments))
    if found:
        raise ConformanceError(strategy_class.__name__, found)


def bench_for(strategy_class: type[Strategy], yaml: Path | None = None, **arguments: Any) -> Bench:
    """Return a bench for a strategy, on a kind of task and network that it accepts.

    Args:
        strategy_class: the strategy's class.
        yaml: its config file, for arguments that have no default.
        arguments: arguments of its constructor.
    """
    needed = declarations.arguments_in(yaml, strategy_class) if yaml else {}
    needs = strategy_class.needs  # the source's classes differ from the target's if they may
    source = TinySource(domain=source_domain(needs, differ=True))
    bench = Bench(strategy_class, {**needed, **arguments}, yaml, source=source)
    if CLASSES not in needs.tasks:
        kinds = {NUMBERS: bench.on_numbers, ENTRIES: bench.on_entries}
        bench = next((kinds[kind]() for kind in kinds if kind in needs.tasks), bench.on_clusters())
    with quiet_thread():
        others = (bench, bench.on_tokens(), bench.on_texts())
        return next((own for own in others if not _is_refused(own)), bench)


def _run(check: Check, bench: Bench) -> dict[str, str]:
    """Run a check; return the broken rule and what was found, or an empty dict."""
    try:
        with quiet_thread():
            check(bench)
    except Broken as broken:
        return {broken.rule or check.__name__: str(broken)}
    except Exception as error:  # whatever the author's code raises
        if isinstance(error, IndexError) and "out of bounds" in str(error) and _of_a_source(bench):
            return {check.__name__: f"{error} ({_where(error)}). {OTHER_CLASSES}."}
        return {check.__name__: f"it raises {type(error).__name__}: {error} ({_where(error)})."}
    return {}


OTHER_CLASSES = (
    "A source's classes may be others than the target's: take its head and its loss from "
    'self.source_tasks[0], not from self.task, or say in needs classes="same"'
)


def _of_a_source(bench: Bench) -> bool:
    needs = bench.strategy_class.needs
    return needs.domains > 0 and needs.classes != "same"


def _where(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"
