{{/*
Stops a render whose result the API server would refuse, or would take for something else than was meant, and
names the value. What a single value can tell, values.schema.json has refused by then.
*/}}
{{- define "dask-kubernetes-operator.validate" -}}
{{- range $helper := list "name" "fullname" -}}
  {{- $name := include (printf "dask-kubernetes-operator.%s" $helper) $ -}}
  {{- if not (regexMatch "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" $name) -}}
    {{- printf "%sOverride: %q cannot name a Kubernetes object: lower case letters, digits, '-' and '.' only"
          $helper $name | fail -}}
  {{- end -}}
{{- end -}}
{{- $watched := include "dask-kubernetes-operator.watched" . | fromJson -}}
{{- if and $watched.all $watched.names -}}
  {{- fail "kopfArgs: --all-namespaces and --namespace exclude each other" -}}
{{- end -}}
{{- if and .Values.rbac.create (not .Values.rbac.cluster) -}}
  {{- if not $watched.names -}}
    {{- printf "watchNamespaces: rbac.cluster=false gives rights in the namespaces that are named, and none is: %s"
          (printf "--set watchNamespaces='{%s}'" (include "dask-kubernetes-operator.namespace" .)) | fail -}}
  {{- end -}}
  {{- range $watched.names -}}
    {{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" .) -}}
      {{- printf "watchNamespaces: %q is a pattern, and takes rights in every namespace: rbac.cluster=true" . | fail -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- with .Values.tests.namespace -}}
  {{- if and $watched.names (not (has . $watched.names)) (not (regexMatch "[^-a-z0-9 ]" (join " " $watched.names))) -}}
    {{- printf "tests.namespace: the operator does not serve %s, but %s" . (join ", " $watched.names) | fail -}}
  {{- end -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
  {{- if and .enabled (lt (int $.Values.replicas) 2) -}}
    {{- fail "podDisruptionBudget.enabled: with one pod no node could be drained; set replicas to 2 or more" -}}
  {{- end -}}
  {{- if and .enabled (not (kindIs "invalid" .minAvailable)) (not (kindIs "invalid" .maxUnavailable)) -}}
    {{- fail "podDisruptionBudget: minAvailable and maxUnavailable exclude each other; set one to null" -}}
  {{- end -}}
{{- end -}}
{{- end -}}
