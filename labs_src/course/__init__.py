"""Building, running, reporting and teaching with the labs: thin code over jupytext, papermill, nbgrader and nbconvert.

Nothing imports this room; it knows the checks and nothing of the mathematics.
"""
