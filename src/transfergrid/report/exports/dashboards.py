"""A project's W&B pages, built by code: a workspace of panels, and a report with the same.

Every key that a panel reads is logged by a run: by a cell (`runs.run_cards.summary_of`) or by a
look at verdicts (`verdict_run`).
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.records.errors import BadInputError, as_line
from transfergrid.records.tracking.wandb_tracker import own_mode, silence
from transfergrid.report.exports.verdict_run import COUNT, HEAT_MAP, TABLE

STRATEGY, SOURCE, TARGET = "names.strategy", "names.source", "names.target"
"""The keys of a cell's config by which panels group."""
GAIN, BELOW = "gain_this_seed", "below_baseline"
NAME = "transfergrid"
MOST_RUNS = 100
"""The largest number of runs or groups that a panel draws."""
REACH_SECONDS = 5
HOW_TO_READ = f"""\
**{GAIN}** is a cell's test score minus its baseline's, of one seed, in points: more is better. A \
single seed proves nothing, and **{BELOW}** (1 or 0) says no more than that this one seed lies \
below. *Negative transfer* is a verdict over seeds and test items and stands in the verdict table \
only. Each row of that table is one `group` of runs; every look at a grid is a run of its own with \
job type `verdict`."""


@dataclass(frozen=True)
class Page:
    """The parameters of the pages.

    Args:
        project: the W&B project.
        entity: user or team; empty for W&B's default.
        study: the study to which runs are restricted; None for all.
        metrics: the metrics whose curves are shown.
    """

    project: str = "transfergrid"
    entity: str = ""
    study: str | None = None
    metrics: tuple[str, ...] = ("accuracy",)


@dataclass(frozen=True)
class Part:
    """A section: panels that answer one question.

    Args:
        name: its heading.
        panels: panels of wandb-workspaces.
        filters: the runs that a report shows in this section, in W&B's filter language; a workspace
            has one set of runs for all sections.
        order: the summary key by which a report's runs are sorted, ascending.
    """

    name: str
    panels: list[Any]
    filters: str = ""
    order: str | None = None


def parts(page: Page) -> list[Part]:
    """Return the sections, starting with the answer."""
    of_verdicts, of_cells = (f"Metric('JobType') == {kind!r}" for kind in ("verdict", "adapt"))
    below = f"{of_cells} and SummaryMetric({BELOW!r}) == 1"
    return [
        Part("Verdicts", _verdicts(), of_verdicts),
        Part("Gains, of single seeds", _gains(), of_cells),
        Part("Cells below their baseline, of single seeds", _below(), below, GAIN),
        Part("Curves by strategy", _curves(page.metrics), of_cells),
        Part("Cost", _cost(), of_cells),
    ]


def _verdicts() -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    kinds = [wr.SummaryMetric(COUNT + kind.key) for kind in Kind]
    failed = [wr.SummaryMetric(COUNT + name) for name in ("cells", "failed")]
    return [
        wr.WeavePanelSummaryTable(table_name=TABLE),
        wr.MediaBrowser(title="Gains, source by strategy", media_keys=[HEAT_MAP], num_columns=2),
        wr.BarPlot(title="Comparisons by verdict", metrics=kinds),
        wr.BarPlot(title="Cells, and those that failed", metrics=failed),
    ]


def _gains() -> list[Any]:
    by = {"strategy": STRATEGY, "source": SOURCE, "target": TARGET, "labels": "labels"}
    return [_bars(GAIN, f"Gain in points, by {word}", key) for word, key in by.items()]


def _below() -> list[Any]:
    return [
        _bars(BELOW, "Share of cells below, by strategy", STRATEGY),
        _bars(BELOW, "Share of cells below, by source", SOURCE),
        _bars(GAIN, "Worst gain in points, by strategy", STRATEGY, "min"),
        _bars("collapsed", "Share of cells that predict one class", STRATEGY),
    ]


def _curves(metrics: Sequence[str]) -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    keys = ["train/loss", "validation/loss", *(f"validation/{name}" for name in metrics)]
    return [
        wr.LinePlot(
            title=f"{key} over steps",
            y=[key],
            groupby=wr.Config(STRATEGY),
            groupby_aggfunc="mean",
            groupby_rangefunc="stderr",
            max_runs_to_show=MOST_RUNS,
        )
        for key in dict.fromkeys(keys)
    ]


def _cost() -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    gain, seconds = wr.SummaryMetric(GAIN), wr.SummaryMetric("seconds")
    return [
        wr.ScatterPlot(title="Gain against seconds", x=seconds, y=gain, log_x=True),
        _bars("seconds", "Seconds a cell, its source's training apart", STRATEGY),
        _bars("source_seconds", "Seconds of training the source here", SOURCE, "max"),
        _bars("parameters_trained", "Parameters trained", STRATEGY),
        _bars("peak_memory_bytes", "Most memory held, bytes", STRATEGY, "max"),
    ]


