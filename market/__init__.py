"""Contract layer: orders, clearing, accounts, settlement, reputation, and the contract that joins them.

Pure and integer-only: no clock, socket, file, randomness or float decides anything here, and nothing of
the project is imported. Start reading at `transactions.py` (what comes in), `contract.py` (what happens)
and `events.py` (what comes out).
"""
