"""Runs beside each other: what differs, and which is better."""
