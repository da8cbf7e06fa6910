"""What runs inside the sandbox: two processes, one for the model's program and one for the tests. Stdlib only.

The launcher sends these modules over the child's standard input, so the child reads no file of this package.
"""
