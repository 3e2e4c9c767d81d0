"""What tests of running cells share."""

import signal

import pytest

from transfergrid.records.process import stopping


@pytest.fixture
def obeying(monkeypatch):
    """Signals mean what they mean to a worker."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(stopping, "_asked", None)
    monkeypatch.setattr(stopping, "_obeys", False)
    stopping.obey()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
