"""The worker: it leases studies and runs each in a process of its own.

The worker itself only watches: it renews leases, copies what the journal says into the database, and ends a study that
takes too much or is to be canceled. It never imports torch.
"""
