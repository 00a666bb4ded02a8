"""PIM's networks, as pure functions: pyramid, frontend, encoders, mixtures."""
