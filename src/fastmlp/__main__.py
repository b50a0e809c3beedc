"""Runs the command line as ``python -m fastmlp``."""

from fastmlp.cli import main

raise SystemExit(main())
