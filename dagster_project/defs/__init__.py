"""Definitions by domain, one package a group of assets."""
