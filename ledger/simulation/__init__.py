"""The deterministic simulator of a whole committee: virtual network, clocks and disks, one seed for all.

It drives the very same `Replica` as a real node. Start reading at `run.py`.
"""
