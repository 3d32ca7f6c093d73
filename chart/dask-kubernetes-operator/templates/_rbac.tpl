{{/*
What the operator may do in the namespaces it watches, and docs/rights.md says why. The Role and the ClusterRole both
take their rules from here. Nothing is read by its name: lists and watches tell it all.
The rights on finalizers are what the OwnerReferencesPermissionEnforcement admission plugin (on by default on
OpenShift) asks of whoever makes an object whose owner reference blocks the owner's deletion.
*/}}
{{- define "dask-kubernetes-operator.rules" -}}
- apiGroups: ["kubernetes.dask.org"]
  resources: ["daskclusters", "daskworkergroups"]
  verbs: ["list", "watch", "create", "patch", "delete"]
- apiGroups: ["kubernetes.dask.org"]
  resources: ["daskjobs"]
  verbs: ["list", "watch", "delete"]
- apiGroups: ["kubernetes.dask.org"]
  resources: ["daskautoscalers"]
  verbs: ["list", "watch", "patch"]
- apiGroups: ["kubernetes.dask.org"]
  resources: ["daskclusters/status", "daskworkergroups/status", "daskjobs/status", "daskautoscalers/status"]
  verbs: ["patch"]
- apiGroups: ["kubernetes.dask.org"]
  resources: ["daskclusters/finalizers", "daskworkergroups/finalizers", "daskjobs/finalizers"]
  verbs: ["update"]
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["list", "watch", "create", "patch", "delete", "deletecollection"]
- apiGroups: [""]
  resources: ["services"]
  verbs: ["list", "watch", "create", "patch", "delete"]
- apiGroups: ["apps"]
  resources: ["deployments"]
  verbs: ["list", "watch", "create", "patch", "delete"]
- apiGroups: [""]
  resources: ["events"]
  verbs: ["create"]
{{- end -}}

{{/*
What the operator may do in its own namespace: elect a leader.
*/}}
{{- define "dask-kubernetes-operator.leaseRules" -}}
- apiGroups: ["coordination.k8s.io"]
  resources: ["leases"]
  verbs: ["create"]
- apiGroups: ["coordination.k8s.io"]
  resources: ["leases"]
  resourceNames: [{{ include "dask-kubernetes-operator.fullname" . | quote }}]
  verbs: ["get", "patch"]
{{- end -}}

{{/*
What only a ClusterRole can give, where namespaces are named by a pattern: kopf follows those that match, and the kinds
that are served with them. Nothing where none is.
*/}}
{{- define "dask-kubernetes-operator.patternRules" -}}
{{- $watched := include "dask-kubernetes-operator.watched" . | fromJson -}}
{{- if regexMatch "[!*?,]" (join "" $watched.names) -}}
- apiGroups: [""]
  resources: ["namespaces"]
  verbs: ["list", "watch"]
- apiGroups: ["apiextensions.k8s.io"]
  resources: ["customresourcedefinitions"]
  verbs: ["list", "watch"]
{{- end -}}
{{- end -}}

{{/*
A Role with its binding, or a ClusterRole where there is no namespace. Takes {"context": $, "name": string,
"namespace": string, "rules": string}.
*/}}
{{- define "dask-kubernetes-operator.role" }}
{{- $kind := ternary "Role" "ClusterRole" (hasKey . "namespace") }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ .name | quote }}
  {{- with .namespace }}
  namespace: {{ . | quote }}
  {{- end }}
  labels:
    {{- include "dask-kubernetes-operator.labels" .context | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ .name | quote }}
  {{- with .namespace }}
  namespace: {{ . | quote }}
  {{- end }}
  labels:
    {{- include "dask-kubernetes-operator.labels" .context | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ include "dask-kubernetes-operator.serviceAccountName" .context | quote }}
    namespace: {{ include "dask-kubernetes-operator.namespace" .context | quote }}
{{- end }}

{{/*
What users may do with Dask's kinds, by the name of the role that it is added to.
*/}}
{{- define "dask-kubernetes-operator.userRoles" -}}
view:
  - apiGroups: ["kubernetes.dask.org"]
    resources: ["daskclusters", "daskworkergroups", "daskjobs", "daskautoscalers"]
    verbs: ["get", "list", "watch"]
edit:
  - apiGroups: ["kubernetes.dask.org"]
    resources: ["daskclusters", "daskworkergroups", "daskjobs", "daskautoscalers"]
    verbs: ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
  - apiGroups: ["kubernetes.dask.org"]
    resources: ["daskclusters/scale", "daskworkergroups/scale"]
    verbs: ["get", "update", "patch"]
{{- end -}}
