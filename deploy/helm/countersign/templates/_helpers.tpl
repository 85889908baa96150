{{- define "countersign.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* With -grpc-headless behind it no longer than a name may be. */}}
{{- define "countersign.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 49 | trimSuffix "-" -}}
{{- else if contains (include "countersign.name" .) .Release.Name -}}
{{- .Release.Name | trunc 49 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "countersign.name" .) | trunc 49 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes, and so may be selected by. */}}
{{- define "countersign.selector" -}}
app.kubernetes.io/name: {{ include "countersign.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "countersign.labels" -}}
{{ include "countersign.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "countersign.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "countersign.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "countersign.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* "true" where one process has a store for itself. */}}
{{- define "countersign.isAlone" -}}
{{- if or (eq .Values.redis.kind "embedded") (eq .Values.database.kind "sqlite") -}}true{{- end -}}
{{- end -}}

{{/* "true" where a Job brings the schema up to date. */}}
{{- define "countersign.migrates" -}}
{{- if and .Values.migration.enabled (eq .Values.database.kind "server") -}}true{{- end -}}
{{- end -}}

{{/* What does not go together. */}}
{{- define "countersign.judge" -}}
{{- if include "countersign.isAlone" . -}}
{{- $store := ternary "database.kind = sqlite" "redis.kind = embedded" (eq .Values.database.kind "sqlite") -}}
{{- if .Values.autoscaling.enabled -}}
{{- fail (printf "%s is for one replica: set autoscaling.enabled = false" $store) -}}
{{- end -}}
{{- if ne (int .Values.replicaCount) 1 -}}
{{- fail (printf "%s is for one replica: set replicaCount = 1, or give all replicas the same store" $store) -}}
{{- end -}}
{{- end -}}
{{- $command := dig "keys" "ring_command" "" .Values.config -}}
{{- $rings := len (compact (list .Values.keys.ringSecret.name $command (ternary "text" "" (hasKey .Values.secrets "keys.ring_text")))) -}}
{{- if ne $rings 1 -}}
{{- fail "the key ring comes from one place: keys.ringSecret, secrets.\"keys.ring_text\" or config.keys.ring_command" -}}
{{- end -}}
{{- if and (not .Values.tls.secretName) (not .Values.tls.allowPlaintext) -}}
{{- fail "the service is called over TLS: set tls.secretName, or tls.allowPlaintext = true where a mesh or a proxy brings it" -}}
{{- end -}}
{{- if and .Values.tls.clientCaSecret.name (not .Values.tls.secretName) -}}
{{- fail "tls.clientCaSecret asks clients for a certificate, which needs tls.secretName" -}}
{{- end -}}
{{- if and .Values.tls.clientRequired (not .Values.tls.clientCaSecret.name) -}}
{{- fail "tls.clientRequired needs tls.clientCaSecret" -}}
{{- end -}}
{{- if and .Values.preStopSleepSeconds (semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "preStopSleepSeconds needs Kubernetes 1.30, and this is %s" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) -}}
{{- fail "autoscaling.maxReplicas is less than autoscaling.minReplicas" -}}
{{- end -}}
{{- end -}}

{{/* All secrets as a map of configuration keys to where they are. */}}
{{- define "countersign.secrets" -}}
{{- $all := dict -}}
{{- range $key, $from := .Values.secrets -}}
{{- $_ := set $all $key (dict "name" $from.name "key" $from.key) -}}
{{- end -}}
{{- if eq .Values.database.kind "server" -}}
{{- $_ := set $all "database.url" .Values.database.urlSecret -}}
{{- end -}}
{{- if eq .Values.redis.kind "server" -}}
{{- $_ := set $all "redis.url" .Values.redis.urlSecret -}}
{{- end -}}
{{- if .Values.services.tokensSecret.name -}}
{{- $_ := set $all "services.tokens" .Values.services.tokensSecret -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{/* A level of the configuration as lines of TOML: "a.b.c = value". Numbers are whole ones. */}}
{{- define "countersign.toml" -}}
{{- range $key, $value := .tree -}}
{{- $path := ternary $key (printf "%s.%s" $.path $key) (empty $.path) -}}
{{- if kindIs "map" $value -}}
{{- include "countersign.toml" (dict "tree" $value "path" $path) -}}
{{- else if or (kindIs "float64" $value) (kindIs "int64" $value) (kindIs "int" $value) }}
{{ $path }} = {{ int64 $value }}
{{- else }}
{{ $path }} = {{ toJson $value }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The configuration, without a secret. */}}
{{- define "countersign.configuration" -}}
# Made by the chart; the keys are those of src/config/default.toml. Secrets come by the environment, as names of files.
data_dir = "/var/lib/countersign"
trusted_proxies = {{ toJson .Values.trustedProxies }}
grpc.listen = "0.0.0.0:50051"
http.listen = {{ ternary "0.0.0.0:3000" "off" .Values.http.enabled | quote }}
# Asked by the kubelet and Prometheus, which come from the cluster's network and speak no TLS there.
telemetry.listen = "0.0.0.0:9464"
telemetry.allow_plaintext = true
database.auto_migrate = {{ not (include "countersign.migrates" .) }}
{{- if eq .Values.redis.kind "embedded" }}
redis.url = "embedded"
{{- end }}
{{- if .Values.keys.ringSecret.name }}
keys.ring_file = "/run/countersign/secrets/keys.toml"
{{- end }}
{{- if .Values.bootstrap.adminEmail }}
bootstrap.admin_email = {{ toJson .Values.bootstrap.adminEmail }}
bootstrap.admin_password_file = "/run/countersign/secrets/admin-password"
{{- end }}
{{- if .Values.tls.secretName }}
tls.cert_file = "/run/countersign/tls/tls.crt"
tls.key_file = "/run/countersign/tls/tls.key"
{{- else }}
tls.allow_plaintext = true
{{- end }}
{{- if .Values.tls.clientCaSecret.name }}
tls.client_ca_file = "/run/countersign/tls/client-ca.crt"
tls.client_required = {{ .Values.tls.clientRequired }}
{{- end }}
services.identities = {{ toJson .Values.services.identities }}
services.required_for_validation = {{ .Values.services.requiredForValidation }}
{{- include "countersign.toml" (dict "tree" .Values.config "path" "") }}
{{- end -}}

{{/* The environment that names the files of secrets. */}}
{{- define "countersign.secretEnvironment" -}}
{{- range $key, $from := (include "countersign.secrets" . | fromJson) }}
- name: COUNTERSIGN_{{ $key | replace "." "__" | upper }}_FILE
  value: /run/countersign/secrets/{{ $key }}
{{- end }}
{{- end -}}

{{/* Files that are no secrets, as sources of a volume. */}}
{{- define "countersign.fileSources" -}}
{{- range $name, $from := .Values.files }}
{{- if $from.secret }}
- secret:
    name: {{ $from.secret }}
    items: [{key: {{ $from.key | quote }}, path: {{ $name | quote }}}]
{{- else }}
- configMap:
    name: {{ $from.configMap }}
    items: [{key: {{ $from.key | quote }}, path: {{ $name | quote }}}]
{{- end }}
{{- end }}
{{- end -}}

{{- define "countersign.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "countersign.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
