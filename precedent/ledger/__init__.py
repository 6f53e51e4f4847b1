"""The record: one chain of entries that only `ledger.append` writes and nobody changes. Every 2xx stands on a row here."""
