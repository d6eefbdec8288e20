"""One module a page, each a Solara component of a `View`."""
