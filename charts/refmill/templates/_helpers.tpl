{{- define "refmill.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "refmill.selector" -}}
app.kubernetes.io/name: refmill
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "refmill.labels" -}}
app.kubernetes.io/name: refmill
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "refmill.encryptionSecret" -}}
{{- .Values.encryption.secret | default (printf "%s-encryption" (include "refmill.name" .)) -}}
{{- end -}}

{{- define "refmill.adminSecret" -}}
{{- .Values.admin.secret | default (printf "%s-admin" (include "refmill.name" .)) -}}
{{- end -}}

{{- define "refmill.metricsSecret" -}}
{{- .Values.metrics.secret | default (printf "%s-metrics" (include "refmill.name" .)) -}}
{{- end -}}

{{- define "refmill.runs" -}}
{{- .Values.argo.namespace | default .Release.Namespace -}}
{{- end -}}

{{- define "refmill.url" -}}
{{- if .Values.url -}}
{{- .Values.url -}}
{{- else if .Values.ingress.enabled -}}
{{- printf "%s://%s" (ternary "https" "http" (ne .Values.ingress.tlsSecret "")) .Values.ingress.host -}}
{{- end -}}
{{- end -}}

{{/* Whether there are servers that wait. */}}
{{- define "refmill.standbys" -}}
{{- if gt (int .Values.replicas) 1 }}true{{ end -}}
{{- end -}}

{{- define "refmill.kind" -}}
{{- ternary "Deployment" "StatefulSet" (eq (include "refmill.standbys" .) "true") -}}
{{- end -}}

{{/* What cannot be, and why: the schema knows types, but gives no reasons. */}}
{{- define "refmill.refuse" -}}
{{- if include "refmill.standbys" . -}}
{{- if not (and .Values.storage.existingClaim (has "ReadWriteMany" .Values.storage.accessModes)) -}}
{{- fail "replicas: standbys mount the volume that the working server has: name a claim that several nodes may write to in storage.existingClaim, and say so with storage.accessModes [ReadWriteMany]; for more work, give one server more resources (docs/scale.md)" -}}
{{- end -}}
{{- if not .Values.database.secret -}}
{{- fail "replicas: standbys need the lease in a PostgreSQL or MariaDB to know which server works: name the Secret with its address in database.secret" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host: the ingress needs the name in people's addresses, like refmill.example.org" -}}
{{- end -}}
{{- if and .Values.objectStore.secret (not .Values.objectStore.bucket) -}}
{{- fail "objectStore.bucket: a key for an S3 store is given, but no bucket, like s3://bucket/refmill" -}}
{{- end -}}
{{- range $part := list "serviceMonitor" "rules" "dashboard" -}}
{{- if and (get $.Values.metrics $part).enabled (not $.Values.metrics.enabled) -}}
{{- fail (printf "metrics.enabled: metrics.%s needs it, for without it the server answers nobody at /metrics" $part) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A setting as the platform reads it from a variable; numbers of values files may be floats, as 5e+06. */}}
{{- define "refmill.written" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}
{{- printf "%.0f" . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* The settings as variables, so that commands in the pod have them, too. */}}
{{- define "refmill.variables" -}}
{{- $variables := dict "REFMILL_DATA" "/var/lib/refmill/data" "REFMILL_HOST" "0.0.0.0" "REFMILL_PORT" "8700" -}}
{{- with include "refmill.url" . -}}
{{- $_ := set $variables "REFMILL_URL" . -}}
{{- end -}}
{{- if and .Values.ingress.enabled .Values.ingress.tlsSecret .Values.ingress.proxies -}}
{{- $_ := set $variables "FORWARDED_ALLOW_IPS" .Values.ingress.proxies -}}
{{- end -}}
{{- with .Values.objectStore -}}
{{- if .bucket -}}
{{- $_ := set $variables "REFMILL_OBJECTS" .bucket -}}
{{- $_ := set $variables "REFMILL_S3_ENDPOINT" .endpoint -}}
{{- $_ := set $variables "REFMILL_S3_REGION" .region -}}
{{- if .ca -}}
{{- $_ := set $variables "REFMILL_S3_CA" "/etc/refmill/s3/ca.crt" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if include "refmill.standbys" . -}}
{{- $_ := set $variables "REFMILL_STANDBY" "true" -}}
{{- end -}}
{{- if .Values.metrics.enabled -}}
{{- $_ := set $variables "REFMILL_METRICS" "token" -}}
{{- $_ := set $variables "REFMILL_METRICS_TOKEN" "/etc/refmill/metrics/token" -}}
{{- end -}}
{{- if .Values.argo.enabled -}}
{{- $_ := set $variables "REFMILL_ENGINE" "argo" -}}
{{- $_ := set $variables "REFMILL_ARGO_NAMESPACE" (include "refmill.runs" .) -}}
{{- $_ := set $variables "REFMILL_ARGO_ACCOUNT" .Values.argo.account -}}
{{- $_ := set $variables "REFMILL_ARGO_EXECUTOR_ACCOUNT" .Values.argo.executorAccount -}}
{{- $_ := set $variables "REFMILL_ARGO_NETWORK_POLICY" (toString .Values.argo.networkPolicy) -}}
{{- $_ := set $variables "REFMILL_ARGO_NETWORKS" (join "," .Values.argo.networks) -}}
{{- $_ := set $variables "REFMILL_ARGO_PODS_URL" (printf "http://%s.%s.svc:%d" (include "refmill.name" .) .Release.Namespace (int .Values.service.port)) -}}
{{- end -}}
{{- range $name, $value := .Values.settings -}}
{{- $_ := set $variables (printf "REFMILL_%s" (upper $name)) (include "refmill.written" $value) -}}
{{- end -}}
{{- toYaml $variables -}}
{{- end -}}

{{/* What every container of the server has: settings, and the secrets that are settings. */}}
{{- define "refmill.environment" -}}
envFrom:
- configMapRef:
    name: {{ include "refmill.name" . }}-settings
{{- if or .Values.database.secret .Values.objectStore.secret }}
env:
{{- with .Values.database }}
{{- if .secret }}
- name: REFMILL_DATABASE
  valueFrom:
    secretKeyRef: {name: {{ .secret | quote }}, key: {{ .key | quote }}}
{{- end }}
{{- end }}
{{- with .Values.objectStore.secret }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $key }}
  valueFrom:
    secretKeyRef: {name: {{ $.Values.objectStore.secret | quote }}, key: {{ $key }}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The restricted level of PodSecurity, for a container. */}}
{{- define "refmill.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "refmill.image" -}}
{{- printf "%s:%s" .Values.image.repository (include "refmill.written" .Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
