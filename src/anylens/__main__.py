"""`python -m anylens` is the command line."""

import sys

from anylens.cli import main

sys.exit(main())
