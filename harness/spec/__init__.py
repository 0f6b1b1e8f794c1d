"""The specification of a run: kernels, machines, scenarios, and the plan."""
