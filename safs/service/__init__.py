"""The service: studies are submitted over HTTP, run by workers, and watched in a browser.

The database is what everybody agrees on: servers and workers know nothing of each other. A worker leases a study, keeps
its lease alive, and resumes from the journal what another one lost.
"""
