"""Native kernels and the doors through which torch reaches them; the reference serves where they do not."""

from reparam.kernels.elementwise import Elementwise
from reparam.kernels.native import native, served_by

__all__ = ["Elementwise", "native", "served_by"]
