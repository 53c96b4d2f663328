"""Tables in markdown from the figures of a run."""

import json
import statistics

from contestants import CONTESTANTS, PY_CONTESTANTS, is_ours, is_probe
from rows import HIGHER_IS_BETTER, LIMITS, NO_RATIO, PY_ROWS, ROWS
from targets import TARGETS, wanted

NOT_INSTALLED = "not installed"
# The server that is C code on bare epoll, in the rows of TCP echo.
C_ECHO = "bare-epoll (C)"


def fmt(v):
    if v >= 100000:
        return f"{v:,.0f}".replace(",", " ")
    if v >= 100:
        return f"{v:.0f}"
    return f"{v:.1f}"


def cell_text(values, metric, best, pick):
    if not values:
        return None
    mid = pick(values, metric)
    text = fmt(mid)
    if metric not in NO_RATIO and best:
        ratio = best / mid if metric in HIGHER_IS_BETTER else mid / best
        text += f" ({ratio:.2f})" if ratio < 10 else f" ({ratio:.0f})"
    if len(values) >= 4:
        q = statistics.quantiles(values, n=4)
        if mid and (q[2] - q[0]) / mid > 0.2:
            text += " ~"
    elif len(values) == 1:
        text += " *"
    return text


def middle(values, _metric):
    return statistics.median(values)


def least(values, metric):
    return (max if metric in HIGHER_IS_BETTER else min)(values)


def value_of(cells, key, metric, pick):
    """The figure of a cell, or None if it was not measured."""
    values = cells.get(key, {}).get("values", {}).get(metric)
    return pick(values, metric) if values else None


def columns():
    """(group, label, cell, metric) of every column there is."""
    for group, (_title, _workload, cols, _wall) in ROWS.items():
        for label, params, metric in cols:
            yield group, label, json.dumps(params), metric
    for group, (_title, cols, _wall) in PY_ROWS.items():
        for label, workload, params, metric in cols:
            yield group, label, json.dumps([workload, params]), metric


def titles():
    return {group: row[0] for group, row in (ROWS | PY_ROWS).items()}


def names_in(group, cells):
    """The contestants of a group, in the order of the tables."""
    present = dict.fromkeys(name for g, _cell, name in cells if g == group)
    order = CONTESTANTS if group in ROWS else [C_ECHO, *PY_CONTESTANTS]
    known = [name for name in order if name in present]
    return known + [name for name in present if name not in order]


def best_of(cells, group, cell, metric, names, pick):
    """(figure, name) of the best of these contestants, or None."""
    found = [(value, name) for name in names
             if (value := value_of(cells, (group, cell, name), metric, pick)) is not None]
    return (max if metric in HIGHER_IS_BETTER else min)(found) if found else None


def table(group, cells, pick):
    cols = [column[1:] for column in columns() if column[0] == group]
    names = names_in(group, cells)
    bares = [name for name in names if name.startswith("bare")]
    lines = [f"### {group} - {titles()[group]}", "",
             "| | " + " | ".join(label for label, _cell, _metric in cols) + " |",
             "|---|" + "---:|" * len(cols)]
    for name in names:
        texts = []
        for _label, cell, metric in cols:
            best = best_of(cells, group, cell, metric, bares, pick)
            entry = cells.get((group, cell, name), {"values": {}, "notes": []})
            text = cell_text(entry["values"].get(metric), metric, best and best[0], pick)
            texts.append(text or "".join(entry["notes"][:1]))
        if set(texts) - {"", NOT_INSTALLED}:
            lines.append(f"| {name} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def limits_table(cells):
    found = [(what, cells[("limits", what, "limits")]) for what in LIMITS
             if ("limits", what, "limits") in cells]
    if not found:
        return ""
    lines = ["### Limits of the machine (ns)", "", "| | median | least |", "|---|---:|---:|"]
    for what, entry in found:
        for values in entry["values"].values():
            lines.append(f"| {what} | {fmt(statistics.median(values))} | {fmt(min(values))} |")
    return "\n".join(lines) + "\n"


def kind_of(name):
    return ("bare" if name.startswith("bare") else "ours" if is_ours(name)
            else "probe" if is_probe(name) else "peer")


def missed(cells, pick=middle):
    """One line a column in which less is reached than is wanted."""
    places = {(group, label): (cell, metric) for group, label, cell, metric in columns()}

    def figure_of(group, label, name):
        cell, metric = places[group, label]
        return value_of(cells, (group, cell, name), metric, pick)

    def best_peer(group, label):
        peers = [name for name in names_in(group, cells) if kind_of(name) == "peer"]
        return best_of(cells, group, *places[group, label], peers, pick)

    lines = []
    for target in TARGETS:
        for group, label in places:
            if group != target.group or target.label not in ("", label):
                continue
            ours = figure_of(group, label, target.ours)
            goal = wanted(target, label, figure_of, best_peer)
            if ours is None or goal is None:
                continue
            more_is_better = places[group, label][1] in HIGHER_IS_BETTER
            if ours < goal if more_is_better else ours > goal:
                peer = best_peer(group, label)
                lines.append(f"| {group} {label} | {fmt(ours)} {target.ours} | {fmt(goal)} | "
                             + (f"{fmt(peer[0])} {peer[1]}" if peer else "") + " |")
    if not lines:
        return ""
    return "\n".join(["### What is wanted and not reached", "",
                      "| row | ours | wanted | the best other loop |", "|---|---|---:|---|",
                      *lines]) + "\n"


def summary(cells, pick=middle):
    """One line a column: the best of the baselines, of the peers, the probes, and of ours."""
    lines = ["### The best of each kind", "",
             "| row | baseline | peer | probe | ours | ours to the peer |",
             "|---|---|---|---|---|---:|"]
    for group, label, cell, metric in columns():
        if metric in NO_RATIO:
            continue
        kinds = {"bare": [], "peer": [], "probe": [], "ours": []}
        for name in names_in(group, cells):
            kinds[kind_of(name)].append(name)
        best = {kind: best_of(cells, group, cell, metric, names, pick)
                for kind, names in kinds.items()}
        if any(best.values()):
            texts = [f"{fmt(b[0])} {b[1]}" if b else "" for b in best.values()]
            lines.append(f"| {group} {label} | " + " | ".join(texts) +
                         f" | {ratio_text(best, metric)} |")
    return "\n".join(lines) + "\n"


def ratio_text(best, metric):
    if not best["ours"] or not best["peer"] or not best["peer"][0]:
        return ""
    ratio = best["ours"][0] / best["peer"][0]
    # above 1: ours is worse, whatever is counted
    return f"{1 / ratio if metric in HIGHER_IS_BETTER else ratio:.2f}"


def provenance(versions, data):
    m = data["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(versions.items())
                          if version and not name.startswith("bare"))
    return (f"{m['cpu']}, {m['cores']} cores; Linux {m['kernel']}, glibc {m['libc']}, "
            f"Python {m.get('python', '?')}; {m['date']}; {data['reps']} repetitions.\n\n"
            f"Versions: {libraries or 'none told'}.\n")


def whole(cells, versions, data, pick=middle):
    parts = [provenance(versions, data), missed(cells, pick), summary(cells, pick),
             limits_table(cells)]
    present = {key[0] for key in cells}
    parts += [table(group, cells, pick) for group in titles() if group in present]
    return "\n".join(part for part in parts if part)