def _bars(key: str, title: str, by: str, how: Any = "mean") -> Any:
    from wandb_workspaces.reports import v2 as wr

    return wr.BarPlot(
        title=title,
        metrics=[wr.SummaryMetric(key)],
        groupby=wr.Config(by),
        groupby_aggfunc=how,
        groupby_rangefunc="minmax" if how == "mean" else "none",
        max_runs_to_show=MOST_RUNS,
    )


def workspace(page: Page) -> Any:
    """Return the workspace: runs grouped by job type, and by group (a cell without its seed)."""
    from wandb_workspaces import expr
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports import v2 as wr

    read = ws.Section(name="How to read this", panels=[wr.MarkdownPanel(HOW_TO_READ)], is_open=True)
    sections = [ws.Section(name=p.name, panels=p.panels, is_open=True) for p in parts(page)]
    columns = [f"summary:{key}" for key in (GAIN, BELOW, "seconds")]
    columns += [f"config:{key}" for key in (STRATEGY, SOURCE, TARGET, "labels", "seed")]
    return ws.Workspace(
        entity=page.entity,
        project=page.project,
        name=NAME if page.study is None else f"{NAME} {page.study}",
        sections=[read, *sections],
        settings=ws.WorkspaceSettings(max_runs=MOST_RUNS),
        runset_settings=ws.RunsetSettings(
            filters="Metric('JobType') in ['adapt', 'verdict']" + _of_study(page),
            groupby=[expr.Metric("JobType"), expr.Metric("Group")],
            order=[expr.Ordering(expr.Summary(GAIN), ascending=True)],
            pinned_columns=columns,
        ),
    )


def _of_study(page: Page) -> str:
    return f" and Metric('Tags') in [{page.study!r}]" if page.study else ""


def report(page: Page, online: bool = False) -> Any:
    """Return a W&B report of the same sections, each over its own runs.

    Args:
        page: the parameters of the pages.
        online: whether to name the project in every run set, which asks the server.
    """
    from wandb_workspaces.reports import v2 as wr

    place = {"entity": page.entity, "project": page.project} if online else {}
    blocks: list[Any] = [wr.MarkdownBlock(HOW_TO_READ)]
    for part in parts(page):
        order = [wr.OrderBy(wr.SummaryMetric(part.order), ascending=True)] if part.order else []
        runs = wr.Runset(
            **place,
            name=part.name,
            filters=part.filters + _of_study(page),
            **({"order": order} if order else {}),
        )
        blocks += [wr.H2(part.name), wr.PanelGrid(runsets=[runs], panels=part.panels)]
    title = f"Transfer: {page.study or page.project}"[:128]
    return wr.Report(
        project=page.project, entity=page.entity, title=title, blocks=blocks, width="fluid"
    )


def specification(page: Page, with_report: bool = False) -> dict[str, Any]:
    """Return workspace and report as JSON for W&B's servers; needs no server."""
    made = {"workspace": workspace(page)}
    if with_report:
        made["report"] = report(page)
    return {
        name: json.loads(built._to_model().model_dump_json(by_alias=True, exclude_none=True))
        for name, built in made.items()
    }


def save(page: Page, with_report: bool = False) -> list[str]:
    """Save the workspace, and optionally the report, on the server; return their URLs.

    Raises:
        BadInputError: the user is not logged in, or the server does not answer, or refuses.
    """
    import wandb

    if (mode := own_mode()) != "online":
        raise BadInputError("not logged in to W&B" if mode == "offline" else f"W&B is {mode}")
    server = str(wandb.setup().settings.base_url)
    _reach(server)
    saved: list[str] = []
    try:
        entity = page.entity or str(wandb.Api().default_entity)
        there = replace(page, entity=entity)
        with silence():
            saved.append(str(workspace(there).save().url))
            if with_report:
                saved.append(str(report(there, online=True).save().url))
    except Exception as error:  # W&B's clients raise anything
        before = f" (the workspace is saved: {saved[0]})" if saved else ""
        raise BadInputError(f"{server}: {as_line(error, 200)}{before}") from error
    return saved


def _reach(server: str) -> None:
    """Check once that a server answers: W&B's own client would retry for minutes."""
    try:
        urllib.request.urlopen(server, timeout=REACH_SECONDS).close()
    except urllib.error.HTTPError:
        return  # an answer
    except (OSError, ValueError) as error:
        raise BadInputError(f"{server} does not answer") from error
