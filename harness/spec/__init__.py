"""What is to be measured: kernels, machines, scenarios, and the plan of a run."""
