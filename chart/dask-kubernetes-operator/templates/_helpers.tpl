{{/*
Names and labels. Each name is cut to the 63 characters that a label may have, and begins and ends as a name may.
*/}}
{{- define "dask-kubernetes-operator.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimAll "-." -}}
{{- end -}}

{{- define "dask-kubernetes-operator.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $both := printf "%s-%s" .Release.Name $name -}}
{{- $composed := contains $name .Release.Name | ternary .Release.Name $both -}}
{{- .Values.fullnameOverride | default $composed | trunc 63 | trimAll "-." -}}
{{- end -}}

{{- define "dask-kubernetes-operator.serviceAccountName" -}}
{{- $generated := include "dask-kubernetes-operator.fullname" . -}}
{{- .Values.serviceAccount.name | default (ternary $generated "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/*
What the Deployment selects its pods by: immutable once installed, so nothing here may change with a version.
*/}}
{{- define "dask-kubernetes-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "dask-kubernetes-operator.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "dask-kubernetes-operator.podLabels" -}}
{{ include "dask-kubernetes-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/component: controller
app.kubernetes.io/part-of: dask
{{- end -}}

{{/*
The chart's version is not on the pods, so that a new chart with the same operator does not restart it.
*/}}
{{- define "dask-kubernetes-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimAll "-_." | quote }}
{{ include "dask-kubernetes-operator.podLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/*
The namespaces that kopfArgs name, as {"all": bool, "names": [string]}. A name may be one of kopf's patterns.
*/}}
{{- define "dask-kubernetes-operator.watched" -}}
{{- $all := false -}}
{{- $names := list -}}
{{- $valueFollows := false -}}
{{- range .Values.kopfArgs -}}
  {{- if $valueFollows -}}
    {{- $names = append $names . -}}
    {{- $valueFollows = false -}}
  {{- else if has . (list "-A" "--all-namespaces") -}}
    {{- $all = true -}}
  {{- else if has . (list "-n" "--namespace") -}}
    {{- $valueFollows = true -}}
  {{- else if hasPrefix "--namespace=" . -}}
    {{- $names = append $names (trimPrefix "--namespace=" .) -}}
  {{- else if hasPrefix "-n" . -}}
    {{- $names = append $names (trimPrefix "-n" .) -}}
  {{- end -}}
{{- end -}}
{{- dict "all" $all "names" $names | toJson -}}
{{- end -}}
