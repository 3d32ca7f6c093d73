"""The Dask scheduler of a cluster, and nothing else: what the controller asks of it.

A scheduler is a user's program: whatever it answers is checked, bounded in size and time, and never unpickled.
"""

from .client import SETTLE_SECONDS, SchedulerClient
from .errors import SchedulerError
from .model import Endpoint, Worker

__all__ = ["SETTLE_SECONDS", "Endpoint", "SchedulerClient", "SchedulerError", "Worker"]
