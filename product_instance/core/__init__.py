"""Decisions of an instance, without I/O: every time and every message is passed in."""
