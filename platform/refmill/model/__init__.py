"""What Refmill talks about, as frozen dataclasses without behaviour that needs a disk or a network."""
