"""Comparing searchers: the same budgets on the same network or table, many seeds, and what may be concluded."""
