"""The page on the paper: its results stored as JSON, and docs/paper.md made from them."""
