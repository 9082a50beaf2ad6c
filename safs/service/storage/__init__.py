"""Where the files of studies are kept: a local folder, or anything that fsspec can write to.

The server puts what was submitted there and reads what there is; a worker runs a study in a local folder, its
workplace, and takes its files to the storage. On local storage the two are the same folder, and nothing is ever copied.
"""
