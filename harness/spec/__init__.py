"""What is to be measured: kernels, machines, scenarios, a project's defaults, and the plan of a run."""
