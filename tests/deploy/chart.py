"""What tests/deploy/chart asks of the chart beyond what its tools can: see there."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import yaml


def paths(tree, way=()):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from paths(value, (*way, key))
        else:
            yield ".".join((*way, key))


def schema_paths(schema, way=()):
    for key, value in schema["properties"].items():
        if value.get("type") == "object":
            yield from schema_paths(value, (*way, key))
        else:
            yield ".".join((*way, key))


def version(chart, cargo):
    """The chart installs the program that it lies beside."""
    package = tomllib.loads(pathlib.Path(cargo).read_text())["workspace"]["package"]["version"]
    application = yaml.safe_load(pathlib.Path(chart).read_text())["appVersion"]
    assert application == package, f"the chart installs {application}, and this is {package}"


def keys(defaults, schema, helpers):
    """Each key of the configuration can be set in one place: `config`, `secrets`, or a value that the chart makes it of."""
    there = set(paths(tomllib.loads(pathlib.Path(defaults).read_text())))
    properties = json.loads(pathlib.Path(schema).read_text())["properties"]
    config, secrets = set(schema_paths(properties["config"])), set(properties["secrets"]["properties"])
    helpers = pathlib.Path(helpers).read_text()
    made = set(re.findall(r"^([a-z_.]+) = ", helpers, re.M)) | set(re.findall(r'set \$all "([a-z_.]+)"', helpers))
    for one, other in [(config, secrets), (config, made)]:
        assert not one & other, f"in two places: {one & other}"
    assert config | secrets | made == there, f"in no place or not there: {(config | secrets | made) ^ there}"
    secret = set()
    section, is_secret = "", False
    for line in pathlib.Path(defaults).read_text().splitlines():
        if line.startswith("["):
            section, is_secret = line.strip("[]") + ".", False
        elif line.startswith("#"):
            is_secret |= "(secret)" in line
        elif " = " in line:
            if is_secret:
                secret.add(section + line.split(" = ")[0])
            is_secret = False
    assert len(secret) >= 12, secret
    assert not secret & config, f"a secret may not stand among the values: {secret & config}"


def pods(objects):
    for thing in objects:
        if thing["kind"] in ("Deployment", "Job"):
            yield thing["kind"], thing["spec"]["template"]["spec"]


def of_kind(objects, kind):
    return [thing for thing in objects if thing["kind"] == kind]


def objects(name, rendered, out):
    """What every set of values must have, and what only some have; and the objects that Kubernetes has schemas for."""
    everything = [thing for thing in yaml.safe_load_all(pathlib.Path(rendered).read_text()) if thing]
    kinds = {thing["kind"] for thing in everything}
    expected = {
        "defaults": {"NetworkPolicy", "PodDisruptionBudget", "ServiceAccount", "ConfigMap", "Service", "Deployment", "Job"},
        "full": {"NetworkPolicy", "PodDisruptionBudget", "ConfigMap", "Service", "Deployment", "Job", "HorizontalPodAutoscaler", "ServiceMonitor"},
        "alone": {"NetworkPolicy", "ServiceAccount", "ConfigMap", "Service", "Deployment", "PersistentVolumeClaim"},
        "balancer": {"NetworkPolicy", "PodDisruptionBudget", "ServiceAccount", "ConfigMap", "Service", "Deployment", "Job"},
        "embedded": {"NetworkPolicy", "ServiceAccount", "ConfigMap", "Service", "Deployment", "Job"},
        "mesh": {"ServiceAccount", "ConfigMap", "Service", "Deployment"},
    }[name]
    assert kinds == expected, f"{name}: {kinds ^ expected}"
    for kind, pod in pods(everything):
        assert pod["enableServiceLinks"] is False and pod["automountServiceAccountToken"] is False
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] == 65532 == security["fsGroup"]
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"] and container["resources"]["limits"]["memory"]
        mounts, volumes = {mount["name"] for mount in container["volumeMounts"]}, {volume["name"] for volume in pod["volumes"]}
        assert mounts == volumes, f"{name}: {mounts ^ volumes}"
        # A file that is mounted by itself would never change; a secret that is a variable is in every dump.
        assert not any("subPath" in mount for mount in container["volumeMounts"])
        assert all(set(variable) == {"name", "value"} for variable in container["env"])
        if kind == "Deployment":
            sleep = 20 if name == "balancer" else 0
            assert pod["terminationGracePeriodSeconds"] == 30 + sleep
            assert container.get("lifecycle") == ({"preStop": {"sleep": {"seconds": sleep}}} if sleep else None)
            probes = {probe: container[probe]["grpc"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
            assert probes == {
                "startupProbe": {"port": 9464, "service": "startup"},
                "livenessProbe": {"port": 9464, "service": "liveness"},
                "readinessProbe": {"port": 9464},
            }
    (deployment,) = of_kind(everything, "Deployment")
    strategy = deployment["spec"]["strategy"]
    if name in ("alone", "embedded"):
        assert deployment["spec"]["replicas"] == 1 and strategy == {"type": "Recreate"}
    else:
        assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        assert ("replicas" in deployment["spec"]) == (name != "full")
    # Whatever selects the replicas selects them, and not the Job.
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    job = [thing["spec"]["template"]["metadata"]["labels"] for thing in of_kind(everything, "Job")]
    own = [thing["spec"]["template"]["metadata"] for thing in of_kind(everything, "Job")]
    if name == "balancer":
        assert own[0]["annotations"] == {"linkerd.io/inject": "disabled"} and own[0]["labels"]["sidecar.istio.io/inject"] == "false"
        assert not {"sidecar.istio.io/inject"} & labels.keys()
    # The Job runs before an account that the chart makes is there.
    accounts = [pod.get("serviceAccountName") for kind, pod in pods(everything) if kind == "Job"]
    assert accounts == [] or accounts == ["identity" if name == "full" else None], accounts
    selectors = [thing["spec"]["selector"] for thing in of_kind(everything, "Service")]
    selectors += [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [thing["spec"]["selector"]["matchLabels"] for thing in of_kind(everything, "PodDisruptionBudget")]
    selectors += [
        thing["spec"]["podSelector"]["matchLabels"]
        for thing in of_kind(everything, "NetworkPolicy")
        if not thing["metadata"]["name"].endswith("-migrate")
    ]
    assert len(selectors) >= 3
    for selector in selectors:
        assert selector.items() <= labels.items(), f"{name}: {selector} does not select {labels}"
        assert not any(selector.items() <= other.items() for other in job)
    # A port of a service or a policy is one of the container's.
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    services = {thing["spec"]["ports"][0]["targetPort"] for thing in of_kind(everything, "Service")}
    assert services == ports == ({"grpc", "metrics"} if name == "mesh" else {"grpc", "http", "metrics"})
    # The headless one is another: an address cannot be taken away from one that is installed.
    headless = [thing["metadata"]["name"] for thing in of_kind(everything, "Service") if thing["spec"].get("clusterIP") == "None"]
    assert headless == ([deployment["metadata"]["name"] + "-grpc-headless"] if name == "mesh" else []), headless
    assert f"{deployment['metadata']['name']}-grpc" in {thing["metadata"]["name"] for thing in of_kind(everything, "Service")}
    assert all(len(thing["metadata"]["name"]) <= 63 for thing in everything)
    for thing in of_kind(everything, "NetworkPolicy"):
        for rule in thing["spec"].get("ingress", []):
            assert {port["port"] for port in rule["ports"]} <= ports
    for monitor in of_kind(everything, "ServiceMonitor"):
        wanted, (endpoint,) = monitor["spec"]["selector"]["matchLabels"], monitor["spec"]["endpoints"]
        found = [thing for thing in of_kind(everything, "Service") if wanted.items() <= thing["metadata"]["labels"].items()]
        assert [thing["spec"]["ports"][0]["name"] for thing in found] == [endpoint["port"]], found
    for thing in of_kind(everything, "HorizontalPodAutoscaler"):
        assert thing["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    if name == "full":
        assert container["image"].startswith("images.example.com/countersign@sha256:")
    # ServiceMonitor is not Kubernetes' own.
    known = [thing for thing in everything if thing["kind"] != "ServiceMonitor"]
    pathlib.Path(out).write_text(yaml.safe_dump_all(known))


# What stands in the Secrets, by the key of the configuration or the name of the file.
CONTENTS = {
    "database.url": "postgres://countersign:s3cret@db.internal/countersign?sslmode=verify-full",
    "redis.url": "rediss://countersign:s3cret@redis.internal:6379",
    "services.tokens": "orders svt_0123456789abcdef0123456789abcdef",
    "webhook.url": "https://alerts.example.com/countersign",
    "webhook.secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "telemetry.otlp_headers": "x-key: s3cret",
}


def content(name, binary, ring, contents):
    if name == "keys.ring_text":
        return subprocess.run([binary, "keys", "init", "--print"], check=True, capture_output=True, text=True).stdout
    return ring.read_text() if name == "keys.toml" else contents.get(name, "s3cret")


def lay_out(rendered, kind, binary, home, contents):
    """A pod's files in a directory of ours; answers where its container works, its arguments, and its environment with that of the image."""
    everything = [thing for thing in yaml.safe_load_all(pathlib.Path(rendered).read_text()) if thing]
    (pod,) = [pod for this, pod in pods(everything) if this == kind]
    (text,) = [thing["data"]["countersign.toml"] for thing in of_kind(everything, "ConfigMap")]
    ring = pathlib.Path(home, "keys.toml")
    if not ring.exists():
        subprocess.run([binary, "keys", "init", "--set", f"keys.ring_file={ring}"], check=True, capture_output=True)
    root = pathlib.Path(home, "root", kind + pathlib.Path(rendered).stem)
    (container,) = pod["containers"]
    mounts = {mount["name"]: root / mount["mountPath"].lstrip("/") for mount in container["volumeMounts"]}
    for volume in pod["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            assert volume["projected"]["defaultMode"] == 0o440
            ((_, origin),) = source.items()
            for item in origin["items"]:
                file = mounts[volume["name"]] / item["path"]
                assert not file.exists(), f"{file} comes from two places"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content(item["path"], binary, ring, contents))
                file.chmod(0o440)
    moved = lambda value: value.replace("/run/countersign", f"{root}/run/countersign")
    configuration = root / "etc/countersign/countersign.toml"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.write_text(moved(text))
    image = {"COUNTERSIGN_TELEMETRY__LOG_FORMAT": "json", "COUNTERSIGN_TELEMETRY__LISTEN": "127.0.0.1:9464", "COUNTERSIGN_DATA_DIR": "/var/lib/countersign"}
    environment = image | {variable["name"]: moved(variable["value"]) for variable in container["env"]}
    return root / container.get("workingDir", "/").lstrip("/"), container["args"], environment


