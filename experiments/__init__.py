"""What was measured and how: a file for each table or figure, run with ``python -m``."""
