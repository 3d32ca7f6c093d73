{{/*
What the operator may do in the namespaces it watches. The Role and the ClusterRole both take their rules from here.
The rights on finalizers are what the OwnerReferencesPermissionEnforcement admission plugin (on by default on
OpenShift) asks of whoever makes an object whose owner reference blocks the owner's deletion.
*/}}
{{- define "dask-kubernetes-operator.rules" -}}
- apiGroups: ["kubernetes.dask.org"]
  resources: ["daskclusters"]
  verbs: ["get", "list", "watch"]
- apiGroups: ["kubernetes.dask.org"]
  resources: ["daskworkergroups"]
  verbs: ["get", "list", "watch", "create", "patch", "delete"]
- apiGroups: ["kubernetes.dask.org"]
  resources: ["daskclusters/status", "daskworkergroups/status"]
  verbs: ["patch"]
- apiGroups: ["kubernetes.dask.org"]
  resources: ["daskclusters/finalizers", "daskworkergroups/finalizers"]
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
What only a ClusterRole can give: kopf follows the namespaces that a pattern in kopfArgs matches, and notices
definitions that are installed after it. Without these rights it keeps to what it found when it started.
*/}}
{{- define "dask-kubernetes-operator.clusterRules" -}}
- apiGroups: [""]
  resources: ["namespaces"]
  verbs: ["list", "watch"]
- apiGroups: ["apiextensions.k8s.io"]
  resources: ["customresourcedefinitions"]
  verbs: ["list", "watch"]
{{- end -}}
