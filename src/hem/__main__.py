"""``python -m hem`` is the command ``hem``."""

from hem.cli.main import main

main()
