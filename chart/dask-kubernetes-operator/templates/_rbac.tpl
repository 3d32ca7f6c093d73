{{/*
What the operator may do in the namespaces it watches. The Role and the ClusterRole both take their rules from here.
The rights on finalizers are what the OwnerReferencesPermissionEnforcement admission plugin (on by default on
OpenShift) asks of whoever makes an object whose owner reference blocks the owner's deletion.
*/}}
{{- define "dask-kubernetes-operator.rules" -}}
- apiGroups: ["kubernetes.dask.org"]
  resources: ["daskclusters", "daskworkergroups"]
  verbs: ["get", "list", "watch", "create", "patch", "delete"]
- apiGroups: ["kubernetes.dask.org"]
  resources: ["daskjobs"]
  verbs: ["get", "list", "watch", "delete"]
- apiGroups: ["kubernetes.dask.org"]
  resources: ["daskautoscalers"]
  verbs: ["get", "list", "watch", "patch"]
- apiGroups: ["kubernetes.dask.org"]
  resources: ["daskclusters/status", "daskworkergroups/status", "daskjobs/status", "daskautoscalers/status"]
  verbs: ["patch"]
- apiGroups: ["kubernetes.dask.org"]
  resources: ["daskclusters/finalizers", "daskworkergroups/finalizers", "daskjobs/finalizers"]
  verbs: ["update"]
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["get", "list", "watch", "create", "patch", "delete", "deletecollection"]
- apiGroups: [""]
  resources: ["services"]
  verbs: ["get", "list", "watch", "create", "patch", "delete"]
- apiGroups: ["apps"]
  resources: ["deployments"]
  verbs: ["get", "list", "watch", "create", "patch", "delete"]
- apiGroups: [""]
  resources: ["events"]
  verbs: ["create", "patch"]
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
What only a ClusterRole can give, for kopfArgs that name namespaces by a pattern: kopf follows those that match.
*/}}
{{- define "dask-kubernetes-operator.clusterRules" -}}
- apiGroups: [""]
  resources: ["namespaces"]
  verbs: ["list", "watch"]
- apiGroups: ["apiextensions.k8s.io"]
  resources: ["customresourcedefinitions"]
  verbs: ["list", "watch"]
{{- end -}}
