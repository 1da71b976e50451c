"""The recipe: one frozen, validated description of a run.

A recipe is flat: the run's own keys, the training keys of transformers under their own names, and
the settings of the chosen method stand side by side. Every key must have an effect: an unknown one
is refused with «did you mean», one that belongs to another method is refused by that method's name.
"""
