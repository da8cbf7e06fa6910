"""The model inside the package: a small transformer trained for the miniature questions, run on the CPU.

It exists so that a search runs end to end anywhere, in minutes, and so that its result can be checked against the
model's exact bias. It says nothing about any other model.
"""
