"""The specification of a run: kernels, machines, scenarios, a project's defaults, and the plan."""