def configuration(rendered, binary, home):
    """The program finds nothing wrong with the configuration of each pod, and takes what was meant."""
    everything = [thing for thing in yaml.safe_load_all(pathlib.Path(rendered).read_text()) if thing]
    for kind, _ in pods(everything):
        directory, arguments, environment = lay_out(rendered, kind, binary, home, CONTENTS)
        assert arguments == {"Deployment": ["serve"], "Job": ["migrate", "up"]}[kind]
        ran = subprocess.run([binary, "config", "check"], env=environment, cwd=directory, capture_output=True, text=True)
        assert ran.returncode == 0, f"{rendered}: {ran.stdout}{ran.stderr}"
        assert "s3cret" not in ran.stdout
        told = {line.split()[0]: line for line in ran.stdout.splitlines() if line.strip()}
        if pathlib.Path(rendered).stem == "full" and kind == "Deployment":
            for key, value in {
                "sms.daily_budget": "2000000",
                "database.max_connections": "24",
                "trusted_proxies": '["10.244.0.0/16", "fd00::/8", "192.0.2.7"]',
                "tls.client_required": "true",
                "telemetry.log_level": '"warn"',
                "bootstrap.admin_email": '"admin@example.com"',
                "database.auto_migrate": "false",
            }.items():
                assert f" {value} " in told[key], told[key]
            assert "Söhne" in told["totp.issuer"], told["totp.issuer"]
        for word in ("grpc.listen", "telemetry.listen"):
            assert ("0.0.0.0" in told[word]) == (kind == "Deployment"), told[word]


