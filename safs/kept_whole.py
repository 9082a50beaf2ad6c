"""What people are told of modules that torch.fx cannot trace, or traces otherwise than they are trained."""

from __future__ import annotations

from safs.sites import Sites

_SHOWN = 3


def warnings_of(sites: Sites, *, run: bool) -> list[str]:
    """Return one sentence each on what is left out, kept whole, cannot be replaced, and is not known.

    Args:
        sites: what was found in the network.
        run: whether it was found by a run of an example.
    """
    kept = sites.parts.kept
    warnings = [_evaluated(path) for path in sites.parts.evaluated]
    if kept:
        reasons = [f"{path or 'the network itself'}: {reason}" for path, reason in kept.items()]
        warnings.append(
            f"torch.fx does not trace {_count(len(kept), 'module')} ({_first(reasons)}); kept whole, only the "
            "activation modules within are sites."
        )
    if sites.fixed:
        calls = [f"{call.name}: {call.reason}" for call in sites.fixed]
        warnings.append(f"{_count(len(calls), 'activation call')} cannot be replaced ({_first(calls)}).")
    if kept and not run:
        warnings.append(
            "How often a module there is called, which functions are called and which sigmoids are gates shows only "
            "a run: give the shape of the input."
        )
    return warnings


def _evaluated(path: str) -> str:
    subject = f"Module {path}" if path else "The network"
    return (
        f"{subject} does something else in training (an auxiliary classifier, say), which is left out: it is trained "
        "as it is evaluated."
    )


def _first(texts: list[str]) -> str:
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
