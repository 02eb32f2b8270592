"""More features than dimensions: feature data, toy models, closed-form losses and geometry."""
