"""The committed corpus: one program a line, in hexadecimal; # begins a comment."""


def read_corpus(path):
    """The programs in the file."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [bytes.fromhex(line) for line in lines if line]


def write_corpus(path, comment, programs):
    """Shortest first."""
    lines = sorted((program.hex() for program in programs), key=lambda line: (len(line), line))
    path.write_text("".join(f"{line}\n" for line in [f"# {comment}", *lines]))
