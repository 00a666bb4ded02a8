"""PIM's networks as pure functions: pyramid, frontend, encoders and mixtures."""
