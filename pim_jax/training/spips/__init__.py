"""Training SPIPS on people's answers: the answers, the features of their images, the fit, and the run."""
