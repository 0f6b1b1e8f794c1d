"""Experiments with a judgement: controls, bisection, series, the demonstration."""
