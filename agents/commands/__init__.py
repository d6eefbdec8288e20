"""The subcommands of `gridbazaar`, one module each: thin shells that parse, call and print.

A module imports only click and this project's small modules at its top; what it needs to do its work it
imports when it runs.
"""
