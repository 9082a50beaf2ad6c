"""The report of a finished study: one HTML file that explains itself, and the table for the terminal.

Importing this loads nothing heavy; matplotlib and jinja2 are loaded when a report is written.
"""

from safs.report.page import write_report

__all__ = ["write_report"]
