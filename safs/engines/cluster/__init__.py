"""The Ray engine: trials on the workers of a cluster. Ray places processes; which trial runs where is decided here."""
