"""reparam."""
