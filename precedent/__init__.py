"""Precedent: decisions that machines make on a business's behalf, within authority people wrote down, provable afterwards."""

__version__ = "0.1.0"
