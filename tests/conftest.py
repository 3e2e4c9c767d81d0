"""Stands here so that tests in folders below find the helpers beside it."""

from hypothesis import HealthCheck, settings

# How long an example takes says something of the machine's other work, and nothing of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
