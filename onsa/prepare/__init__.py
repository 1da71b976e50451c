"""From a recipe to a run that is ready: model found, tasks loaded, every row encoded once.

Everything that can be wrong with what a user gave is found here, before anything is trained.
"""
