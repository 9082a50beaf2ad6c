"""Show the values of failed assertions in the conformance suite as pytest does in test files."""

import pytest

pytest.register_assert_rewrite("searchers.testing")
