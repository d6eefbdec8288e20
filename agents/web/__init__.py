"""The web page: a market to look at, live or from a run folder.

An observer in a process of its own. `feed.py` listens to the bus (or reads a finished folder) and keeps
`mirror.py`, a Mesa model whose agents are what f + 1 nodes say of the real ones; after each change it puts an
immutable snapshot into `hub.py`, from where every browser session takes the newest when it is ready for it.
`pages/` turns snapshots into Solara components, `server.py` serves them, and nothing here can publish.
Start reading at `facts.py`, which says what a snapshot holds.
"""
