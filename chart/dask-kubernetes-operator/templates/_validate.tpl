{{/*
The type that each value must have; a question mark stands for "or null".
*/}}
{{- define "dask-kubernetes-operator.valueTypes" -}}
affinity: map?
crds: map
crds.annotations: map of strings?
crds.enabled: true or false
crds.keep: true or false
fullnameOverride: string?
image: map
image.name: string
image.pullPolicy: string
image.tag: string
imagePullSecrets: list of names?
kopfArgs: list of strings?
nameOverride: string?
nodeSelector: map of strings?
podAnnotations: map of strings?
podSecurityContext: map?
priorityClassName: string?
rbac: map
rbac.cluster: true or false
rbac.create: true or false
replicas: whole number
resources: map?
securityContext: map?
serviceAccount: map
serviceAccount.annotations: map of strings?
serviceAccount.create: true or false
serviceAccount.name: string?
tolerations: list of maps?
volumeMounts: list of maps?
volumes: list of maps?
{{- end -}}

{{/*
Stops a render whose result the API server would refuse, or would take for something else than was meant, and
names the value.
*/}}
{{- define "dask-kubernetes-operator.validate" -}}
{{- range $path, $type := include "dask-kubernetes-operator.valueTypes" . | fromYaml -}}
  {{- $value := $.Values -}}
  {{- range splitList "." $path -}}
    {{- $value = index $value . -}}
  {{- end -}}
  {{- $wanted := trimSuffix "?" $type -}}
  {{- if not (and (kindIs "invalid" $value) (hasSuffix "?" $type)) -}}
    {{- dict "path" $path "wanted" $wanted "value" $value | include "dask-kubernetes-operator.validateType" -}}
  {{- end -}}
{{- end -}}
{{- range $helper := list "name" "fullname" -}}
  {{- $name := include (printf "dask-kubernetes-operator.%s" $helper) $ -}}
  {{- if not (regexMatch "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" $name) -}}
    {{- printf "%sOverride: %q cannot name a Kubernetes object: lower case letters, digits, '-' and '.' only"
          $helper $name | fail -}}
  {{- end -}}
{{- end -}}
{{- range $key := list "name" "tag" -}}
  {{- if not (get $.Values.image $key) -}}
    {{- printf "image.%s: must not be empty" $key | fail -}}
  {{- end -}}
{{- end -}}
{{- if not (has .Values.image.pullPolicy (list "Always" "IfNotPresent" "Never")) -}}
  {{- printf "image.pullPolicy: expected Always, IfNotPresent or Never, got %q" .Values.image.pullPolicy | fail -}}
{{- end -}}
{{- $watched := include "dask-kubernetes-operator.watched" . | fromJson -}}
{{- if and $watched.all $watched.names -}}
  {{- fail "kopfArgs: --all-namespaces and --namespace exclude each other" -}}
{{- end -}}
{{- if and .Values.rbac.create (not .Values.rbac.cluster) (not $watched.names) -}}
  {{- printf "kopfArgs: rbac.cluster=false gives rights in namespace %s alone, so the operator has to watch %s"
        .Release.Namespace (printf "that one: --set kopfArgs='{--namespace=%s}'" .Release.Namespace) | fail -}}
{{- end -}}
{{- end -}}

{{/*
Takes {"path": string, "wanted": string, "value": any}.
*/}}
{{- define "dask-kubernetes-operator.validateType" -}}
{{- $kinds := dict "map" "map" "map of strings" "map" "string" "string" "true or false" "bool" -}}
{{- $ok := kindIs (get $kinds .wanted | default "slice") .value -}}
{{- if eq .wanted "whole number" -}}
  {{- $ok = and (has (kindOf .value) (list "int64" "float64")) (regexMatch "^[0-9]+$" (toString .value)) -}}
{{- end -}}
{{- if not $ok -}}
  {{- include "dask-kubernetes-operator.typeName" .value
        | printf "%s: expected %s, got %s" .path .wanted | fail -}}
{{- end -}}
{{- if contains " of " .wanted -}}
  {{- range $key, $item := .value -}}
    {{- $ok := kindIs "string" $item -}}
    {{- if eq $.wanted "list of maps" -}}
      {{- $ok = kindIs "map" $item -}}
    {{- else if and (eq $.wanted "list of names") (kindIs "map" $item) -}}
      {{- $ok = and (kindIs "string" $item.name) (eq (len $item) 1) -}}
    {{- end -}}
    {{- if not $ok -}}
      {{- printf "%s: expected %s, got %s at %v"
            $.path $.wanted (include "dask-kubernetes-operator.typeName" $item) $key | fail -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{- define "dask-kubernetes-operator.typeName" -}}
{{- $names := dict "invalid" "null" "bool" "true or false" "slice" "list" "int64" "number" "float64" "number" -}}
{{- get $names (kindOf .) | default (kindOf .) -}}
{{- end -}}
