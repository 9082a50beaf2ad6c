"""What can be chosen: unary operators, assignments of them to sites, and fine-tuning hyperparameters.

The lowest layer: it imports neither `searchers` nor `safs`. Import from its modules; importing the package
itself loads nothing.
"""
