"""Data layer: meters, inverters, batteries and the profiles of load and generation they follow.

Start reading at `sites.py` (what stands at a connection point), `profiles.py` (where its load and
generation come from), `site_series.py` (both put together, a value a period) and `host.py` (the process
that runs the devices of a region).
"""
