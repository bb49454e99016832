"""Native kernels and the doors through which torch reaches them; the reference serves where they do not."""

from reparam.kernels.native import native, served_by

__all__ = ["native", "served_by"]
