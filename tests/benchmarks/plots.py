"""One SVG a group: a bar a contestant, a panel a column."""

import os

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
from contestants import is_ours, is_probe  # noqa: E402
from report import NO_RATIO, columns, fmt, names_in, titles, value_of  # noqa: E402

matplotlib.rcParams.update({
    "svg.hashsalt": "qemu_mainloop", "svg.fonttype": "none", "font.size": 9})

OURS, PEER, BARE, PROBE = "#c0392b", "#4a78a8", "#9aa5b1", "#d9c36a"


def colour(name):
    if is_ours(name):
        return OURS
    if name.startswith("bare"):
        return BARE
    return PROBE if is_probe(name) else PEER


def panel(ax, label, bars):
    """bars: (name, value), drawn on a logarithmic scale, the best of them at the top."""
    names = [name for name, _value in bars]
    values = [value for _name, value in bars]
    ax.barh(names, values, color=[colour(name) for name in names])
    if min(values) > 0 and max(values) > 8 * min(values):
        ax.set_xscale("log")
    for at, value in enumerate(values):
        ax.annotate(fmt(value), (value, at), xytext=(3, 0), textcoords="offset points",
                    va="center", fontsize=7)
    ax.margins(x=0.15)
    ax.set_title(label, fontsize=9)
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)


def figure(group, title, panels):
    height = sum(0.22 * len(bars) + 0.7 for _label, bars in panels)
    fig, axes = plt.subplots(
        len(panels), figsize=(7, height + 0.4), squeeze=False, layout="constrained",
        height_ratios=[len(bars) + 2 for _label, bars in panels])
    fig.suptitle(f"{group} - {title}", fontsize=9, wrap=True)
    for (ax,), (label, bars) in zip(axes, panels, strict=True):
        panel(ax, label, bars)
    return fig


# An iteration with N descriptors: group, title, is a cell per descriptor?
SCALING = (("C1", "registered and idle", False), ("C3", "ready", True),
           ("C9", "asked by can_read first, and idle", False))


def scaling(cells, folder, pick):
    """What an iteration costs by the number of descriptors: a panel a kind, a line a loop."""
    fig, axes = plt.subplots(len(SCALING), figsize=(7, 9), layout="constrained")
    shades = {}                                  # the same in all panels
    for ax, (wanted, title, each) in zip(axes, SCALING, strict=True):
        lines = {}
        for group, label, cell, metric in columns():
            for name in names_in(group, cells) if group == wanted else ():
                value = value_of(cells, (group, cell, name), metric, pick)
                if value is not None and not is_probe(name):
                    n = int(label.removeprefix("N="))
                    lines.setdefault(name, []).append((n, value * n if each else value))
        for name, points in lines.items():
            if name not in shades:
                shades[name] = f"C{len(shades) % 10}"
            xs, ys = zip(*sorted(points), strict=True)
            style = "-" if is_ours(name) else "--" if name.startswith("bare") else ":"
            ax.plot(xs, ys, style, marker=".", linewidth=1, label=name, color=shades[name])
        if lines:
            ax.set(xscale="log", yscale="log", title=title, ylabel="ns per iteration")
            ax.legend(fontsize=6, ncols=3)
    axes[-1].set_xlabel("descriptors")
    fig.savefig(os.path.join(folder, "scaling.svg"), metadata={"Date": None})
    plt.close(fig)


def draw(cells, folder, pick):
    os.makedirs(folder, exist_ok=True)
    scaling(cells, folder, pick)
    groups = {}
    for group, label, cell, metric in columns():
        bars = [(name, value) for name in names_in(group, cells)
                if (value := value_of(cells, (group, cell, name), metric, pick)) is not None]
        # a logarithmic axis has no place for what cost nothing
        bars = [(name, value) for name, value in bars if value > 0]
        if bars and metric not in NO_RATIO:
            groups.setdefault(group, []).append((label, sorted(bars, key=lambda bar: bar[1])))
    for group, panels in groups.items():
        fig = figure(group, titles()[group], panels)
        # no date: the same figures give the same file
        fig.savefig(os.path.join(folder, f"{group}.svg"), metadata={"Date": None})
        plt.close(fig)
