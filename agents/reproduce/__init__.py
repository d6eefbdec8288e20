"""The papers' experiments, run again: what each prints, what comes out here, and where and why the two differ.

Start at `outcome.py` (what an experiment gives back); each paper has a module of its own with `reproduce(...)`.
"""
