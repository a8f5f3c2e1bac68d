"""Runs for others: a model card, and a repository on the Hugging Face Hub.

Texts of a run folder, which may be a stranger's, are shown as code and nothing else.
"""
