"""Read a section of params.yaml: two levels of `name: value`, which is all that this project writes there."""


def load(*sections):
    """The section as a dict; numbers become numbers."""
    found, path = {}, []
    with open("params.yaml", encoding="utf-8") as file:
        for line in file:
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            depth = (len(line) - len(line.lstrip())) // 2
            name, _, value = line.strip().partition(":")
            path = [*path[:depth], name]
            if value.strip() and path[:-1] == list(sections):
                number = float(value)
                found[name] = int(number) if number.is_integer() else number
    return found
