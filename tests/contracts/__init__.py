"""What every runner and every target must do; subclassed once per runner and per target."""

from .runner import RunnerContract
from .support import SIZE, copied, pytorch, spec_for
from .target import TargetContract

__all__ = ["SIZE", "RunnerContract", "TargetContract", "copied", "pytorch", "spec_for"]
