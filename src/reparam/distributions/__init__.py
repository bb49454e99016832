"""What torch lacks: new families with torch's conventions, each beside its own rule."""

from reparam.distributions.johnson_su import JohnsonSU

__all__ = ["JohnsonSU"]
