"""How inputs and outputs of each kind look on the demo's page."""
