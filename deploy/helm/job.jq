# A Job that runs a command of countersign once, with the image, configuration and secrets of the replicas, of the Deployment that is read:
# for what is to be done while no replica runs.
#
#   kubectl get deployment NAME -o json | jq --arg command restore-fence -f deploy/helm/job.jq | kubectl create -f -
#
# Labels of its own, where a mesh would give it a sidecar that never ends: --argjson labels '{"sidecar.istio.io/inject": "false"}'
.metadata as $deployment
| (.spec.template.metadata.labels + {"app.kubernetes.io/component": "command"} + ($ARGS.named.labels // {})) as $labels
| {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      generateName: ($deployment.name + "-" + ($command | gsub("[^a-z0-9]+"; "-")) + "-"),
      namespace: $deployment.namespace,
      labels: $labels
    },
    spec: {
      # What has failed is looked at, and not tried again by itself.
      backoffLimit: 0,
      template: {
        metadata: {labels: $labels},
        spec: (
          .spec.template.spec
          | .restartPolicy = "Never"
          | del(.topologySpreadConstraints)
          | .containers[0] |= (
              .name = "command"
              | .args = ($command | split(" "))
              | del(.startupProbe, .livenessProbe, .readinessProbe, .lifecycle, .ports)
            )
        )
      }
    }
  }
