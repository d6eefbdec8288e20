"""Consensus and data layer: the PBFT replica, blocks, the durable store, proofs, the simulator.

Transactions are opaque bytes, and the contract that executes them is the `Application` protocol. Start
reading at `replica.py` (the pure state machine), `messages.py` (what replicas say), `effects.py` (what a
replica asks of its shell) and `driver.py` (the shell on a real bus).
"""
