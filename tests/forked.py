"""Python in processes of their own, forked from one that has imported what takes long.

Torch, Lightning and transformers take five seconds of a processor in every process that trains,
and a grid of one cell is two. What is imported, and when, is for tests that start Python anew.
"""

import atexit
import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import torch

SECONDS = 600
TESTS = Path(__file__).parent
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["transfergrid.verbs.sweep", "transfergrid.runs.cell", "transfergrid.testing", "timm"]
)


def python(words, folder, environment=None):
    """Run `python *words` in a folder; return what `subprocess.run` does, with text.

    Args:
        words: `-m module`, `-c code` or a file, and its arguments.
        folder: where.
        environment: what differs from that of this process; None takes a variable away.
    """
    (done,) = side_by_side([words], folder, environment)
    return done


@contextmanager
def begun(words, folder):
    """Yield the process of `python *words`, and the files of what it prints, while it runs."""
    with TemporaryDirectory() as place:
        _, process, files = _start(words, folder, dict(os.environ), Path(place, "0"))
        try:
            yield process, files
        finally:
            process.kill()
            process.join(SECONDS)


def side_by_side(commands, folder, environment=None):
    """Run several at once, and return when the last has ended."""
    together = {**os.environ, **(environment or {})}
    seen = {name: value for name, value in together.items() if value is not None}
    with TemporaryDirectory() as place:
        started = [
            _start(words, folder, seen, Path(place, str(i))) for i, words in enumerate(commands)
        ]
        return [_ended(*one) for one in started]


def _start(words, folder, environment, place):
    files = place.with_suffix(".out"), place.with_suffix(".err")
    process = SERVER.Process(target=_work, args=(words, folder, environment, *files))
    process.start()
    return words, process, files


def _ended(words, process, files):
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        raise subprocess.TimeoutExpired(words, SECONDS)
    return subprocess.CompletedProcess(words, process.exitcode, *(f.read_text() for f in files))


def _work(words, folder, environment, *files):
    from transfergrid.runs.launching import processes

    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.chdir(folder)
    processes.subprocess = SimpleNamespace(Popen=_forked, PIPE=subprocess.PIPE)
    os._exit(_python(words, environment))


def _forked(command, *, env, **options):
    """Start what `subprocess.Popen` would, but for Python itself and its imports."""

    def work():  # in the new process, which never comes to execute the command
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        gc.enable()
        sys.stdin = os.fdopen(0, closefd=False)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os._exit(_python(command[1:], env))

    sys.stdout.flush()
    return subprocess.Popen(command, env=env, preexec_fn=work, **options)


def _python(words, environment):
    """Do as `python *words` does; return the exit code."""
    os.environ.clear()
    os.environ.update(environment)
    if "OMP_NUM_THREADS" in environment:  # torch, which reads it, was imported before
        torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    safe, words = words[0] == "-P", [word for word in words if word != "-P"]
    here = [] if safe else [os.getcwd()]  # noqa: PTH109 (text, as Python puts it there)
    sys.path[:] = here + [p for p in sys.path if p and not Path(p).is_relative_to(TESTS)]
    code = 0
    try:
        _execute(*words)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
        if code == 1 and left.code != 1:
            print(left.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _execute(how, *rest):
    if how == "-m":
        module, *arguments = rest
        sys.argv[:] = [module, *arguments]
        sys.modules.pop(module, None)  # it was imported, and is now what is run
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    elif how == "-c":
        code, *arguments = rest
        sys.argv[:] = ["-c", *arguments]
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv[:] = [how, *rest]
        runpy.run_path(how, run_name="__main__")
