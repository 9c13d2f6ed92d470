"""Is the judgement true? Simulated rollouts through the production analyzers, against promises and rivals."""
