"""From a planned grid to worker loops: writes the queue, starts the loops and watches them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from transfergrid.records.cell import Cell
from transfergrid.records.errors import BadInputError
from transfergrid.records.printing import say
from transfergrid.runs.launching.launchers import Ray, Slurm, Workers
from transfergrid.runs.launching.processes import Pool
from transfergrid.runs.launching.queue import Queue
from transfergrid.runs.launching.settings import Settings, cores_here
from transfergrid.runs.launching.tally import Tally
from transfergrid.runs.launching.watching import Loops, Watch


def launch(cells: Sequence[Cell], pool: Pool) -> None:
    """Let worker loops run these cells, and wait for them unless the launcher detaches.

    Args:
        cells: the cells that are not done, in their order.
        pool: the pool of the process that planned them; it counts how the cells end.

    Raises:
        BadInputError: loops cannot be started, or end one after another without any cell ending.
    """
    pool.stop()  # its worker was only needed to check the parts
    if not cells:
        return
    launcher = pool.settings.launcher
    count = launcher.count(cores_here(), pool.settings.gpus)
    queue = Queue.of(cells, pool.ledger, pool.settings)
    queue.write()
    loops = loops_of(queue, count, pool.settings)
    number = min(count, len(cells))
    say(f"starting {number} worker{'s' if number > 1 else ''} ({launcher.kind})", flush=True)
    if launcher.detach:
        loops.start(number)
        pool.outcome.detached = True
        say(f"{len(cells)} cells left to them; transfergrid status {pool.ledger.root} tells more")
        return
    own = {f.name: getattr(pool, f.name) for f in fields(Tally) if f.name != "tried"}
    watch = Watch(**own, loops=loops, count=count, tried=queue.tried)
    try:
        watch.run(cells)
    finally:
        loops.stop()
    if not watch.left and not pool.outcome.failed:
        queue.remove()


def loops_of(queue: Queue, count: int, settings: Settings) -> Loops:
    """Return the launcher's object that starts and stops worker loops for this queue."""
    launcher = settings.launcher
    if isinstance(launcher, Workers):
        from transfergrid.runs.launching.loops_here import LoopsHere

        return LoopsHere(launcher, queue, count, settings.gpus)
    if isinstance(launcher, Slurm):
        from transfergrid.runs.launching.loops_slurm import SlurmLoops

        return SlurmLoops(launcher, queue)
    if isinstance(launcher, Ray):
        from transfergrid.runs.launching.loops_ray import RayLoops

        return RayLoops(launcher, queue)
    raise BadInputError(f"hydra/launcher={launcher.kind} starts no workers")
