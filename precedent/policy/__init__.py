"""Policies as data: document, typed facts, compiled rules, a pure evaluator, words, tests beside the policy.

Invariant: nothing here reads a clock, a database or the network; the same inputs give the same bytes.
"""
