"""Recipes: complete models trained through reparam, one flat file each, to run and to read.

`vae` is the first; `data` finds the images, `runs` keeps what a run leaves on disk, `pictures` draws it. They need
the extra `train` (`pip install 'reparam[train]'`).
"""
