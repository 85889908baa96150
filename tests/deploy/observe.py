"""What tests/deploy/observe compares: dashboard and alerts with what a service tells, with the runbook, and with the stories."""

import json
import pathlib
import re
import sys

import yaml

deploy, readme, metrics, stories = sys.argv[1:]
deploy = pathlib.Path(deploy)

# Families, labels and their values, as they were read just now.
families, labels, series = set(), {}, re.compile(r"^([a-z_]+)(?:\{(.*)\})? \S+$")
for line in pathlib.Path(metrics).read_text().splitlines():
    if line.startswith("# TYPE "):
        families.add(line.split()[2])
    elif found := series.match(line):
        name = found[1]
        base = name if name in families else re.sub(r"_(bucket|sum|count)$", "", name)
        for label, value in re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', found[2] or ""):
            labels.setdefault(base, {}).setdefault(label, set()).add(value)
# What needs a flood, and so is not there: it must be in the README, by name and with its label.
FLOODED = {"countersign_hash_refused_total": {"queue"}}
text = pathlib.Path(readme).read_text()
assert "_hash_refused_total` (`queue`)" in text
missing = set(FLOODED) & families
assert not missing, f"there after all: {missing}"
families |= set(FLOODED)
for family, names in FLOODED.items():
    labels[family] = {name: None for name in names}
assert len(families) >= 24, families

rules = [rule for group in yaml.safe_load((deploy / "alerts/countersign.yaml").read_text())["groups"] for rule in group["rules"]]
dashboard = json.loads((deploy / "grafana/countersign.json").read_text())
panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
queries = {f"alert {rule['alert']}": rule["expr"] for rule in rules}
for panel in panels:
    for target in panel["targets"]:
        queries[f"panel {panel['title']}: {target['expr']}"] = target["expr"]
    assert panel["targets"], panel["title"]
queries |= {f"variable {v['name']}": v["definition"] for v in dashboard["templating"]["list"] if "definition" in v}

METRIC = re.compile(r"\b((?:countersign|rpc|http|db)_[a-z_]+)\b(?:\{([^}]*)\})?")
# Labels that Prometheus gives.
GIVEN = {"job", "instance", "le"}
# Labels that only some stories have, by their metric. The README names them, too.
asked = set()


def problems(place, query):
    found = [match for match in METRIC.finditer(query) if f"{match[1]}" not in {label for names in labels.values() for label in names}]
    if not found:
        yield f"{place}: it asks for nothing that is known"
    for match in found:
        name = match[1]
        family = re.sub(r"_(bucket|sum|count)$", "", name) if name not in families else name
        if family not in families:
            yield f"{place}: there is no {name}"
            continue
        if family != name and f"# TYPE {family} histogram" not in pathlib.Path(metrics).read_text():
            yield f"{place}: {family} is no histogram"
        asked.add(family)
        for label, operator, value in re.findall(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"', match[2] or ""):
            if label not in GIVEN and label not in labels[family]:
                yield f"{place}: {family} has no label {label}"
        if match[2] is None and not place.startswith("variable"):
            yield f"{place}: {name} is asked for of every job"
    known = {label for match in found for label in labels.get(re.sub(r"_(bucket|sum|count)$", "", match[1]) if match[1] not in families else match[1], {})}
    for names in re.findall(r"\bby \(([a-z_, ]*)\)", query):
        for label in filter(None, (name.strip() for name in names.split(","))):
            if label not in known | GIVEN:
                yield f"{place}: it is divided by {label}, which none of its metrics has"


wrong = [problem for place, query in queries.items() for problem in problems(place, query)]
assert not wrong, "\n".join(wrong)
# It can fail.
assert list(problems("a test", 'rate(countersign_evnts_total{job="x"}[5m])')) and list(problems("a test", 'countersign_store_up{stoer="x"}'))
assert list(problems("a test", 'sum by (lisstener) (countersign_connections{job="x"})'))
# What a legend names is there, too.
for panel in panels:
    for target in panel["targets"]:
        for label in re.findall(r"\{\{([a-z_]+)\}\}", target["legendFormat"]):
            found = [match[1] for match in METRIC.finditer(target["expr"])]
            assert re.search(rf"by \([a-z_, ]*\b{label}\b", target["expr"]) or not re.search(r"\bby \(|\b(sum|max|min)\(", target["expr"]), (panel["title"], label)
# Whatever is told is looked at by somebody; `target_info` is the exporter's own.
unseen = families - asked - {"target_info"}
assert not unseen, f"neither dashboard nor alert asks for {unseen}"
# Panels lie beside each other.
taken = set()
for panel in dashboard["panels"]:
    at = panel["gridPos"]
    cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
    assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
    taken |= cells
assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])

# Each alert has its entry, and each entry its alert.
runbook = (deploy / "RUNBOOK.md").read_text()
headings = re.findall(r"^## (\S+)$", runbook, re.M)
names = [rule["alert"] for rule in rules]
assert sorted(headings) == sorted(names), set(headings) ^ set(names)
for rule in rules:
    assert rule["annotations"]["runbook"] == f"RUNBOOK.md#{rule['alert'].lower()}", rule["alert"]
    assert rule["labels"]["severity"] in ("page", "ticket") and rule["annotations"]["summary"], rule["alert"]
    entry = runbook.split(f"## {rule['alert']}\n")[1].split("\n## ")[0]
    assert len(entry) > 150, f"{rule['alert']}: its entry says nothing"
for anchor in re.findall(r"\]\(#([a-z]+)\)", runbook):
    assert anchor in {name.lower() for name in names}, anchor
# Each alert fires in a story.
fired = {
    case["alertname"]
    for test in yaml.safe_load(pathlib.Path(stories).read_text())["tests"]
    for case in test["alert_rule_test"]
    if case["exp_alerts"]
}
assert fired == set(names), set(names) ^ fired
print(f"{len(names)} alerts and {len(panels)} panels ask for what there is.")