def run(rendered, kind, binary, home, contents, *listens):
    """Takes the place of this process: the container of a pod, with these contents of its Secrets, and free ports."""
    directory, arguments, environment = lay_out(rendered, kind, binary, home, json.loads(pathlib.Path(contents).read_text()))
    environment |= dict(listen.split("=", 1) for listen in listens)
    # For whatever else is run in the container.
    pathlib.Path(home, kind).write_text("\0".join(f"{name}={value}" for name, value in environment.items()))
    os.chdir(directory)
    os.execve(binary, [binary, *arguments], environment)


def guide(rendered, text):
    """The guide makes each Secret that a pod asks for, with the key that it is asked for by."""
    everything = [thing for thing in yaml.safe_load_all(pathlib.Path(rendered).read_text()) if thing]
    made = set()
    for name, rest in re.findall(r"create secret generic (\S+) (.*)$", pathlib.Path(text).read_text(), re.M):
        made |= {(name, key) for key in re.findall(r"--from-file=([^=\s]+)", rest)}
    for name in re.findall(r"create secret tls (\S+)", pathlib.Path(text).read_text()):
        made |= {(name, "tls.crt"), (name, "tls.key")}
    asked = {
        (source["secret"]["name"], item["key"])
        for _, pod in pods(everything)
        for volume in pod["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        for item in source["secret"]["items"]
    }
    assert made == asked, f"made or asked for alone: {made ^ asked}"
    (deployment,) = of_kind(everything, "Deployment")
    assert f"deployment/{deployment['metadata']['name']} " in pathlib.Path(text).read_text()


{"keys": keys, "objects": objects, "configuration": configuration, "run": run, "guide": guide, "version": version}[sys.argv[1]](*sys.argv[2:])
