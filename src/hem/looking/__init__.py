"""Looking at runs: a report of finished ones as a page, and a running one in a terminal.

It reads run folders and changes none.
"""
