"""What those processes need not know that look at what users sent."""

from __future__ import annotations

import os

_SECRETS = ("SAFS_DATABASE", "SAFS_TOKEN", "SAFS_STORAGE", "PG", "FSSPEC_", "AWS_", "AZURE_", "GOOGLE_", "GCLOUD_")
"""How variables begin that open the database and the storage."""


def without_secrets() -> dict[str, str]:
    """Return this process' environment without what opens the database and the storage."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
