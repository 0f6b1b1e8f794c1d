"""Experiments with a judgement: controls, bisection, series, the demonstration, the trial of a tree."""
