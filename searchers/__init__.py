"""How to choose: one ask/tell contract (`base`), one file per algorithm, and the conformance suite (`testing`)."""
