"""Application layer: agents on the market, ledger nodes, the runner, commands, reports.

It wires the layers below together and is the only one that reads clocks, files and seeds at will. Start
reading at `model.py` (a trading period as the agents see it), `ledger_node.py` (as a node sees it) and
`runner.py` (how a whole run is put together).
"""
