"""From tables of facts to classes of kills, rates with intervals, and comparisons between arms."""
