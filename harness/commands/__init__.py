"""Commands: arguments to an experiment, results to the terminal; a file for each, or for a few that go together.

They import what they need when they run: pandas, scipy and docker take seconds, a wrong option should not.
"""
