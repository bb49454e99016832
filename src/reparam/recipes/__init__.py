"""Recipes: complete models trained through reparam, one flat file each, to run and to read.

Each stands on `engine`, whose docstring says how to write one; around it are `settings` (what every recipe lets a user
choose), `machine` (processes and devices), `keyed` (data order and noise that do not depend on them), `loop`,
`checkpoints` and `streams` (stopping and going on), `runs`, `events`, `pictures` and `report` (what is left on disk).
They need the extra `train` (`pip install 'reparam[train]'`).
"""
