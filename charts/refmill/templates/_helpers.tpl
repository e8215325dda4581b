{{- define "refmill.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "refmill.selector" -}}
{{- include "refmill.selectorOf" (list . "server") -}}
{{- end -}}

{{/* The labels of a part's pods: of the server, or of what is beside it. */}}
{{- define "refmill.selectorOf" -}}
app.kubernetes.io/name: refmill
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* The name of a part beside the server: with what Kubernetes adds for a StatefulSet's pods it has to fit into a label. */}}
{{- define "refmill.nameOf" -}}
{{- printf "%s-%s" (include "refmill.name" (index . 0) | trunc 42 | trimSuffix "-") (index . 1) -}}
{{- end -}}

{{/* Its address for pods of every namespace. */}}
{{- define "refmill.hostOf" -}}
{{- printf "%s.%s.svc" (include "refmill.nameOf" .) (index . 0).Release.Namespace -}}
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

{{- define "refmill.databaseSecret" -}}
{{- .Values.database.trial.enabled | ternary (include "refmill.nameOf" (list . "database")) .Values.database.secret -}}
{{- end -}}

{{- define "refmill.objectsSecret" -}}
{{- .Values.objectStore.trial.enabled | ternary (include "refmill.nameOf" (list . "objects")) .Values.objectStore.secret -}}
{{- end -}}

{{- define "refmill.mlflow" -}}
{{- .Values.mlflow.enabled | ternary (printf "http://%s:5000" (include "refmill.hostOf" (list . "mlflow"))) .Values.mlflow.uri -}}
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
{{- if not (include "refmill.databaseSecret" .) -}}
{{- fail "replicas: standbys need the lease in a PostgreSQL or MariaDB to know which server works: name the Secret with its address in database.secret" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.database.trial.enabled .Values.database.secret -}}
{{- fail "database.trial.enabled: database.secret names a database that is there already; the platform uses one of them, so leave out the other" -}}
{{- end -}}
{{- range $named := list "bucket" "secret" "ca" -}}
{{- if and $.Values.objectStore.trial.enabled (get $.Values.objectStore $named) -}}
{{- fail (printf "objectStore.trial.enabled: objectStore.%s is about a store that is there already; the platform uses one of them, so leave out the other" $named) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.mlflow.enabled .Values.mlflow.uri -}}
{{- fail "mlflow.enabled: mlflow.uri names an MLflow that is there already; stages are told of one, so leave out the other" -}}
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

{{/* What the server cannot start without and the chart makes, with the ports. */}}
{{- define "refmill.beside" -}}
{{- if .Values.database.trial.enabled }}
database: 5432
{{- end }}
{{- if .Values.objectStore.trial.enabled }}
objects: 7070
{{- end }}
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
{{- if .Values.objectStore.trial.enabled -}}
{{- $_ := set $variables "REFMILL_OBJECTS" "s3://refmill/objects" -}}
{{- $_ := set $variables "REFMILL_S3_ENDPOINT" (printf "http://%s:7070" (include "refmill.hostOf" (list . "objects"))) -}}
{{- $_ := set $variables "REFMILL_S3_REGION" "us-east-1" -}}
{{- $_ := set $variables "REFMILL_S3_CREATE_BUCKET" "true" -}}
{{- end -}}
{{- with include "refmill.mlflow" . -}}
{{- $_ := set $variables "REFMILL_MLFLOW_TRACKING_URI" . -}}
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
{{- $database := include "refmill.databaseSecret" . }}
{{- $objects := include "refmill.objectsSecret" . }}
{{- $proxy := .Values.argo.proxy.secret }}
{{- if or $database $objects $proxy }}
env:
{{- if $database }}
- name: REFMILL_DATABASE
  valueFrom:
    secretKeyRef: {name: {{ $database | quote }}, key: {{ .Values.database.trial.enabled | ternary "url" .Values.database.key | quote }}}
{{- end }}
{{- if $objects }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $key }}
  valueFrom:
    secretKeyRef: {name: {{ $objects | quote }}, key: {{ $key }}}
{{- end }}
{{- end }}
{{- with $proxy }}
- name: REFMILL_ARGO_PROXY
  valueFrom:
    secretKeyRef: {name: {{ . | quote }}, key: {{ $.Values.argo.proxy.key | quote }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* What a pod beside the server has whatever it is: it runs as that number, without rights. */}}
{{- define "refmill.podOf" -}}
{{- $ := index . 0 -}}
{{- $user := int (index . 1) -}}
automountServiceAccountToken: false
# They would set variables that are settings of its own.
enableServiceLinks: false
terminationGracePeriodSeconds: 60
securityContext:
  runAsNonRoot: true
  runAsUser: {{ $user }}
  runAsGroup: {{ $user }}
  fsGroup: {{ $user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- include "refmill.pulls" $ }}
{{- end -}}

{{- define "refmill.pulls" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The claim of such a pod: like the server's, it stays when the release goes. */}}
{{- define "refmill.claimOf" -}}
{{- $ := index . 0 -}}
- metadata:
    name: data
    labels: {{- include "refmill.selectorOf" (list $ (index . 1)) | nindent 6 }}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with include "refmill.storageClass" $ | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    resources:
      requests: {storage: {{ index . 2 }}}
{{- end -}}

{{- define "refmill.storageClass" -}}
{{- with .Values.storage.className }}
storageClassName: {{ ternary "" . (eq . "-") | quote }}
{{- end }}
{{- end -}}

{{/* How such a pod is reached: its Service, and who may use it. The third is its port's name, the fourth its number, the
     last the peers beside the server, as YAML. It reaches nothing itself. */}}
{{- define "refmill.doorOf" -}}
{{- $ := index . 0 -}}
{{- $part := index . 1 -}}
{{- $port := index . 2 -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "refmill.nameOf" (list $ $part) }}
  namespace: {{ $.Release.Namespace }}
  labels: {{- include "refmill.labels" $ | nindent 4 }}
spec:
  selector: {{- include "refmill.selectorOf" (list $ $part) | nindent 4 }}
  ports:
  - {name: {{ $port }}, port: {{ index . 3 }}, targetPort: {{ $port }}, protocol: TCP}
{{- if $.Values.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "refmill.nameOf" (list $ $part) }}
  namespace: {{ $.Release.Namespace }}
  labels: {{- include "refmill.labels" $ | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- include "refmill.selectorOf" (list $ $part) | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
  - ports:
    - {protocol: TCP, port: {{ $port }}}
    from:
    - podSelector:
        matchLabels: {{- include "refmill.selector" $ | nindent 10 }}
    {{- with index . 4 | trim }}
    {{- . | nindent 4 }}
    {{- end }}
  egress: []
{{- end }}
{{- end -}}

{{/* Pods of stages as a peer, where there are any; the second says more of their labels. */}}
{{- define "refmill.stagesAsPeer" -}}
{{- $ := index . 0 -}}
{{- if $.Values.argo.enabled }}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ include "refmill.runs" $ }}
  podSelector:
    matchLabels: {{- merge (dict "refmill.dev/part" "stage") (index . 1) | toYaml | nindent 6 }}
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
