"""How the harvest behaves at scale: measured on a few cores, fitted, and simulated with the project's own code."""
