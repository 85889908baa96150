"""As much of a cluster as `helm template --dry-run=server` asks: which kinds there are, and one Deployment, with so many replicas.

    python3 tests/deploy/cluster.py PORT REPLICAS
"""

import http.server
import json
import sys

port, replicas = int(sys.argv[1]), int(sys.argv[2])
KINDS = {
    "v1": ["ConfigMap", "Service", "ServiceAccount"],
    "apps/v1": ["Deployment"],
    "autoscaling/v2": ["HorizontalPodAutoscaler"],
    "batch/v1": ["Job"],
    "networking.k8s.io/v1": ["NetworkPolicy"],
    "policy/v1": ["PodDisruptionBudget"],
}


def plural(kind):
    return kind.lower().removesuffix("y") + ("ies" if kind.endswith("y") else "s")


def resources(version):
    listed = [{"name": plural(kind), "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": ["get", "list"]} for kind in KINDS[version]]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}


def group(version):
    this = {"groupVersion": version, "version": version.split("/")[1]}
    return {"name": version.split("/")[0], "versions": [this], "preferredVersion": this}


ANSWERS = {
    "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(version) for version in KINDS if "/" in version]},
    "/apis/apps/v1/namespaces/identity/deployments/two-fa-countersign": {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "two-fa-countersign",
            "namespace": "identity",
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {"meta.helm.sh/release-name": "two-fa", "meta.helm.sh/release-namespace": "identity"},
        },
        "spec": {"replicas": replicas},
    },
}
ANSWERS |= {("/apis/" if "/" in version else "/api/") + version: resources(version) for version in KINDS}
NOT_FOUND = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = ANSWERS.get(self.path.split("?")[0])
        body = json.dumps(answer or NOT_FOUND).encode()
        self.send_response(200 if answer else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", port), Answers).serve_forever()
