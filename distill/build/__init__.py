"""The guard around doit: its command, checker, store, lock, and what is written once per run.

Only this package and dodo.py know doit; only this package knows the clock, git and the environment.
"""
