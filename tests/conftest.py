"""What holds for all tests: a slow machine is no fault, so no example of a property is judged by its time."""

from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
