"""What a source that is trained here is kept as, told without the library that trains it."""

import subprocess
import sys

from transfergrid.runs.source_contents import version_of_training
from transfergrid.strategies.baselines.scratch import Scratch


def test_the_version_of_its_training_is_that_of_the_class():
    assert version_of_training() == Scratch.version


def test_to_ask_which_sources_are_there_takes_no_torch(tmp_path):
    told = "import sys; import transfergrid.verbs.sweep, transfergrid.runs.source_contents"
    told += "; from transfergrid.sources.trained_here import TrainedHere"
    told += "; print({'torch', 'scipy', 'pytorch_lightning'} & {*sys.modules})"
    command = [sys.executable, "-P", "-c", told]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "set()", done.stderr
