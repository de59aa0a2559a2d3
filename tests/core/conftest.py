"""How hypothesis runs: the same examples every time, unless HYPOTHESIS_PROFILE=explore asks for many others."""

import os

from hypothesis import HealthCheck, settings

slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=slow)
settings.register_profile("explore", max_examples=2000, deadline=None, suppress_health_check=slow, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
