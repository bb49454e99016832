"""`python -m reparam.cli`, the same as `reparam`."""

import sys

from reparam.cli import main

sys.exit(main())
