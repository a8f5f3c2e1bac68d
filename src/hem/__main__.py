"""``python -m hem`` is the command ``hem``."""

from hem.cli import main

main()
