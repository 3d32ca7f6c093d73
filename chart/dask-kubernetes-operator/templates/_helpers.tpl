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

{{- define "dask-kubernetes-operator.ownLabels" -}}
{{ include "dask-kubernetes-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/component: controller
app.kubernetes.io/part-of: dask
{{- end -}}

{{/*
What users add gives way to what the chart says of an object, since selectors rest on that.
*/}}
{{- define "dask-kubernetes-operator.podLabels" -}}
{{- $own := include "dask-kubernetes-operator.ownLabels" . | fromYaml -}}
{{- merge $own (.Values.podLabels | default dict) (.Values.commonLabels | default dict) | toYaml -}}
{{- end -}}

{{/*
The chart's version is not on the pods, so that a new chart with the same operator does not restart it.
*/}}
{{- define "dask-kubernetes-operator.labels" -}}
{{- $own := include "dask-kubernetes-operator.ownLabels" . | fromYaml -}}
{{- $version := printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimAll "-_." -}}
{{- $_ := set $own "helm.sh/chart" $version -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- merge $own (.Values.commonLabels | default dict) | toYaml -}}
{{- end -}}

{{/*
Where everything is installed but what belongs into a namespace that is watched.
*/}}
{{- define "dask-kubernetes-operator.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{/*
The image by its tag, and by its digest if there is one.
*/}}
{{- define "dask-kubernetes-operator.image" -}}
{{- $name := .Values.image.name -}}
{{- with .Values.image.registry -}}
  {{- $parts := splitList "/" $name -}}
  {{- if and (gt (len $parts) 1) (regexMatch "[.:]|^localhost$" (first $parts)) -}}
    {{- $parts = rest $parts -}}
  {{- end -}}
  {{- $name = printf "%s/%s" (trimSuffix "/" .) (join "/" $parts) -}}
{{- end -}}
{{- $name }}:{{ .Values.image.tag }}{{ with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "dask-kubernetes-operator.imagePullSecrets" -}}
{{- range .Values.imagePullSecrets }}
- name: {{ if kindIs "map" . }}{{ .name | quote }}{{ else }}{{ . | quote }}{{ end }}
{{- end }}
{{- end -}}

{{/*
The namespaces that are watched, as {"all": bool, "names": [string], "others": [string]}: those that watchNamespaces or
kopfArgs name, and what else is in kopfArgs. A name may be one of kopf's patterns.
*/}}
{{- define "dask-kubernetes-operator.watched" -}}
{{- $all := false -}}
{{- $names := list -}}
{{- $others := list -}}
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
  {{- else -}}
    {{- $others = append $others . -}}
  {{- end -}}
{{- end -}}
{{- with .Values.watchNamespaces -}}
  {{- if $names -}}
    {{- fail "watchNamespaces: kopfArgs name namespaces too; name them in one place" -}}
  {{- end -}}
  {{- $names = . -}}
  {{- $all = false -}}
{{- end -}}
{{- dict "all" $all "names" ($names | uniq) "others" $others | toJson -}}
{{- end -}}

{{/*
The command line. What kopfArgs say is left as it is where watchNamespaces is empty.
*/}}
{{- define "dask-kubernetes-operator.args" -}}
{{- $args := .Values.kopfArgs | default list -}}
{{- if .Values.watchNamespaces -}}
  {{- $watched := include "dask-kubernetes-operator.watched" . | fromJson -}}
  {{- $args = $watched.others -}}
  {{- range $watched.names -}}
    {{- $args = append $args (printf "--namespace=%s" .) -}}
  {{- end -}}
{{- end -}}
{{- range $args }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/*
A probe, with what a user changes about it. Takes {"path": string, "periodSeconds": int, "failureThreshold": int,
"changes": map}.
*/}}
{{- define "dask-kubernetes-operator.probe" -}}
{{- $probe := dict "httpGet" (dict "path" .path "port" "http") "timeoutSeconds" 5 -}}
{{- $_ := set $probe "periodSeconds" .periodSeconds -}}
{{- $_ := set $probe "failureThreshold" .failureThreshold -}}
{{- merge (dict) (.changes | default dict) $probe | toYaml -}}
{{- end -}}
