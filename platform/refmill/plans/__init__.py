"""From a resolved pipeline to a plan: what runs, what is taken over, and why. Reads through ports alone."""
