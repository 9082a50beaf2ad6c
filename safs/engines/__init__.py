"""Engines: what runs trials. A study decides, an engine executes."""
